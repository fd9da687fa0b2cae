"""The Python package against a real server: each function gives the truth, each error says what it is."""

import json
import pickle
import threading

import pytest

import coffre
from application import Application, prepare


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    return Application(vault, tmp_path / "app")


@pytest.fixture
def secrets(application):
    with application.open() as opened:
        yield opened


def test_a_secret_by_name_and_by_path_and_field(application, secrets):
    assert secrets.get_secret("JWT_SECRET_KEY") == application.jwt
    assert secrets.get_secret("jwt/secret_key", "value") == application.jwt
    assert secrets.get_secret("database/creds", "password") == application.password
    assert secrets.get_secret("SECRET_KEY") == secrets.get_secret(name="SECRET_KEY", field=None) == application.key


def test_composed_variables_are_made_of_the_others(application, secrets):
    assert secrets.get_secret("CELERY_BROKER_URL") == f"{application.redis}/1"
    assert secrets.get_secret("DATABASE_URL").startswith("postgresql://app_a:p%40ss%2Fw%3Ard-")


def test_a_document_is_one_version_of_all_fields(application, secrets):
    document = secrets.get_document("database/creds")
    assert dict(document.items()) == application.database
    assert {name: document[name] for name in document} == application.database
    assert sorted(document) == sorted(application.database) and len(document) == 5
    assert document.get("password") == application.password and document.get("nothing") is None
    assert "port" in document and "nothing" not in document
    assert document.version == application.version and 0 <= document.age < 60
    with pytest.raises(KeyError):
        document["nothing"]


def test_fields_that_are_not_texts_are_json(application, secrets):
    application.write("jwt/numbers", {"list": [{"gen": 9}], "epoch": 42, "yes": True, "none": None, "text": "42"})
    document = secrets.get_document("jwt/numbers")
    assert {name: json.loads(document[name]) for name in ("list", "epoch", "yes")} == {"list": [{"gen": 9}], "epoch": 42, "yes": True}
    assert document["text"] == "42" and document.epoch == 42


def test_database_credentials_are_of_one_version(application, secrets):
    credentials = secrets.get_database_credentials()
    assert (credentials.username, credentials.password) == ("app_a", application.password)
    assert (credentials.host, credentials.port, credentials.database) == ("db.internal", 5433, "atmr")
    assert credentials.url() == secrets.get_secret("DATABASE_URL")
    assert credentials.url(driver="postgresql+psycopg").startswith("postgresql+psycopg://app_a:p%40ss%2Fw%3Ard-")


def test_source_health_metrics_and_explain_hold_no_value(application, secrets):
    secrets.get_secret("JWT_SECRET_KEY")
    secrets.get_database_credentials()
    assert secrets.source() == "vault"
    health = secrets.health()
    assert health["source"] == "vault"
    metrics = secrets.metrics()
    assert "coffre_secrets_get_total" in metrics and "coffre_secrets_breaker_state" in metrics
    explanation = secrets.explain("JWT_SECRET_KEY")
    shown = f"{health} {metrics} {explanation} {explanation!r}"
    assert "jwt/secret_key" in str(explanation)
    application.assert_no_secret("health, metrics or explain", shown)


def test_a_change_on_the_server_is_seen_and_told(application, secrets):
    assert secrets.get_secret("JWT_SECRET_KEY") == application.jwt
    told, heard = [], threading.Event()
    stop = secrets.on_change(lambda change: (told.append(change), heard.set()))
    version = application.write("jwt/secret_key", {"value": "another"})
    secrets.refresh("jwt/secret_key")
    assert secrets.get_secret("JWT_SECRET_KEY") == "another"
    assert secrets.get_document("jwt/secret_key").version == version
    assert heard.wait(30)
    assert "JWT_SECRET_KEY" in told[0].names and "SECRET_KEY" not in told[0].names
    stop()
    heard.clear()
    application.write("jwt/secret_key", {"value": "a third"})
    secrets.refresh("jwt/secret_key")
    assert secrets.get_secret("JWT_SECRET_KEY") == "a third"
    assert not heard.wait(0.5)


