"""The server's description of itself, read by tools that others wrote: a validator, and a generator of requests that
checks each answer against the document. CI bounds the latter by COFFRE_SCHEMATHESIS_SECONDS (default 25 for each token)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from openapi_spec_validator import validate

from coffre_server import DevServer

SECONDS = int(os.environ.get("COFFRE_SCHEMATHESIS_SECONDS", "25"))
DOCUMENT = "sys/internal/specs/openapi"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

# Left out, each with its reason. Everything else is called with whatever the generator makes up.
EXCLUDED = {
    "/sys/seal": "nothing could be asked afterwards",
    "/sys/step-down": "gives up the active role",
    "/sys/rekey/init": "an unfinished ceremony changes what later requests of the run are answered",
    "/auth/token/revoke-self": "takes the run's own token away",
    "/sys/config/auditing/request-headers/": "a GET without list=true is the read of the path without its slash",
    "/sys/policies/acl/{name}": "could take away the rights of the low-privilege token",
    "/sys/policy/{name}": "the same",
}
EXCLUDED_PATTERNS = {
    r"^/sys/audit/": "a device whose sink blocks or vanishes stops all requests, as it must",
    r"^/sys/quotas/": "a quota made up by the generator throttles the rest of the run",
}


def get(server, token, query="", method="GET", body=None):
    headers = {"X-Vault-Token": token} if token else {}
    answer = requests.request(method, f"{server.address}/v1/{DOCUMENT}{query}", headers=headers, json=body, timeout=20)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    return answer.json()


@pytest.fixture(scope="module")
def furnished(dev_server):
    client = dev_server.client()
    client.sys.enable_auth_method("approle")
    client.sys.enable_secrets_engine("kv", path="kv1", options={"version": "1"})
    client.sys.create_or_update_policy("low", 'path "secret/data/app/*" { capabilities = ["create", "read", "update", "list"] }')
    return dev_server


@pytest.mark.parametrize("query", ["", "?generic_mount_paths=true"])
def test_a_public_validator_takes_the_document(furnished, query):
    document = get(furnished, furnished.root, query)
    validate(document)
    assert document["openapi"] == "3.0.2" and len(document["paths"]) > 60


def test_the_document_by_write_is_the_same(furnished):
    body = {"generic_mount_paths": True}
    assert get(furnished, furnished.root, method="POST", body=body) == get(furnished, furnished.root, "?generic_mount_paths=1")
    assert "/{kv_v2_mount_path}/data/{path}" in get(furnished, furnished.root, method="POST", body=body)["paths"]


def test_each_caller_has_its_own_document(furnished):
    assert get(furnished, "")["paths"] == {} == get(furnished, "hvs.nobody")["paths"]
    token = furnished.client().auth.token.create(policies=["low"], no_default_policy=True)["auth"]["client_token"]
    paths = get(furnished, token)["paths"]
    assert "/secret/data/{path}" in paths and all(path.startswith("/secret/") for path in paths)
    validate(get(furnished, token))


def test_help_is_asked_on_the_path_itself(furnished):
    def ask(method, path, token=furnished.root):
        headers = {"X-Vault-Token": token} if token else {}
        return requests.request(method, f"{furnished.address}/v1/{path}", headers=headers, timeout=20)

    for method, path in [("GET", "secret/data/a?help=1"), ("GET", "secret/data/a/?help=1"), ("HELP", "secret/data/a")]:
        answer = ask(method, path)
        assert answer.status_code == 200 and set(answer.json()) == {"help", "see_also", "openapi"}, answer.text
        assert "Read a version of a secret." in answer.json()["help"]
    # It does what it says and nothing else.
    assert ask("DELETE", "sys/mounts/kv1?help=1").status_code == 200
    assert "kv1/" in furnished.client().sys.list_mounted_secrets_engines()["data"]
    assert "secret/metadata/{path*}" in ask("GET", "secret?help=1").json()["help"]
    assert ask("GET", "secret/data/a?help=1", token="").status_code == 403


@pytest.mark.parametrize("who", ["root", "low"])
def test_answers_are_what_the_document_says(binary, tmp_path, who):
    """A fresh server for each token: no request of the generator is a server error, and each answer has the form that the
    document promises for its status."""
    server = DevServer(binary, tmp_path / "server").start()
    try:
        client = server.client()
        client.sys.enable_auth_method("approle")
        client.sys.enable_secrets_engine("kv", path="kv1", options={"version": "1"})
        client.sys.create_or_update_policy("low", 'path "+/data/*" { capabilities = ["create", "read", "update", "list", "delete"] }')
        token = server.root
        if who == "low":
            token = client.auth.token.create(policies=["low"])["auth"]["client_token"]
        run = generate(server, token, tmp_path)
        assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
        assert "Tested:" in run.stdout
        health = requests.get(f"{server.address}/v1/sys/health", timeout=20)
        assert health.status_code == 200, "the server is up and unsealed"
    finally:
        server.stop()


def generate(server: DevServer, token: str, directory: Path) -> subprocess.CompletedProcess:
    # The root document, also for the low-privilege token: it must be refused properly where it may not go.
    document = directory / "openapi.json"
    headers = {"X-Vault-Token": server.root}
    document.write_text(requests.get(f"{server.address}/v1/{DOCUMENT}", headers=headers, timeout=20).text)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", str(document), "--url", f"{server.address}/v1"]
    command += ["-H", f"X-Vault-Token: {token}", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "3", "--max-time", str(SECONDS), "--seed", "20261122", "--continue-on-failure", "--no-color"]
    command += ["--warnings", "off", "--generation-database", "none"]
    for path in EXCLUDED:
        command += ["--exclude-path", path]
    for pattern in EXCLUDED_PATTERNS:
        command += ["--exclude-path-regex", pattern]
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, timeout=4 * SECONDS + 60)
