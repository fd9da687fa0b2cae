"""The Python package decides once where secrets come from, by the rule of the product, and refuses in production."""

import json
import subprocess
import sys

import pytest

import coffre
from application import PACKAGE, Application, fresh, prepare
from coffre_server import free_port

READ = """
import coffre, json
print(json.dumps([coffre.get_secret("JWT_SECRET_KEY"), coffre.source()]))
"""
REFUSED = """
import coffre, json
try:
    coffre.get_secret("JWT_SECRET_KEY")
except coffre.SourceError as error:
    print(json.dumps([str(error), error.kind, error.retryable]))
"""


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    application = Application(vault, tmp_path / "app")
    application.local = fresh("dotenv-jwt")
    lines = f"JWT_SECRET_KEY={application.local}\nSECRET_KEY={fresh('dotenv')}\nREDIS_URL=redis://localhost:1\n"
    (application.directory / ".env").write_text(lines)
    (application.directory / ".env").chmod(0o600)
    return application


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_the_server_in_production(application):
    assert application.answer(READ) == [application.jwt, "vault"]


def test_use_vault_false_goes_back_to_dotenv_with_a_warning(application):
    done = application.run(READ, environ=application.environ(USE_VAULT="false"))
    assert [application.local, "dotenv (USE_VAULT=false)"] == json.loads(done.stdout)
    assert "USE_VAULT" in done.stderr, "the warning reaches a program that configured no logging"


def test_development_without_a_server_is_dotenv(application):
    environ = {name: value for name, value in application.environ(COFFRE_ENV="dev").items() if not name.startswith("VAULT_")}
    assert application.answer(READ, environ=environ) == [application.local, "dotenv"]


def test_development_falls_back_when_the_server_is_away_and_says_so(application):
    done = application.run(READ, environ=application.environ(COFFRE_ENV="dev", VAULT_ADDR=nowhere()))
    assert json.loads(done.stdout) == [application.local, "dotenv (vault unavailable)"]
    assert "dotenv" in done.stderr


def test_production_without_an_address_refuses_and_says_how_to_mend_it(application):
    environ = {name: value for name, value in application.environ().items() if not name.startswith("VAULT_")}
    text, kind, retryable = application.answer(REFUSED, environ=environ)
    assert "VAULT_ADDR" in text and not retryable
    assert kind == "refused"


def test_production_waits_and_then_refuses_when_the_server_is_away(application):
    text, _, _ = application.answer(REFUSED, environ=application.environ(VAULT_ADDR=nowhere(), COFFRE_WAIT="1"))
    assert ".env is not used" in text


@pytest.mark.parametrize("marker", [{"FLASK_ENV": "production"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_a_production_marker_vetoes_development(application, marker):
    environ = application.environ(COFFRE_ENV="dev", VAULT_ADDR=nowhere(), COFFRE_WAIT="1", **marker)
    text, _, _ = application.answer(REFUSED, environ=environ)
    assert ".env is not used" in text


def test_a_wrong_identity_is_refused_and_never_leads_to_dotenv(application):
    for environment in ("prod", "dev"):
        environ = application.environ(COFFRE_ENV=environment, VAULT_SECRET_ID="11111111-2222-3333-4444-555555555555")
        text, _, _ = application.answer(REFUSED, environ=environ)
        assert application.server.address in text


def test_behind_coffre_run_values_come_from_the_environment(application, binary):
    environ = application.environ() | {"PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(binary), "run", "--", sys.executable, "-c", READ], cwd=application.directory, env=environ,
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr
    value, source = json.loads(done.stdout)
    assert value == application.jwt
    assert source == "environment"


def test_what_the_module_opened_refused_once_is_tried_again(application):
    """A refusal is not kept: the application may try again, and threads that waited share one attempt."""
    shown = application.answer(
        """
        import coffre, json, os, threading, time
        address = os.environ.pop("VAULT_ADDR")
        kinds = []
        def ask():
            try:
                coffre.get_secret("JWT_SECRET_KEY")
            except coffre.SourceError as error:
                kinds.append(error.kind)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        os.environ["VAULT_ADDR"] = address
        print(json.dumps([kinds, coffre.get_secret("JWT_SECRET_KEY")]))
        """
    )
    assert shown == [["refused"] * 8, application.jwt]


def test_settings_of_an_instance_win_over_the_environment(application, tmp_path):
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text((application.directory / "coffre.toml").read_text())
    environ = application.environ(VAULT_ADDR=nowhere(), COFFRE_ENV="dev")
    with coffre.Secrets(environ, manifest=elsewhere, address=application.server.address, environment="prod") as secrets:
        assert secrets.get_secret("JWT_SECRET_KEY") == application.jwt
        assert secrets.source() == "vault"


def test_a_missing_or_broken_manifest_is_said(application, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(coffre.SourceError, match=r"coffre\.toml"):
        coffre.Secrets(application.environ(), directory=empty)
    (empty / "coffre.toml").write_text("app = 7\n")
    with pytest.raises(coffre.SourceError, match=r"coffre\.toml"):
        coffre.Secrets(application.environ(), directory=empty)


@pytest.mark.parametrize("content", [b"JWT_SECRET_KEY=\xff\xfe\n", b"A='half", b"JWT_SECRET_KEY=a\0b\n"])
def test_a_broken_dotenv_is_named_and_its_content_is_not(application, content):
    (application.directory / ".env").write_bytes(b"SECRET_KEY=quiet-quiet-quiet\n" + content)
    with pytest.raises(coffre.CoffreError) as raised:
        with coffre.Secrets(application.environ(USE_VAULT="false"), directory=application.directory) as secrets:
            secrets.get_secret("JWT_SECRET_KEY")
    assert "quiet-quiet-quiet" not in str(raised.value) and "a\0b" not in str(raised.value)
