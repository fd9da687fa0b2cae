"""coffre.flask with a real vault, real Flask, flask-jwt-extended and gunicorn: keys rotate while requests run."""

import base64
import json
import logging
import pickle
import secrets
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flask import Flask, jsonify, session
from flask.sessions import SecureCookieSessionInterface
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required

import coffre.flask
from coffre._flask_jwt import JWTKeyRing
from coffre._refresh import ForcedRefresh
from coffre.keyring import Keyring, kid_of
from coffre_server import free_port
from keyrings import Clock, key, ring
from rig import Rig, until
from shop_secrets import open_secrets


def material() -> str:
    return secrets.token_urlsafe(32)


@pytest.fixture
def rig(server, tmp_path):
    rig = Rig(server, tmp_path / "shop")
    rig.put("flask/secret_key", value=material())
    rig.put("jwt/secret_key", value=material())
    rig.put("encryption/master_key", value=base64.b64encode(secrets.token_bytes(32)).decode())
    rig.put_database(f"postgresql://shop:{material()}@db.invalid:5432/shop")
    rig.put_redis(f"redis://:{material()}@redis.invalid:6379")
    return rig


@pytest.fixture
def store(rig):
    store = open_secrets(rig.environ())
    yield store
    store.close()


def shop(store, **options) -> Flask:
    app = Flask("shop")
    app.config["SESSION_COOKIE_SECURE"] = False
    coffre.flask.init_app(app, store, **options)

    @app.get("/login/<name>")
    def login(name):
        session["name"] = name
        return "in"

    @app.get("/me")
    def me():
        return session.get("name", "nobody")

    return app


def rotate(rig, store, path, *keys, **options):
    rig.put(path, **ring(list(keys), **options))
    store.refresh(path)


# --- Configuration ------------------------------------------------------------------------------------------------------

CONFIGURE = """
import sys
from flask import Flask
import coffre, coffre.flask
app = Flask("shop")
app.config.from_object(sys.argv[1] if len(sys.argv) > 1 else coffre.flask.config_class())
coffre.flask.init_app(app)
print(app.config["SECRET_KEY"] == coffre.get_secret("SECRET_KEY"), coffre.source(), app.config["SESSION_COOKIE_SECURE"])
print(app.config.get("DATABASE_URL") == coffre.get_secret("DATABASE_URL"), app.config["ENVIRONMENT"])
print(repr(app.config), repr(coffre.flask.Config.SECRET_KEY))
"""


def configure(rig, *words, **environ):
    command = [sys.executable, "-c", CONFIGURE, *words]
    environ = {name: value for name, value in (rig.process_environ() | environ).items() if value is not None}
    done = subprocess.run(command, cwd=rig.directory, env=environ, capture_output=True, text=True, timeout=60, check=False)
    rig.assert_shown_nowhere(done.stdout, done.stderr)
    return done


def test_production_is_configured_from_the_vault(rig):
    for words in (("coffre.flask.ProductionConfig",), ("coffre.flask.Config",), ()):
        done = configure(rig, *words)
        assert done.stdout.splitlines()[:1] == ["True vault True"], done.stderr
        assert done.stdout.splitlines()[1].startswith("True "), done.stderr


def test_a_class_of_another_environment_is_refused_with_a_sentence(rig):
    for name in ("DevelopmentConfig", "StagingConfig"):
        done = configure(rig, f"coffre.flask.{name}")
        assert done.returncode != 0 and "this process runs in prod" in done.stderr.splitlines()[-1]


def test_development_is_configured_from_dotenv_without_a_vault_and_use_vault_is_honoured(rig):
    dotenv = {"SECRET_KEY": material(), "DATABASE_URL": f"postgresql://dev:{material()}@127.0.0.1/dev"}
    rig.values |= set(dotenv.values())
    (rig.directory / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in dotenv.items()))
    (rig.directory / ".env").chmod(0o600)
    none = {"VAULT_ADDR": None, "VAULT_ROLE_ID": None, "VAULT_SECRET_ID": None}
    done = configure(rig, "coffre.flask.DevelopmentConfig", COFFRE_ENV="dev", **none)
    assert done.stdout.splitlines()[:2] == ["True dotenv False", "True dev"], done.stderr
    back = configure(rig, "coffre.flask.ProductionConfig", USE_VAULT="false")
    assert back.stdout.splitlines()[:1] == ["True dotenv (USE_VAULT=false) True"], back.stderr
    refused = configure(rig, "coffre.flask.ProductionConfig", **none)
    assert refused.returncode != 0 and "VAULT_ADDR" in refused.stderr.splitlines()[-1]


