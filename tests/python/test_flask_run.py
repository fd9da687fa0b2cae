"""`coffre run` with the real Flask application: it has exactly the bytes of `.env`, from the place that the rules allow."""

import hashlib
import hmac
import os
import secrets
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
import requests

from coffre_server import ArgvWatch, Server
from project import SAMPLE, Project
from stock_server import make

DEV = {"COFFRE_ENV": "dev"}
PROD = {"COFFRE_ENV": "prod", "ATMR_FINGERPRINTS": "1", "ATMR_DATABASE": "sqlite"}
UNAVAILABLE = 125
PACKAGE = SAMPLE.parents[1] / "target/python"


@pytest.fixture(scope="module")
def vault(server):
    """The module's server with engine, policies and AppRole method of the plan."""
    client = server.client()
    client.sys.enable_secrets_engine("kv", path="atmr", options={"version": "2"})
    client.sys.enable_auth_method("approle")
    for name, environment in (("atmr-api", "prod"), ("atmr-dev", "dev")):
        rule = f'path "atmr/data/{environment}/*" {{ capabilities = ["read"] }}'
        client.sys.create_or_update_policy(f"{name}-read", rule)
    return server


@pytest.fixture
def project(binary, vault, tmp_path):
    """A copy of the sample whose secrets are in the vault, with an identity for each environment."""
    project = Project(binary, tmp_path / "atmr")
    fill(vault, project)
    return project


def fill(server, project):
    v2 = server.client().secrets.kv.v2
    for environment in ("dev", "prod"):
        for name, path in project.paths.items():
            v2.create_or_update_secret(f"{environment}/{path}", {"value": project.expected[name]}, mount_point="atmr")


