"""No secret leaves the Python package but by being asked for: not in errors, tracebacks, `repr`, pickles, logs, dumps."""

import asyncio
import copy
import logging
import pickle
import sys
import time
import traceback

import pytest

import coffre
import coffre.aio
from application import Application, prepare
from coffre_server import free_port


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    return Application(vault, tmp_path / "app")


@pytest.fixture
def secrets(application):
    with application.open() as opened:
        opened.get_secret("JWT_SECRET_KEY")
        opened.get_secret("database/creds", "password")
        yield opened


def frames_of_ours(error: BaseException) -> str:
    """The traceback with the variables of those frames that belong to the package."""
    shown = []
    for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
        if "/coffre/" in frame.filename:
            shown.append(f"{frame.filename}:{frame.lineno} {frame.locals}")
    return "\n".join([*shown, str(error), repr(error), repr(error.__dict__), repr(error.__cause__), repr(error.__context__)])


def test_n1_errors_and_tracebacks(application, secrets):
    calls = [
        lambda: secrets.get_secret("NO_SUCH_VARIABLE"),
        lambda: secrets.get_secret("jwt/secret_key", "nothing"),
        lambda: secrets.get_document("no/such"),
        lambda: coffre.Secrets(application.environ(VAULT_ADDR=f"http://127.0.0.1:{free_port()}", COFFRE_WAIT="0"), directory=application.directory),
        lambda: coffre.Secrets(application.environ(VAULT_SECRET_ID=f"{application.secret_id}x"), directory=application.directory),
        lambda: coffre.Secrets([application.secret_id]),
        lambda: coffre.Secrets(application.environ(), directory=7),
    ]
    for call in calls:
        with pytest.raises((coffre.CoffreError, TypeError)) as raised:
            call()
        application.assert_no_secret("an error", frames_of_ours(raised.value))


def test_n1_errors_and_tracebacks_of_tasks(application):
    async def ask():
        for bad in (
            lambda: coffre.aio.Secrets(application.environ(VAULT_ADDR=f"http://127.0.0.1:{free_port()}", COFFRE_WAIT="0"), directory=application.directory),
            lambda: coffre.aio.Secrets(application.environ(), directory=7),
        ):
            with pytest.raises((coffre.CoffreError, TypeError)) as raised:
                async with bad():
                    pass
            application.assert_no_secret("an error", frames_of_ours(raised.value))
        secrets = coffre.aio.Secrets(application.environ(), directory=application.directory)
        async with secrets:
            assert await secrets.get_secret("JWT_SECRET_KEY") == application.jwt
            with pytest.raises(coffre.NotFound) as raised:
                await secrets.get_secret("NO_SUCH_VARIABLE")
            application.assert_no_secret("an error", frames_of_ours(raised.value))
            application.assert_no_secret("repr", f"{secrets!r} {secrets.__dict__}")
            with pytest.raises(TypeError):
                pickle.dumps(secrets)

    asyncio.run(ask())


def test_repr_str_and_format(application, secrets):
    things = [
        secrets, secrets.get_document("database/creds"), secrets.get_database_credentials(),
        secrets.keyring("jwt/secret_key"), secrets.explain("JWT_SECRET_KEY"), secrets.health(),
    ]
    for thing in things:
        application.assert_no_secret(type(thing).__name__, f"{thing} {thing!r} {thing:}" if not isinstance(thing, dict) else repr(thing))
        assert len(repr(thing)) < 2000


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickles_and_copies_are_refused(secrets, way):
    for thing in (secrets, secrets.get_document("database/creds"), secrets.get_database_credentials()):
        with pytest.raises(TypeError) as raised:
            way(thing)
        assert "cannot be pickled" in str(raised.value)


def test_there_is_no_other_way_into_the_objects(application, secrets):
    for thing in (secrets, secrets.get_document("database/creds"), secrets.get_database_credentials()):
        assert not hasattr(thing, "__dict__")
        with pytest.raises((AttributeError, TypeError)):
            thing.password = "x"
        with pytest.raises(TypeError):
            vars(thing)


def test_n1_logging_tells_what_happens_without_values(application, caplog):
    with caplog.at_level(logging.DEBUG, logger="coffre"):
        with application.open() as secrets:
            for name in ("JWT_SECRET_KEY", "SECRET_KEY", "DATABASE_URL"):
                secrets.get_secret(name)
            with pytest.raises(coffre.NotFound):
                secrets.get_secret("no/such", "value")
            application.write("jwt/secret_key", {"value": "changed-changed"})
            secrets.refresh("jwt/secret_key")
    assert caplog.records, "something was told"
    assert {record.name for record in caplog.records} == {"coffre"}
    application.assert_no_secret("the log", "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records))
    assert "changed-changed" not in caplog.text


def test_a_program_that_dies_shows_nothing(application):
    for ending in (
        "raise RuntimeError('the application failed')",
        "import faulthandler, os, signal; faulthandler.enable(); os.kill(os.getpid(), signal.SIGABRT)",
        "import faulthandler; faulthandler.dump_traceback(); raise SystemExit(1)",
    ):
        done = application.run(
            f"""
            import coffre
            coffre.get_secret("JWT_SECRET_KEY"); coffre.get_database_credentials()
            {ending}
            """,
            code=None,
        )
        assert done.returncode != 0
        application.assert_no_secret("what a dying program prints", done.stdout + done.stderr)


def test_a_value_that_was_withdrawn_is_referenced_no_more(application, secrets):
    """A Python string cannot be wiped; what can be done is to let go of it."""
    value = secrets.get_secret("JWT_SECRET_KEY")
    held = sys.getrefcount(value)
    application.write("jwt/secret_key", {"value": "another-another"})
    secrets.refresh("jwt/secret_key")
    for _ in range(500):
        if sys.getrefcount(value) < held:
            break
        time.sleep(0.01)
    assert sys.getrefcount(value) < held, "the package still holds the old value"
    other = secrets.get_secret("JWT_SECRET_KEY")
    held = sys.getrefcount(other)
    secrets.close()
    assert sys.getrefcount(other) < held