# --- Sessions -------------------------------------------------------------------------------------------------------


def test_sessions_signed_with_the_old_key_stay_valid_while_it_is_accepted(rig, store):
    old, new = material(), material()
    rig.put("flask/secret_key", value=old)
    store.refresh("flask/secret_key")
    app = shop(store)
    client = app.test_client()
    client.get("/login/ada")
    first = client.get_cookie("session").value
    assert flask_alone(old).open_cookie(first) == {"name": "ada"}

    rotate(rig, store, "flask/secret_key", key(old, 1), key(new, 2, "active"), epoch=2)
    assert client.get("/me").text == "ada"
    client.get("/login/bob")
    second = client.get_cookie("session").value
    assert flask_alone(new).open_cookie(second) == {"name": "bob"}
    assert app.config["SECRET_KEY"] == new and app.config["SECRET_KEY_FALLBACKS"] == [old]

    rotate(rig, store, "flask/secret_key", key(new, 2, "active"), epoch=3)
    assert client.get("/me").text == "bob"
    client.set_cookie("session", first)
    assert client.get("/me").text == "nobody"
    assert app.config["SECRET_KEY_FALLBACKS"] == []


class flask_alone:
    """Flask without us, with one key."""

    def __init__(self, secret_key):
        self.app = Flask("other")
        self.app.secret_key = secret_key

    def open_cookie(self, value):
        return SecureCookieSessionInterface().get_signing_serializer(self.app).loads(value)


def test_a_key_that_is_prepared_is_accepted_before_it_signs(rig, store):
    now, soon = material(), material()
    rotate(rig, store, "flask/secret_key", key(now, 1, "active"), key(soon, 2), epoch=1)
    app = shop(store)
    client = app.test_client()
    value = SecureCookieSessionInterface().get_signing_serializer(flask_alone(soon).app).dumps({"name": "early"})
    client.set_cookie("session", value)
    assert client.get("/me").text == "early"
    client.get("/login/ada")
    assert flask_alone(now).open_cookie(client.get_cookie("session").value) == {"name": "ada"}


def test_the_configuration_does_not_show_its_values(rig, store):
    app = shop(store)
    rig.assert_shown_nowhere(repr(app.config), str(app.config), repr(app.session_interface), repr(app.extensions))
    with pytest.raises(TypeError):
        pickle.dumps(app.config["SECRET_KEY"])


def test_a_session_interface_of_its_own_must_know_rings(store):
    class Own(SecureCookieSessionInterface):
        pass

    app = Flask("shop")
    app.session_interface = Own()
    with pytest.raises(TypeError, match="coffre.flask.SessionInterface"):
        coffre.flask.init_app(app, store)
    coffre.flask.init_app(app, store, secret_key=None)
    assert isinstance(app.session_interface, Own)


# --- Extensions with one key -------------------------------------------------------------------------------------------


def test_extensions_that_know_one_key_are_named_and_the_warning_is_true(rig, store, caplog):
    from flask_wtf.csrf import CSRFProtect, generate_csrf, validate_csrf
    from wtforms import ValidationError

    old, new = material(), material()
    rotate(rig, store, "flask/secret_key", key(old, 1, "active"), epoch=1)
    with caplog.at_level(logging.WARNING):
        app = shop(store)
        CSRFProtect(app)
        app.test_client().get("/me")
    assert "flask-wtf knows one SECRET_KEY only" in caplog.text
    assert [e.name for e in coffre.flask.one_key_extensions(app)].count("flask-wtf") == 1
    caplog.clear()
    shop(store, accept_extensions=("flask-wtf",)).test_client().get("/me")
    assert "flask-wtf" not in caplog.text

    with app.test_request_context("/me"):
        token = generate_csrf()
        raw = session["csrf_token"]
        validate_csrf(token)
    rotate(rig, store, "flask/secret_key", key(old, 1), key(new, 2, "active"), epoch=2)
    app.test_client().get("/me")
    with app.test_request_context("/me"):
        session["csrf_token"] = raw
        with pytest.raises(ValidationError):
            validate_csrf(token)


# --- Health ---------------------------------------------------------------------------------------------------------------


def test_the_health_page_has_states_and_no_values(rig, store):
    client = shop(store, health_url="/internal/secrets").test_client()
    for path in ("/internal/secrets", "/internal/secrets/"):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.get_json()["source"] == "vault"
        rig.assert_shown_nowhere(answer.text)
    metrics = client.get("/internal/secrets/metrics")
    assert metrics.mimetype == "text/plain" and "coffre_" in metrics.text
    rig.assert_shown_nowhere(metrics.text)


