"""The Python package on bad days: the server goes and comes back, is sealed, a secret is deleted, a policy is withdrawn.

The bounds are a second and a few, by the document that sets them for every client (`_rot/policy`)."""

import threading
import time

import pytest

import coffre
from application import Application, allow, prepare
from gate import Gate

SOFT, HARD = 0.5, 3.0
# How long a client may rest after trials in vain, on a machine that is busy.
WITHIN = 40.0


@pytest.fixture
def application(fresh_server, tmp_path):
    application = Application(prepare(fresh_server), tmp_path / "app")
    application.write("_rot/policy", {"soft_ttl": "500ms", "max_stale": "3s"})
    return application


@pytest.fixture
def gate(fresh_server):
    with Gate(fresh_server.port) as gate:
        yield gate


@pytest.fixture
def secrets(application, gate):
    with application.open(VAULT_ADDR=gate.address) as opened:
        yield opened


def until(outcome, within: float = WITHIN):
    """Repeats until `outcome()` is true; the time it took."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        if outcome():
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"not within {within} s")


def error_of(read):
    try:
        read()
    except coffre.CoffreError as error:
        return error
    return None


def test_the_server_goes_and_comes_back(application, secrets, gate):
    read = lambda: secrets.get_secret("JWT_SECRET_KEY")  # noqa: E731
    assert read() == application.jwt
    gate.close()
    lost = time.monotonic()
    while time.monotonic() - lost < HARD - SOFT - 0.5:
        began = time.monotonic()
        assert read() == application.jwt, "served within the bound"
        assert time.monotonic() - began < 0.25, "and at once"
        time.sleep(0.02)
    until(lambda: error_of(read) is not None)
    assert time.monotonic() - lost <= HARD + SOFT + 3
    error = error_of(read)
    assert isinstance(error, (coffre.Stale, coffre.Unavailable)) and error.retryable
    application.assert_no_secret("the error", repr(error))
    assert secrets.health()["status"] == "failed"
    application.write("jwt/secret_key", {"value": "after the outage"})
    gate.open()
    until(lambda: error_of(read) is None)
    assert read() == "after the outage"


def test_sealed_and_unsealed(application, secrets, fresh_server):
    read = lambda: secrets.get_secret("JWT_SECRET_KEY")  # noqa: E731
    assert read() == application.jwt
    fresh_server.client().sys.seal()
    for _ in range(20):
        assert read() == application.jwt, "sealed is away, not no"
        time.sleep(0.05)
    until(lambda: error_of(read) is not None)
    assert error_of(read).retryable
    fresh_server.unseal()
    until(lambda: error_of(read) is None)
    assert read() == application.jwt


def test_a_deleted_secret_is_gone(application, secrets, fresh_server):
    read = lambda: secrets.get_secret("jwt/secret_key", "value")  # noqa: E731
    assert read() == application.jwt
    fresh_server.client().secrets.kv.v2.delete_latest_version_of_secret("prod/jwt/secret_key", mount_point="atmr")
    took = until(lambda: isinstance(error_of(read), coffre.Gone))
    assert took < SOFT + 5
    assert not error_of(read).retryable
    assert isinstance(error_of(lambda: secrets.get_document("jwt/secret_key")), coffre.Gone)
    assert isinstance(error_of(lambda: secrets.get_secret("JWT_SECRET_KEY")), coffre.Gone)
    assert secrets.get_secret("SECRET_KEY") == application.key, "the others stay"


def test_a_policy_that_is_withdrawn_denies_and_one_that_comes_back_allows(application, secrets, fresh_server):
    read = lambda: secrets.get_secret("JWT_SECRET_KEY")  # noqa: E731
    assert read() == application.jwt
    allow(fresh_server, 'path "atmr/data/prod/flask/*" { capabilities = ["read"] }')
    until(lambda: isinstance(error_of(read), coffre.Denied))
    error = error_of(read)
    assert not error.retryable and error.kind == "denied"
    assert secrets.get_secret("SECRET_KEY") == application.key
    allow(fresh_server)
    until(lambda: error_of(read) is None)
    assert read() == application.jwt


def test_a_token_that_was_revoked_is_replaced_without_an_error(application, secrets, fresh_server):
    client = fresh_server.client()
    stop, errors = threading.Event(), []

    def work():
        while not stop.is_set():
            error = error_of(lambda: secrets.get_secret("JWT_SECRET_KEY"))
            if error is not None:
                errors.append(error)
            time.sleep(0.01)

    reader = threading.Thread(target=work)
    reader.start()
    before = application.logins()
    for accessor in client.auth.token.list_accessors()["data"]["keys"]:
        about = client.auth.token.lookup_accessor(accessor)["data"]
        if about["path"].startswith("auth/approle"):
            client.auth.token.revoke_accessor(accessor)
    application.write("jwt/secret_key", {"value": "after the new login"})
    until(lambda: secrets.get_secret("JWT_SECRET_KEY") == "after the new login")
    stop.set()
    reader.join()
    assert errors == []
    assert application.logins() - before <= 2


def test_an_outage_is_told_and_counted(application, secrets, gate):
    read = lambda: secrets.get_secret("JWT_SECRET_KEY")  # noqa: E731
    read()
    gate.close()
    until(lambda: error_of(read) is not None)
    metrics = secrets.metrics()
    counted = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    for name in ('coffre_secrets_get_total{result="degraded"}', "coffre_secrets_degraded_seconds_total"):
        assert float(counted[name]) > 0, name
    assert secrets.health()["status"] == "failed"
    application.assert_no_secret("metrics and health", metrics + repr(secrets.health()))