def identity(server, environment, policy=None):
    """A fresh role of the environment, as environment variables of its consumer."""
    client, name = server.client(), f"{environment}-{secrets.token_hex(4)}"
    policy = policy or {"dev": "atmr-dev-read", "prod": "atmr-api-read"}[environment]
    client.auth.approle.create_or_update_approle(name, token_policies=[policy], token_ttl="1h")
    role_id = client.auth.approle.read_role_id(name)["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id(name)["data"]["secret_id"]
    env = {"VAULT_ADDR": server.address, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id}
    return (env | {"VAULT_CACERT": str(server.ca)} if server.tls else env), name


def fingerprints(app):
    nonce = secrets.token_hex(16)
    return nonce, app.get("/config/fingerprints", params={"nonce": nonce})


def assert_has_the_bytes_of_dotenv(app, project):
    nonce, got = fingerprints(app)
    expected = {name: project.expected[name].encode() for name in project.secret_names}
    assert got["secrets"] == {name: hmac.new(nonce.encode(), value, hashlib.sha256).hexdigest() for name, value in expected.items()}


def assert_shows_no_value(app, project, watch):
    project.assert_no_secret("the output of coffre run and the application", app.text())
    for line in watch.seen:
        project.assert_no_secret("a command line", line)


@pytest.mark.parametrize(("environment", "settings"), [("dev", DEV), ("prod", PROD)])
def test_the_application_has_the_bytes_of_dotenv(project, vault, environment, settings):
    env, _ = identity(vault, environment)
    if environment == "prod":
        project.dotenv.unlink()
    with ArgvWatch() as watch, project.serve(str(project.binary), "run", "--", **settings, **env) as app:
        assert_has_the_bytes_of_dotenv(app, project)
        health = app.get("/health")
        assert health["source"].startswith("coffre run (vault"), health["source"]
        login = requests.post(f"{app.base}/auth/login", json={"username": "demo", "password": "demo"}, timeout=10)
        assert login.status_code == (200 if environment == "dev" else 401)
        for pid in app.processes():
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            names = {variable.partition(b"=")[0] for variable in variables}
            assert b"SECRET_KEY" in names
            assert not names & {b"VAULT_SECRET_ID", b"VAULT_TOKEN", b"VAULT_ROLE_ID"}
            assert {b"PYTHON_DOTENV_DISABLED=1", b"FLASK_SKIP_DOTENV=1"} <= set(variables)
    assert_shows_no_value(app, project, watch)


def test_a_token_serves_in_development(project, vault):
    token = vault.client().auth.token.create(policies=["atmr-dev-read"])["auth"]["client_token"]
    with project.serve(str(project.binary), "run", "--", **DEV, VAULT_ADDR=vault.address, VAULT_TOKEN=token) as app:
        assert_has_the_bytes_of_dotenv(app, project)


def test_over_tls(binary, tls_server, tmp_path):
    client = tls_server.client()
    client.sys.enable_secrets_engine("kv", path="atmr", options={"version": "2"})
    client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy("atmr-api-read", 'path "atmr/data/prod/*" { capabilities = ["read"] }')
    project = Project(binary, tmp_path / "atmr")
    fill(tls_server, project)
    env, _ = identity(tls_server, "prod")
    with project.serve(str(binary), "run", "--", **PROD, **env) as app:
        assert_has_the_bytes_of_dotenv(app, project)
    refused = run(project, **PROD, **env | {"VAULT_CACERT": "", "COFFRE_WAIT": "1s"})
    assert refused.returncode == UNAVAILABLE


def test_the_application_can_read_the_vault_by_itself(project, vault):
    if not PACKAGE.exists():
        pytest.skip("the Python package is not built: cargo xtask package")
    env, _ = identity(vault, "dev")
    with project.serve(**DEV, **env, PYTHONPATH=str(PACKAGE)) as app:
        assert app.get("/health")["source"] == "vault"
        assert_has_the_bytes_of_dotenv(app, project)


class Down:
    """A server that is stopped, sealed, or unsealed again; only the tests of this class touch it."""

    def __init__(self, server):
        self.server = server

    def make(self, state):
        if state == "stopped":
            self.server.stop()
        else:
            self.server.client().sys.seal()


@pytest.fixture
def down(binary, tmp_path):
    server = make(Server, binary, tmp_path / "server").bring_up()
    yield Down(server)
    server.stop()


def run(project, *command, code=None, **env):
    """`coffre run` with a command that leaves a mark if it was started."""
    command = command or ("sh", "-c", "echo started > started.txt")
    return project.coffre("run", "--", *command, code=code, **env)


def started(project):
    return (project.directory / "started.txt").exists()


@pytest.mark.parametrize("state", ["stopped", "sealed"])
class TestUnavailable:
    def prepared(self, binary, down, tmp_path, environment):
        client = down.server.client()
        client.sys.enable_auth_method("approle")
        client.sys.create_or_update_policy("any", 'path "atmr/*" { capabilities = ["read"] }')
        env, _ = identity(down.server, environment, policy="any")
        return Project(binary, tmp_path / "atmr"), env

    def test_development_takes_dotenv_with_a_banner(self, binary, down, tmp_path, state):
        project, env = self.prepared(binary, down, tmp_path, "dev")
        down.make(state)
        with ArgvWatch() as watch, project.serve(str(binary), "run", "--", **DEV, **env) as app:
            assert_has_the_bytes_of_dotenv(app, project)
            assert "dotenv" in app.get("/health")["source"]
        assert ".env" in app.text().partition("Serving Flask")[0], "a banner on stderr"
        assert_shows_no_value(app, project, watch)

    def test_elsewhere_it_waits_and_refuses(self, binary, down, tmp_path, state):
        project, env = self.prepared(binary, down, tmp_path, "prod")
        down.make(state)
        for settings in ({"COFFRE_ENV": "prod"}, {"COFFRE_ENV": "staging"}, {}):
            began = time.monotonic()
            refused = run(project, **settings, **env, COFFRE_WAIT="2s")
            assert refused.returncode == UNAVAILABLE
            assert 1.5 < time.monotonic() - began < 15
            assert not started(project)
            assert down.server.address in refused.stderr or "sealed" in refused.stderr

    def test_a_production_marker_vetoes_development(self, binary, down, tmp_path, state):
        project, env = self.prepared(binary, down, tmp_path, "dev")
        down.make(state)
        for marker in ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"FLASK_ENV": "production"}, {"INVOCATION_ID": "0" * 32}):
            refused = run(project, **DEV, **env, **marker, COFFRE_WAIT="1s")
            assert (refused.returncode, started(project)) == (UNAVAILABLE, False), marker

    def test_a_server_that_comes_back_in_time_is_used(self, binary, down, tmp_path, state):
        project, env = self.prepared(binary, down, tmp_path, "prod")
        down.server.client().sys.enable_secrets_engine("kv", path="atmr", options={"version": "2"})
        fill(down.server, project)
        down.make(state)
        command = [str(binary), "run", "--", "sh", "-c", "echo started > started.txt"]
        waiting = subprocess.Popen(
            command, cwd=project.directory, env=project.env | {"COFFRE_ENV": "prod"} | env | {"COFFRE_WAIT": "60s"}
        )
        try:
            time.sleep(1)
            assert waiting.poll() is None and not started(project)
            if state == "stopped":
                down.server.start()
            down.server.unseal()
            assert waiting.wait(30) == 0 and started(project)
        finally:
            waiting.kill()
            waiting.wait()


