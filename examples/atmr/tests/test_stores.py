"""PostgreSQL and Redis, the real ones, started for the tests if they are installed."""

import pytest

from backend.app import build_app
from backend.config import load_config

pytest.importorskip("psycopg")
pytest.importorskip("redis")

from local.postgres import PostgresServer  # noqa: E402
from local.process import Missing  # noqa: E402
from local.redis import RedisServer  # noqa: E402


def running(kind):
    try:
        server = kind()
    except Missing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="module")
def redis_url():
    yield from (server.url for server in running(RedisServer))


@pytest.fixture(scope="module")
def postgres_url():
    yield from (server.url for server in running(PostgresServer))


def test_redis_limits_logins_over_all_processes(environ, redis_url):
    environ.setenv("REDIS_URL", redis_url)
    clients = [build_app(load_config()).test_client() for _ in range(2)]
    assert clients[0].get("/health").get_json()["redis"] == {"in_use": True, "reason": ""}
    wrong = {"username": "demo", "password": "wrong"}
    codes = [clients[n % 2].post("/auth/login", json=wrong).status_code for n in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert clients[0].post("/auth/login", json=wrong | {"username": "other"}).status_code == 401


def test_a_summary_is_kept_in_redis_until_the_next_note(environ, redis_url):
    environ.setenv("REDIS_URL", redis_url)
    app = build_app(load_config())
    assert app.test_cli_runner().invoke(args=["create-user", "kept", "--password", "kept"]).exit_code == 0
    client = app.test_client()
    login = client.post("/auth/login", json={"username": "kept", "password": "kept"}).get_json()
    token = {"Authorization": f"Bearer {login['access_token']}"}
    asked = [client.get("/notes/summary", headers=token).get_json() for _ in range(2)]
    assert asked == [{"notes": 0, "characters": 0, "cached": False}, {"notes": 0, "characters": 0, "cached": True}]
    client.post("/notes", json={"body": "four"}, headers=token)
    assert client.get("/notes/summary", headers=token).get_json() == {"notes": 1, "characters": 4, "cached": False}


def test_a_wrong_redis_password_means_no_redis_and_is_not_shown(environ, redis_url):
    user, _, place = redis_url.rpartition("@")
    environ.setenv("REDIS_URL", f"redis://:wrong-pass-canary@{place}")
    answer = build_app(load_config()).test_client().get("/health")
    assert user and answer.get_json()["redis"]["in_use"] is False
    assert "wrong-pass-canary" not in answer.text


def test_postgresql_is_used_when_it_answers(environ, postgres_url):
    environ.delenv("ATMR_DATABASE")
    environ.setenv("DATABASE_URL", postgres_url)
    client = build_app(load_config()).test_client()
    assert client.get("/health").get_json()["database"] == {"in_use": "postgresql", "reason": ""}
    login = client.post("/auth/login", json={"username": "demo", "password": "demo"}).get_json()
    token = {"Authorization": f"Bearer {login['access_token']}"}
    assert client.post("/notes", json={"body": "in PostgreSQL"}, headers=token).status_code == 201
    assert [note["body"] for note in client.get("/notes", headers=token).get_json()["notes"]] == ["in PostgreSQL"]


def test_in_development_an_unreachable_database_means_sqlite(environ):
    environ.delenv("ATMR_DATABASE")
    environ.setenv("DATABASE_URL", "postgresql://u:canary-pass@127.0.0.1:1/x")
    answer = build_app(load_config()).test_client().get("/health")
    assert answer.get_json()["database"]["in_use"] == "sqlite"
    assert "canary-pass" not in answer.text
