"""The direct way, over real HTTP against a small server which answers as a vault does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from dotenv import dotenv_values

from backend.config import load_config
from backend.shared.manifest import render
from backend.shared.secret_source import SourceError, load
from backend.shared.vault_client import CACHE_SECONDS, SecretMissing, VaultClient, VaultDenied, VaultUnavailable


class FakeVault(ThreadingHTTPServer):
    """AppRole login and KV version 2 reads; `tokens` are those in force, `requests` what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.documents, self.tokens, self.requests = {}, set(), []
        self.sealed, self.denied = False, False

    @property
    def environ(self):
        return {"VAULT_ADDR": f"http://127.0.0.1:{self.server_port}", "VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "once"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        vault, path = self.server, self.path.partition("?")[0]
        vault.requests.append(path)
        if path == "/v1/sys/seal-status":
            self._answer(200, {"sealed": vault.sealed, "initialized": True})
        elif vault.sealed:
            self._answer(503, {"errors": ["Vault is sealed"]})
        elif vault.denied or self.headers.get("X-Vault-Token") not in vault.tokens:
            self._answer(403, {"errors": ["permission denied"]})
        elif path.removeprefix("/v1/atmr/data/") in vault.documents:
            data = vault.documents[path.removeprefix("/v1/atmr/data/")]
            self._answer(200, {"data": {"data": data, "metadata": {"version": 1}}})
        else:
            self._answer(404, {"errors": []})

    def do_POST(self):
        vault = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vault.requests.append(self.path)
        if self.path == "/v1/auth/approle/login" and body == {"role_id": "role", "secret_id": "once"}:
            token = f"hvs.{len(vault.requests)}"
            vault.tokens.add(token)
            self._answer(200, {"auth": {"client_token": token}})
        else:
            self._answer(400, {"errors": ["invalid role or secret ID"]})

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def vault():
    server = FakeVault()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def filled(vault, manifest, dotenv):
    values = dotenv_values(dotenv)
    for environment in ("dev", "prod"):
        for name, path in manifest.paths.items():
            vault.documents[f"{environment}/{path}"] = {"value": values[name]}
    return vault


def test_reads_are_cached_for_their_time_only(vault):
    now = [0.0]
    vault.documents["dev/a"] = {"value": "1", "user": "u"}
    client = VaultClient(vault.environ, "atmr", clock=lambda: now[0])
    assert (client.get("dev/a"), client.get("dev/a", "user")) == ("1", "u")
    vault.documents["dev/a"] = {"value": "2"}
    now[0] = CACHE_SECONDS - 1
    assert client.get("dev/a") == "1"
    now[0] = CACHE_SECONDS
    assert client.get("dev/a") == "2"
    assert client.counts == {"login": 1, "read": 2, "hit": 2}


def test_an_expired_token_is_replaced_once(vault):
    vault.documents["dev/a"] = vault.documents["dev/b"] = {"value": "1"}
    client = VaultClient(vault.environ, "atmr")
    client.get("dev/a")
    vault.tokens.clear()
    assert client.get("dev/b") == "1"
    assert client.counts["login"] == 2


def test_errors_are_told_apart(vault):
    client = VaultClient(vault.environ, "atmr")
    with pytest.raises(SecretMissing):
        client.get("dev/nothing")
    vault.documents["dev/a"] = {"other": "1"}
    with pytest.raises(SecretMissing, match="no field value"):
        client.get("dev/a")
    vault.denied = True
    with pytest.raises(VaultDenied):
        client.get("dev/b")
    vault.sealed = True
    with pytest.raises(VaultUnavailable, match="sealed"):
        client.get("dev/b")
    with pytest.raises(VaultDenied) as refused:
        VaultClient(vault.environ | {"VAULT_SECRET_ID": "wrong-secret-id"}, "atmr")._login()
    assert "wrong-secret-id" not in str(refused.value)
    with pytest.raises(VaultDenied, match="no identity"):
        VaultClient({"VAULT_ADDR": vault.environ["VAULT_ADDR"]}, "atmr").get("dev/a")


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_server_that_answers_is_the_source(filled, environment, dotenv, tmp_path, manifest):
    config = load_config(filled.environ | {"COFFRE_ENV": environment}, dotenv if environment == "dev" else tmp_path / "none")
    assert config.SOURCE == "vault"
    assert config.SECRETS == {name: dotenv_values(dotenv)[name] for name in manifest.secrets}
    assert {config.ORIGIN[name] for name in manifest.paths} == {"vault"}


@pytest.mark.parametrize("state", ["sealed", "down"])
def test_in_development_an_unavailable_server_means_dotenv_with_a_banner(filled, state, dotenv, caplog):
    environ = filled.environ | {"COFFRE_ENV": "dev"}
    if state == "sealed":
        filled.sealed = True
    else:
        environ["VAULT_ADDR"] = "http://127.0.0.1:1"
    assert load_config(environ, dotenv).SOURCE == "dotenv (vault unavailable)"
    assert "VAULT UNAVAILABLE" in caplog.text


@pytest.mark.parametrize("environment", ["prod", "staging"])
@pytest.mark.parametrize("state", ["sealed", "down"])
def test_elsewhere_it_is_waited_for_and_then_refused(filled, state, environment, dotenv, manifest):
    environ = filled.environ | {"COFFRE_ENV": environment}
    if state == "sealed":
        filled.sealed = True
    else:
        environ["VAULT_ADDR"] = "http://127.0.0.1:1"
    slept = []
    with pytest.raises(SourceError, match="not falling back to .env"):
        load(environ, manifest, dotenv, sleep=slept.append)
    assert sum(slept) == pytest.approx(30.0)


def test_a_server_that_comes_up_in_time_is_used(filled, dotenv, manifest):
    filled.sealed = True

    def unseal_meanwhile(_seconds):
        filled.sealed = False

    loaded = load(filled.environ | {"COFFRE_ENV": "prod"}, manifest, dotenv, sleep=unseal_meanwhile)
    assert loaded.source == "vault"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_refusal_is_an_error_and_never_dotenv(filled, environment, dotenv, manifest):
    filled.denied = True
    with pytest.raises(VaultDenied):
        load(filled.environ | {"COFFRE_ENV": environment}, manifest, dotenv)


def test_a_missing_secret_may_stay_local_only_where_the_manifest_says_so(filled, dotenv, manifest):
    del filled.documents["dev/redis/creds"], filled.documents["prod/redis/creds"]
    loaded = load(filled.environ | {"COFFRE_ENV": "dev"}, manifest, dotenv)
    assert (loaded.origin["REDIS_URL"], loaded.origin["CELERY_BROKER_URL"]) == ("dotenv", "composed")
    with pytest.raises(SecretMissing):
        load(filled.environ | {"COFFRE_ENV": "prod"}, manifest, dotenv)
    del filled.documents["dev/mail/password"]
    with pytest.raises(SecretMissing):
        load(filled.environ | {"COFFRE_ENV": "dev"}, manifest, dotenv)


def test_templates_are_filled_in(manifest):
    assert render("a:{P|pct}@{{h}}/{P}", {"P": "p@ß/"}) == "a:p%40%C3%9F%2F@{h}/p@ß/"
    with pytest.raises(KeyError):
        render("{Q}", {})