@pytest.mark.parametrize("environment", ["dev", "prod"])
class TestRefused:
    """The server answers and says no: an error, and never `.env`."""

    @pytest.mark.parametrize("how", ["role deleted", "secret_id destroyed", "policy taken away", "wrong secret_id"])
    def test_refusals(self, project, vault, environment, how):
        env, role = identity(vault, environment)
        client = vault.client()
        if how == "role deleted":
            client.auth.approle.delete_role(role)
        elif how == "secret_id destroyed":
            client.auth.approle.destroy_secret_id(role, env["VAULT_SECRET_ID"])
        elif how == "policy taken away":
            client.auth.approle.create_or_update_approle(role, token_policies=["default"])
        else:
            env["VAULT_SECRET_ID"] = "00000000-0000-0000-0000-000000000000"
        refused = run(project, **{"dev": DEV, "prod": PROD}[environment], **env)
        assert refused.returncode == UNAVAILABLE
        assert not started(project)
        assert refused.stderr.strip() and env["VAULT_SECRET_ID"] not in refused.stderr

    def test_a_missing_secret(self, project, vault, environment):
        env, _ = identity(vault, environment)
        vault.client().secrets.kv.v2.delete_latest_version_of_secret(f"{environment}/mail/password", mount_point="atmr")
        refused = run(project, **{"dev": DEV, "prod": PROD}[environment], **env)
        assert (refused.returncode, started(project)) == (UNAVAILABLE, False)
        assert "MAIL_PASSWORD" in refused.stderr

    def test_a_missing_local_secret_may_come_from_dotenv_in_development_only(self, project, vault, environment):
        env, _ = identity(vault, environment)
        vault.client().secrets.kv.v2.delete_metadata_and_all_versions(f"{environment}/redis/creds", mount_point="atmr")
        code = 0 if environment == "dev" else UNAVAILABLE
        done = run(project, "sh", "-c", 'test -n "$REDIS_URL"', code=code, **{"dev": DEV, "prod": PROD}[environment], **env)
        assert environment == "dev" or "REDIS_URL" in done.stderr


class TestSource:
    def test_without_an_address(self, project):
        with project.serve(str(project.binary), "run", "--", **DEV) as app:
            assert_has_the_bytes_of_dotenv(app, project)
        for settings in ({"COFFRE_ENV": "prod"}, {"COFFRE_ENV": "staging"}, {}):
            refused = run(project, **settings)
            assert (refused.returncode, started(project)) == (UNAVAILABLE, False)
            assert "VAULT_ADDR" in refused.stderr

    @pytest.mark.parametrize("environment", ["dev", "prod"])
    def test_use_vault_false_is_the_way_back(self, project, environment):
        settings = {"dev": DEV, "prod": PROD}[environment] | {"USE_VAULT": "false", "VAULT_ADDR": "http://127.0.0.1:1"}
        with project.serve(str(project.binary), "run", "--", **settings) as app:
            assert_has_the_bytes_of_dotenv(app, project)
        assert "USE_VAULT" in app.text()


class TestProcess:
    """The command behaves as if it had been run directly."""

    @pytest.fixture
    def env(self, vault, project):
        return DEV | identity(vault, "dev")[0]

    @pytest.mark.parametrize("code", [0, 1, 42, 255])
    def test_exit_codes_pass(self, project, env, code):
        run(project, "sh", "-c", f"exit {code}", code=code, **env)

    @pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "USR1"])
    def test_death_by_signal_shows(self, project, env, name):
        number = getattr(signal, f"SIG{name}")
        done = run(project, "sh", "-c", f"kill -{name} $$", **env)
        # Replaced by the command it dies of the signal itself; beside it, it answers 128 + n as a shell does.
        assert done.returncode in (-number, 128 + number)

    def test_not_found_and_not_executable(self, project, env):
        assert run(project, "no-such-command-here", **env).returncode == 127
        plain = project.directory / "plain.txt"
        plain.write_text("text")
        plain.chmod(plain.stat().st_mode & ~(stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
        assert run(project, "./plain.txt", **env).returncode == 126

    def test_streams_and_arguments_pass(self, project, env):
        done = project.coffre("run", "--", "sh", "-c", 'cat; printf "%s|" "$@" >&2', "sh", "a b", "", "*", stdin="typed", **env)
        assert (done.stdout, done.stderr.endswith("a b||*|")) == ("typed", True)
        assert "will not be parsed as flags" not in done.stderr, "behind -- everything is the command's"

    def test_a_signal_to_it_reaches_the_command(self, project, env):
        script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        command = [str(project.binary), "run", "--", "sh", "-c", script]
        process = subprocess.Popen(command, cwd=project.directory, env=project.env | env, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        assert (process.communicate(timeout=10)[0], process.returncode) == ("got it\n", 7)

    def test_dangerous_names_are_refused(self, project, env, vault):
        manifest = project.directory / "coffre.toml"
        manifest.write_text(manifest.read_text().replace("[secret.SENTRY_DSN]", "[secret.LD_PRELOAD]"))
        refused = run(project, **env)
        assert (refused.returncode, started(project)) == (UNAVAILABLE, False)
        assert "LD_PRELOAD" in refused.stderr