# --- JWT -----------------------------------------------------------------------------------------------------------------------


def token_shop(store, algorithm="HS256", accepts=None) -> Flask:
    app = shop(store)
    app.config.update(JWT_ALGORITHM=algorithm, JWT_DECODE_ALGORITHMS=accepts or [algorithm])
    manager = JWTManager(app)
    coffre.flask.init_jwt(app, manager, store)

    @manager.additional_claims_loader
    def claims(identity):
        time.sleep(0)  # Between the header's callback and the key's: lets other threads run.
        return {"shop": True}

    @app.get("/token/<name>")
    def make(name):
        return create_access_token(name)

    @app.get("/whoami")
    @jwt_required()
    def whoami():
        return jsonify(name=get_jwt_identity())

    return app


def whoami(client, token):
    answer = client.get("/whoami", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.get_json()


def forged(secret, alg="HS256", sub="ada", **header):
    now = int(time.time())
    claims = {"sub": sub, "iat": now, "exp": now + 600, "jti": "1", "type": "access", "fresh": False, "nbf": now}
    return jwt.encode(claims, secret, alg, headers=header)


def test_tokens_name_their_key_and_live_as_long_as_it_is_accepted(rig, store):
    old, new = material(), material()
    rotate(rig, store, "jwt/secret_key", key(old, 1, "active"), epoch=1)
    client = token_shop(store).test_client()
    first = client.get("/token/ada").text
    assert jwt.get_unverified_header(first)["kid"] == kid_of(old)
    assert jwt.decode(first, old, algorithms=["HS256"])["sub"] == "ada"

    rotate(rig, store, "jwt/secret_key", key(old, 1), key(new, 2, "active"), epoch=2)
    second = client.get("/token/ada").text
    assert jwt.get_unverified_header(second)["kid"] == kid_of(new)
    assert whoami(client, first) == whoami(client, second) == (200, {"name": "ada"})

    rotate(rig, store, "jwt/secret_key", key(new, 2, "active"), epoch=3)
    assert whoami(client, second)[0] == 200
    assert whoami(client, first)[0] == 401


def test_a_token_without_kid_needs_the_legacy_key(rig, store):
    old, new = material(), material()
    rig.put("jwt/secret_key", value=old)
    store.refresh("jwt/secret_key")
    client = token_shop(store).test_client()
    before = forged(old)
    assert whoami(client, before)[0] == 200
    rotate(rig, store, "jwt/secret_key", key(old, 1), key(new, 2, "active"), epoch=1, legacy=old)
    assert whoami(client, before)[0] == 200
    assert whoami(client, forged(new))[0] == 422  # The wrong key for it: its signature does not fit.
    rotate(rig, store, "jwt/secret_key", key(new, 2, "active"), epoch=2, legacy=old)
    assert whoami(client, before)[0] == 401


def test_a_known_kid_is_verified_with_that_key_alone(rig, store):
    one, two = material(), material()
    rotate(rig, store, "jwt/secret_key", key(one, 1), key(two, 2, "active"), epoch=1, legacy=one)
    client = token_shop(store).test_client()
    assert whoami(client, forged(one, kid=kid_of(one)))[0] == 200
    assert whoami(client, forged(one, kid=kid_of(two)))[0] == 422
    assert whoami(client, forged(two, kid=kid_of(one)))[0] == 422


def test_the_algorithm_is_that_of_the_key(rig, store):
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shared = material() * 2
    rotate(rig, store, "jwt/secret_key", key(shared, 1, alg="HS256"), key(pem, 2, "active", "EdDSA"), epoch=1, legacy=shared)
    client = token_shop(store, "EdDSA", ["HS256", "HS512", "EdDSA"]).test_client()
    assert whoami(client, client.get("/token/ada").text)[0] == 200
    assert whoami(client, forged(shared, kid=kid_of(shared)))[0] == 200
    assert whoami(client, forged(shared, "HS512", kid=kid_of(shared)))[0] == 401
    # The public key as if it were a shared secret, and no signature at all.
    assert whoami(client, hand_made(public, "HS256", kid_of(pem, "EdDSA")))[0] == 401
    assert whoami(client, hand_made(None, "none", kid_of(pem, "EdDSA")))[0] in (401, 422)


def hand_made(secret, alg, kid):
    import hashlib
    import hmac

    def part(value):
        return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    claims = {"sub": "eve", "iat": now, "exp": now + 600, "jti": "1", "type": "access", "fresh": False}
    body = part({"alg": alg, "typ": "JWT", "kid": kid}) + b"." + part(claims)
    return (body + b"." + (part(hmac.digest(secret, body, hashlib.sha256)) if secret else b"")).decode()


def test_a_token_of_a_faster_instance_is_accepted_after_one_question(rig, store):
    old, new = material(), material()
    rotate(rig, store, "jwt/secret_key", key(old, 1, "active"), epoch=1)
    app = token_shop(store)
    rig.put("jwt/secret_key", **ring([key(old, 1), key(new, 2, "active")], epoch=2))
    token, results = forged(new, kid=kid_of(new)), []
    threads = [threading.Thread(target=lambda: results.append(whoami(app.test_client(), token)[0])) for _ in range(12)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == [200] * 12
    assert app.extensions["coffre-jwt"]._refresh.count == 1


def test_random_kids_cause_no_load(rig, store):
    rotate(rig, store, "jwt/secret_key", key(material(), 1, "active"), epoch=1)
    app = token_shop(store)
    client, wrong = app.test_client(), material()
    for _ in range(200):
        assert whoami(client, forged(wrong, kid=secrets.token_hex(4)))[0] == 401
    assert app.extensions["coffre-jwt"]._refresh.count == 1
    for kid in ("", "a b", "x" * 65, "é", 7, ["a"]):
        assert whoami(client, hand_made(b"x", "HS256", kid))[0] in (401, 422), kid


def test_an_unknown_kid_is_remembered_for_a_minute_and_asked_for_every_ten_seconds_at_most():
    from coffre._refresh import Unknown

    clock, asked = Clock(), []
    refresh = ForcedRefresh(lambda: asked.append(clock.now), clock=clock)
    keys = JWTKeyRing(lambda: Keyring.from_value("k" * 32), refresh, Unknown(clock=clock))
    for step in range(200):
        assert keys._asked_for("aaaaaaaa") is None
        assert keys._asked_for(f"{step:08x}") is None
        clock.now += 1
    assert len(asked) == 20 and all(b - a >= 10 for a, b in zip(asked, asked[1:]))
    known = Unknown(clock=clock)
    known.add("a")
    clock.now += 59
    assert "a" in known
    clock.now += 2
    assert "a" not in known
    for step in range(5000):
        known.add(str(step))
    assert len(known) == 1024


def test_kid_and_key_agree_while_the_ring_rotates(rig, store):
    """Threads make tokens while the vault's document changes as fast as it can: no token names another key than its own."""
    materials = [material()]
    rotate(rig, store, "jwt/secret_key", key(materials[0], 1, "active"), epoch=1)
    app, tokens, stop = token_shop(store), [], threading.Event()

    def make():
        client = app.test_client()
        while not stop.is_set():
            answer = client.get("/token/ada")
            tokens.append((answer.status_code, answer.text))

    threads = [threading.Thread(target=make) for _ in range(6)]
    [thread.start() for thread in threads]
    end = time.monotonic() + 4
    while time.monotonic() < end:
        materials.append(material())
        recent = [key(m, len(materials) - 3 + i) for i, m in enumerate(materials[-3:-1], 1)]
        rotate(rig, store, "jwt/secret_key", *recent, key(materials[-1], len(materials), "active"), epoch=len(materials))
    stop.set()
    [thread.join() for thread in threads]
    by_kid = {kid_of(m): m for m in materials}
    assert len(materials) > 20 and len(tokens) > 200
    assert {status for status, _ in tokens} == {200}
    used = set()
    for _, token in tokens:
        kid = jwt.get_unverified_header(token)["kid"]
        assert jwt.decode(token, by_kid[kid], algorithms=["HS256"])["shop"] is True
        used.add(kid)
    assert len(used) > 10


def test_a_callers_header_cannot_name_another_key(rig, store):
    app = token_shop(store)
    with app.test_request_context("/"):
        token = create_access_token("ada", additional_headers={"kid": "00000000", "x": "y"})
    header = jwt.get_unverified_header(token)
    assert header["kid"] in app.extensions["coffre-jwt"]._source() and header["x"] == "y"


def test_errors_of_tokens_show_no_key(rig, store):
    rotate(rig, store, "jwt/secret_key", key(material(), 1, "active", "HS512"), epoch=1)
    app = token_shop(store)
    with app.test_request_context("/"):
        with pytest.raises(coffre.CoffreError, match="JWT_ALGORITHM is HS256") as refused:
            create_access_token("ada")
    shown = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    rig.assert_shown_nowhere("".join(shown.format()), repr(app.extensions["coffre-jwt"]))


# --- gunicorn ---------------------------------------------------------------------------------------------------------------------

APP = """
import os, threading
from flask import Flask, session
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
import coffre.flask
from shop_secrets import open_secrets

app = Flask("shop")
app.config["SESSION_COOKIE_SECURE"] = False
store = open_secrets()
coffre.flask.init_app(app, store, health_url="/health/secrets")
coffre.flask.init_jwt(app, JWTManager(app), store)

@app.get("/login/<name>")
def login(name):
    session["name"] = name
    return create_access_token(name)

@app.get("/me")
@jwt_required()
def me():
    return {"session": session.get("name"), "token": get_jwt_identity(), "pid": os.getpid()}
"""

SERVERS = {
    "threads": ("--workers", "1", "--worker-class", "gthread", "--threads", "4"),
    "prefork": ("--workers", "3"),
    "preload": ("--workers", "3", "--preload"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_gunicorn_answers_every_request_while_both_keys_rotate(rig, kind, tmp_path):
    sessions, tokens = [material()], [material()]
    rig.put("flask/secret_key", value=sessions[0])
    rig.put("jwt/secret_key", value=tokens[0])
    (rig.directory / "shop_app.py").write_text(textwrap.dedent(APP))
    address, log = f"127.0.0.1:{free_port()}", tmp_path / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "--bind", address, "--log-level", "debug", *SERVERS[kind], "shop_app:app"]
    with open(log, "wb") as out:
        environ = rig.process_environ(COFFRE_SOFT_TTL="1s")
        server = subprocess.Popen(command, cwd=rig.directory, env=environ, stdout=out, stderr=out)
    try:
        until(lambda: answers(f"http://{address}/login/x") or server.poll() is not None)
        assert server.poll() is None, log.read_text()
        stop, seen, failures = threading.Event(), [], []
        clients = [threading.Thread(target=visit, args=(f"http://{address}", stop, seen, failures)) for _ in range(4)]
        [client.start() for client in clients]
        for step in range(2, 5):
            time.sleep(2.5)
            for path, materials in (("flask/secret_key", sessions), ("jwt/secret_key", tokens)):
                materials.append(material())
                # The key before the last stays accepted for what stands under it; the next is told before it is used.
                keys = [key(m, i + 1) for i, m in enumerate(materials)]
                keys[-2]["state"] = "active"
                rig.put(path, **ring(keys, epoch=2 * step, legacy=materials[0]))
            time.sleep(2.5)
            for path, materials in (("flask/secret_key", sessions), ("jwt/secret_key", tokens)):
                keys = [key(m, i + 1) for i, m in enumerate(materials[:-1])] + [key(materials[-1], len(materials), "active")]
                rig.put(path, **ring(keys, epoch=2 * step + 1, legacy=materials[0]))
        last = {kid_of(tokens[-1])}
        until(lambda: {jwt.get_unverified_header(answers(f"http://{address}/login/x"))["kid"] for _ in range(6)} == last)
        stop.set()
        [client.join() for client in clients]
        assert failures == []
        assert len(seen) > 100 and len({answer["pid"] for answer in seen}) == int(SERVERS[kind][1])
        rig.assert_shown_nowhere(requests.get(f"http://{address}/health/secrets", timeout=10).text)
    finally:
        server.terminate()
        server.wait(20)
    rig.assert_shown_nowhere(log.read_text())


def answers(url):
    try:
        answer = requests.get(url, timeout=10)
    except requests.ConnectionError:
        return None
    return answer.text if answer.status_code == 200 else None


def visit(address, stop, seen, failures):
    """Somebody who logged in once, at the very start, and comes again and again; and logs in anew now and then."""
    first, now = requests.Session(), requests.Session()
    bearers = [first.get(f"{address}/login/ada", timeout=10).text]
    bearers.append(bearers[0])
    now.cookies.update(first.cookies)
    turn = 0
    while not stop.is_set():
        for who, bearer in zip((first, now), bearers):
            answer = who.get(f"{address}/me", headers={"Authorization": f"Bearer {bearer}"}, timeout=10)
            if answer.status_code == 200 and answer.json()["session"] == answer.json()["token"] == "ada":
                seen.append(answer.json())
            else:
                failures.append((answer.status_code, answer.text))
        turn += 1
        if turn % 10 == 0:
            bearers[1] = now.get(f"{address}/login/ada", timeout=10).text
        time.sleep(0.02)