def test_invalidate_leads_to_the_new_value(application, secrets):
    assert secrets.get_secret("JWT_SECRET_KEY") == application.jwt
    application.write("jwt/secret_key", {"value": "another"})
    secrets.invalidate("jwt/secret_key")
    for _ in range(200):
        if secrets.get_secret("JWT_SECRET_KEY") == "another":
            break
        threading.Event().wait(0.02)
    assert secrets.get_secret("JWT_SECRET_KEY") == "another"


def test_hits_do_not_ask_the_server(application, secrets):
    first = secrets.get_secret("JWT_SECRET_KEY")
    before = application.reads("jwt/secret_key")
    assert all(secrets.get_secret("JWT_SECRET_KEY") == first for _ in range(10_000))
    assert secrets.get_secret("JWT_SECRET_KEY") is secrets.get_secret("JWT_SECRET_KEY"), "the same object"
    assert application.reads("jwt/secret_key") == before


@pytest.mark.parametrize(
    ("arguments", "error", "kind"),
    [
        (("NO_SUCH_VARIABLE",), coffre.NotFound, "not_found"),
        (("no/such/path", "value"), coffre.NotFound, "not_found"),
        (("jwt/secret_key", "no-such-field"), coffre.NotFound, "not_found"),
    ],
)
def test_what_is_not_there_is_not_found(secrets, arguments, error, kind):
    with pytest.raises(error) as raised:
        secrets.get_secret(*arguments)
    assert isinstance(raised.value, coffre.CoffreError)
    assert (raised.value.kind, raised.value.retryable) == (kind, False)


@pytest.mark.parametrize("arguments", [(7,), (b"JWT_SECRET_KEY",), (None,), ("jwt/secret_key", 7), ([],), ()])
def test_arguments_that_are_no_texts_are_type_errors(secrets, arguments):
    with pytest.raises(TypeError):
        secrets.get_secret(*arguments)


@pytest.mark.parametrize("name", ["", "\0", "a/../b", "//", "\udcff", "x" * 100_000, "é", "jwt/secret_key"])
def test_strange_names_are_errors_of_ours(secrets, name):
    with pytest.raises((coffre.CoffreError, TypeError)):
        secrets.get_secret(name)
    with pytest.raises((coffre.CoffreError, TypeError)):
        secrets.get_secret(f"{name}/none", "value")


def test_closed_means_closed(application):
    secrets = application.open()
    assert secrets.get_secret("JWT_SECRET_KEY") == application.jwt and not secrets.closed
    document = secrets.get_document("jwt/secret_key")
    secrets.close()
    secrets.close()
    assert secrets.closed
    for call in (
        lambda: secrets.get_secret("JWT_SECRET_KEY"),
        lambda: secrets.get_secret("jwt/secret_key", "value"),
        lambda: secrets.get_document("jwt/secret_key"),
        secrets.get_database_credentials,
    ):
        with pytest.raises(coffre.CoffreError) as raised:
            call()
        assert raised.value.kind == "closed"
    assert document["value"] == application.jwt, "what was handed out stays with who has it"


def test_errors_can_be_pickled_and_hold_nothing_but_text(secrets):
    with pytest.raises(coffre.NotFound) as raised:
        secrets.get_secret("NO_SUCH_VARIABLE")
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is coffre.NotFound
    assert (str(again), again.kind, again.retryable) == (str(raised.value), "not_found", False)


def test_two_instances_do_not_meet(application, vault, tmp_path):
    other = Application(vault, tmp_path / "other")
    other.write("jwt/secret_key", {"value": other.jwt})
    with application.open() as one, other.open() as two:
        assert one.get_secret("JWT_SECRET_KEY") == two.get_secret("JWT_SECRET_KEY") == other.jwt
        one.close()
        assert two.get_secret("JWT_SECRET_KEY") == other.jwt
