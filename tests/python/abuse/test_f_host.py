"""Rows F: what the storage may name, and what the host may see."""

import base64
import json
import socket
from pathlib import Path

import pytest

from coffre_server import ArgvWatch, Server
from service_accounts import claims, new_key, pem, token

EXECUTABLE = "/bin/true"


@pytest.mark.parametrize("table", ["mounts", "auth"])
def test_f10_no_mount_names_a_program(server, table):
    """Engines and methods are those that are built in: a path, a library or an address as a type is refused, and no mount appears."""
    before = server.call("GET", f"sys/{table}").json()["data"]
    for kind in (EXECUTABLE, "../evil", "evil.so", "https://evil.example/x", "exec", "file:///bin/true"):
        for body in ({"type": kind}, {"type": "plugin", "plugin_name": kind}, {"plugin_name": kind}):
            assert server.call("POST", f"sys/{table}/evil", body).status_code == 400, body
    assert server.call("GET", f"sys/{table}").json()["data"] == before


def test_f10_nothing_registers_or_restores_a_program(server):
    """There is no way to register a program, to reload one, or to bring in records from elsewhere."""
    entry = {"sha256": "0" * 64, "command": EXECUTABLE, "args": ["x"], "env": ["A=b"]}
    for method, path in (
        ("POST", "sys/plugins/catalog/secret/evil"), ("PUT", "sys/plugins/catalog/evil"), ("POST", "sys/plugins/reload/backend"),
        ("POST", "sys/plugins/pins/secret/evil"), ("POST", "sys/storage/raft/snapshot"), ("POST", "sys/storage/raft/snapshot-force"),
        ("PUT", "sys/raw/core/mounts"), ("POST", "sys/config/group-policy-application"),
    ):
        assert server.call(method, path, entry).status_code in (400, 404, 405), path
    known = server.call("GET", "sys/plugins/catalog").json()["data"]
    assert "evil" not in json.dumps(known) and all(plugin["builtin"] for plugin in known["detailed"])


def test_f10_an_address_that_is_stored_is_not_called_where_keys_are_given(server):
    """With public keys no login makes the server call the stored address of the cluster, and only web addresses can be stored."""
    key = new_key("ES256")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(1)
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert server.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"}).status_code == 204
        config = {"kubernetes_host": host, "pem_keys": [pem(key)], "token_reviewer_jwt": "x"}
        assert server.call("POST", "auth/kubernetes/config", config).status_code in (200, 204)
        role = {"bound_service_account_names": "app", "bound_service_account_namespaces": "default", "audience": "vault"}
        assert server.call("POST", "auth/kubernetes/role/app", role).status_code in (200, 204)
        login = server.call("POST", "auth/kubernetes/login", {"role": "app", "jwt": token(key, "ES256", claims())}, token="")
        assert login.status_code == 200, login.text
        with pytest.raises(TimeoutError):
            listener.accept()
    for path in ("file:///etc/passwd", EXECUTABLE, "unix:///run/x"):
        assert server.call("POST", "auth/kubernetes/config", config | {"kubernetes_host": path}).status_code == 400
    assert server.call("GET", "auth/kubernetes/config").json()["data"]["kubernetes_host"] == host


@pytest.mark.parametrize("path", ["core/keyring", "core/master", "core/seal-config", "core/mounts", "logical/x", "sys/token/id/x", ""])
def test_f11_the_storage_cannot_be_read_through_the_api(server, path):
    """Raw storage is not there, for root neither: every verb gets 404, and strangers get 403."""
    for method in ("GET", "LIST", "PUT", "POST", "DELETE"):
        answer = server.call(method, f"sys/raw/{path}", {"value": "x"} if method in ("PUT", "POST") else None)
        assert answer.status_code == 404 and "data" not in answer.json(), (method, answer.text)
        assert server.call(method, f"sys/raw/{path}", token="").status_code in (403, 404)


def test_f17_the_host_sees_no_secret(binary, tmp_path):
    """No command line, no environment and no line of the log holds a share, a root token or a value, from start to unsealing and after."""
    server, value = Server(binary, tmp_path / "server"), "CANARYf17-5b20c1"
    with ArgvWatch() as watch:
        server.bring_up()
        try:
            server.call("PUT", "cubbyhole/x", {"k": value})
            server.client().sys.seal()
            server.unseal()
            process = Path(f"/proc/{server.process.pid}")
            seen = [(process / "environ").read_bytes(), (process / "cmdline").read_bytes(), server.log.read_bytes()]
        finally:
            server.stop()
    seen += [server.log.read_bytes(), *watch.seen]
    assert any(b"-config=" in line for line in watch.seen), "nothing was watched"
    secrets = [server.root.encode(), value.encode(), *(key.encode() for key in server.keys)]
    secrets += [base64.b64decode(key).hex().encode() for key in server.keys]
    for text in seen:
        assert not [secret[:4] for secret in secrets if secret in text]
