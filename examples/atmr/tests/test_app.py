"""The HTTP interface: login, encrypted notes, health and fingerprints without values."""

import secrets
import time

import jwt
import pytest
from sqlalchemy import text

from backend.app import build_app
from backend.config import load_config
from backend.shared import secret_source
from backend.shared.fingerprint import fingerprint


def test_health_names_sources_and_shows_no_value(client, values):
    answer = client.get("/health")
    body = answer.get_json()
    assert (answer.status_code, body["status"], body["environment"], body["source"]) == (200, "ok", "dev", "coffre run (a test)")
    assert set(body["variables"]) == set(secret_source.names())
    assert body["database"] == {"in_use": "sqlite", "reason": "ATMR_DATABASE=sqlite"}
    assert body["redis"]["in_use"] is False
    for value in filter(lambda v: len(v) > 8, values.values()):
        assert value not in answer.text


def test_fingerprints_are_those_of_the_dotenv_file(client, values):
    nonce = secrets.token_hex(16)
    body = client.get("/config/fingerprints", query_string={"nonce": nonce}).get_json()
    values["REDIS_URL"] = ""
    assert body["secrets"] == {name: fingerprint(values[name], nonce) for name in secret_source.names()}
    other = client.get("/config/fingerprints", query_string={"nonce": secrets.token_hex(16)}).get_json()
    assert not set(other["secrets"].values()) & set(body["secrets"].values())


def test_fingerprints_need_a_long_nonce(client):
    assert client.get("/config/fingerprints").status_code == 400
    assert client.get("/config/fingerprints?nonce=short").status_code == 400


def test_fingerprints_are_off_outside_development_unless_asked_for(environ):
    environ.setenv("COFFRE_ENV", "prod")
    query = {"query_string": {"nonce": secrets.token_hex(16)}}
    client = build_app(load_config()).test_client()
    assert client.get("/config/fingerprints", **query).status_code == 404
    assert client.post("/jobs/fingerprints", **query).status_code == 404
    environ.setenv("ATMR_FINGERPRINTS", "1")
    assert client.get("/config/fingerprints", **query).status_code == 200


def test_login_gives_a_token_that_me_accepts(client, token):
    assert client.get("/me", headers=token).get_json() == {"username": "demo"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "demo", "password": "wrong"}, 401),
        ({"username": "nobody", "password": "nobody"}, 401),
        ({"username": "demo"}, 400),
        ({"username": ["demo"], "password": "demo"}, 400),
        (None, 400),
    ],
)
def test_login_refuses(client, body, status):
    answer = client.post("/auth/login", json=body)
    assert answer.status_code == status
    assert "error" in answer.get_json()


def test_a_token_of_another_key_or_time_or_algorithm_is_refused(client, values):
    key = values["JWT_SECRET_KEY"]
    now = int(time.time())
    good = {"sub": "demo", "exp": now + 60}
    refused = [
        jwt.encode(good, "another key, of a sufficient length", algorithm="HS256"),
        jwt.encode({"sub": "demo", "exp": now - 1}, key, algorithm="HS256"),
        jwt.encode({"sub": "demo"}, key, algorithm="HS256"),
        jwt.encode({"sub": "nobody", "exp": now + 60}, key, algorithm="HS256"),
        jwt.encode(good, None, algorithm="none"),
        "",
    ]
    for token in refused:
        assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert client.get("/me", headers={"Authorization": f"Bearer {jwt.encode(good, key, algorithm='HS256')}"}).status_code == 200


def test_notes_come_back_and_are_not_readable_at_rest(app, client, token, tmp_path):
    body = "patient allergic to penicillin: éà"
    assert client.post("/notes", json={"body": body}, headers=token).status_code == 201
    assert [n["body"] for n in client.get("/notes", headers=token).get_json()["notes"]] == [body]
    app.extensions["atmr"].database.engine.dispose()
    at_rest = (tmp_path / "atmr.sqlite3").read_bytes()
    assert b"gAAAAA" in at_rest
    assert b"penicillin" not in at_rest


def test_a_cell_moved_to_another_row_does_not_open(app, client, token):
    ids = [client.post("/notes", json={"body": f"note {n}"}, headers=token).get_json()["id"] for n in range(2)]
    move = text("UPDATE notes SET body_sealed = (SELECT body_sealed FROM notes WHERE id = :a) WHERE id = :b")
    with app.extensions["atmr"].session.begin() as session:
        session.execute(move, {"a": ids[0], "b": ids[1]})
    answer = client.get("/notes", headers=token)
    assert answer.status_code == 500
    assert "does not open" in answer.get_json()["error"]


def test_notes_belong_to_their_user(app, client, token):
    client.post("/notes", json={"body": "mine"}, headers=token)
    done = app.test_cli_runner().invoke(args=["create-user", "eve", "--password", "eve-password"])
    assert done.exit_code == 0, done.output
    login = client.post("/auth/login", json={"username": "eve", "password": "eve-password"})
    eve = {"Authorization": f"Bearer {login.get_json()['access_token']}"}
    assert client.get("/notes", headers=eve).get_json() == {"notes": []}


def test_notes_need_a_token_and_a_body(client, token):
    assert client.get("/notes").status_code == 401
    assert client.post("/notes", json={"body": "x"}).status_code == 401
    for body in ({}, {"body": ""}, {"body": 7}, {"body": "x" * 10_001}, None):
        assert client.post("/notes", json=body, headers=token).status_code == 400


def test_preferences_are_remembered_in_a_signed_cookie(client):
    assert client.get("/preferences").get_json() == {"theme": None}
    assert client.put("/preferences", json={"theme": "blue"}).status_code == 400
    assert client.put("/preferences", json={"theme": "dark"}).status_code == 200
    assert client.get("/preferences").get_json() == {"theme": "dark"}
    cookie = client.get_cookie("session").value
    client.set_cookie("session", f"x{cookie}")
    assert client.get("/preferences").get_json() == {"theme": None}


def test_without_a_broker_there_are_no_workers(environ):
    environ.setenv("CELERY_BROKER_URL", "")
    client = build_app(load_config()).test_client()
    login = client.post("/auth/login", json={"username": "demo", "password": "demo"}).get_json()
    token = {"Authorization": f"Bearer {login['access_token']}"}
    answer = client.post("/jobs/count-notes", headers=token)
    assert (answer.status_code, "no workers" in answer.get_json()["error"]) == (503, True)
    assert client.get("/statistics", headers=token).get_json() == {}


def test_cors_allows_the_configured_origins_only(client):
    allowed = client.get("/health", headers={"Origin": "http://localhost:5173"})
    assert allowed.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert "Access-Control-Allow-Origin" not in client.get("/health", headers={"Origin": "http://evil.invalid"}).headers
