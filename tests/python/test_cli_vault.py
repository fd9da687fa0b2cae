"""The command line under the name `vault`: every command of the migration plan, as its users know it."""

import json
import os
import re
import shutil
import subprocess

import pytest

from coffre_server import Server, clean_environment, write_certificate
from conftest import REPOSITORY

ATMR = REPOSITORY / "examples/atmr"


class Shell:
    """Runs `vault …` as a person would: found on PATH, address and token in the environment."""

    def __init__(self, link, server, home, token=""):
        self.env = clean_environment(
            PATH=f"{link.parent}{os.pathsep}{os.environ['PATH']}", VAULT_ADDR=server.address, HOME=str(home)
        )
        if token:
            self.env["VAULT_TOKEN"] = token

    def __call__(self, *arguments, code=0, stdin="", **env):
        done = subprocess.run(
            ["vault", *arguments], env=self.env | env, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert code in (None, done.returncode), f"vault {arguments} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments):
        # Options stand before arguments: `vault kv get -format=json path`.
        return json.loads(self(*arguments).stdout)


@pytest.fixture
def empty(vault_link, empty_server, tmp_path):
    return Shell(vault_link, empty_server, tmp_path)


@pytest.fixture(scope="module")
def vault(vault_link, server, tmp_path_factory):
    """A shell with the root token; the plan's engine, policy, method and role are there."""
    shell = Shell(vault_link, server, tmp_path_factory.mktemp("home"), server.root)
    shell("secrets", "enable", "-version=2", "-path=atmr", "kv")
    return shell


def table(text):
    """The rows of a two-column table as a map."""
    rows = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def test_the_version_is_parsed_by_clients(vault):
    assert re.match(r"^Vault v1\.(1[5-9]|[2-9]\d)\.\d+", vault("-version").stdout)
    assert vault("version").stdout.startswith("Vault v")


def test_init_unseal_status(empty):
    assert empty("status", code=2)
    assert empty("operator", "init", "-status", code=2)
    printed = empty("operator", "init", "-key-shares=5", "-key-threshold=3").stdout
    keys = re.findall(r"^Unseal Key (\d): (\S+)$", printed, re.M)
    root = re.search(r"^Initial Root Token: (hvs\.\S+)$", printed, re.M).group(1)
    assert [number for number, _ in keys] == ["1", "2", "3", "4", "5"]
    assert empty("operator", "init", "-status").returncode == 0
    assert empty("operator", "init", code=2).stdout == ""

    first = table(empty("operator", "unseal", keys[0][1]).stdout)
    assert (first["Sealed"], first["Unseal Progress"], first["Total Shares"], first["Threshold"]) == ("true", "1/3", "5", "3")
    assert table(empty("status", code=2).stdout)["Unseal Progress"] == "1/3"
    empty("operator", "unseal", keys[2][1])
    last = table(empty("operator", "unseal", keys[4][1]).stdout)
    assert (last["Sealed"], last["Initialized"]) == ("false", "true")

    status = table(empty("status").stdout)
    assert {"Seal Type", "Initialized", "Sealed", "Total Shares", "Threshold", "Version", "Storage Type", "HA Enabled"} <= set(status)
    assert json.loads(empty("status", "-format=json").stdout)["sealed"] is False
    assert empty("operator", "seal", code=2).stderr
    empty("operator", "seal", VAULT_TOKEN=root)
    assert empty("status", code=2)


def test_init_as_json(empty):
    made = json.loads(empty("operator", "init", "-n", "3", "-t", "2", "-format=json").stdout)
    assert len(made["unseal_keys_b64"]) == len(made["unseal_keys_hex"]) == made["unseal_shares"] == 3
    assert (made["unseal_threshold"], made["root_token"][:4]) == (2, "hvs.")


def test_nobody_answers(vault_link, tmp_path):
    nobody = type("Nobody", (), {"address": "http://127.0.0.1:1"})
    shell = Shell(vault_link, nobody, tmp_path, "hvs.x")
    shell.env["VAULT_MAX_RETRIES"] = "0"
    assert shell("status", code=1).stdout == ""
    assert "127.0.0.1:1" in shell("kv", "get", "atmr/x", code=2).stderr


def test_secrets_enable(vault):
    assert vault("secrets", "enable", "-version=2", "-path=second", "kv").stdout == "Success! Enabled the kv secrets engine at: second/\n"
    assert "path is already in use" in vault("secrets", "enable", "-path=second", "kv", code=2).stderr
    listed = {line.split()[0]: line.split()[1] for line in vault("secrets", "list").stdout.splitlines() if line.strip()}
    assert (listed["second/"], listed["cubbyhole/"]) == ("kv", "cubbyhole")
    assert vault.json("secrets", "list", "-format=json")["second/"]["options"] == {"version": "2"}
    assert vault("secrets", "disable", "second").stdout.startswith("Success! Disabled the secrets engine")


def test_policy_write(vault, tmp_path):
    done = vault("policy", "write", "atmr-api-read", str(ATMR / "vault/policies/atmr-api.hcl"))
    assert done.stdout == "Success! Uploaded policy: atmr-api-read\n"
    assert vault("policy", "read", "atmr-api-read").stdout.strip() == (ATMR / "vault/policies/atmr-api.hcl").read_text().strip()
    assert "atmr-api-read" in vault("policy", "list").stdout.split()
    vault("policy", "write", "from-stdin", "-", stdin='path "a" { capabilities = ["read"] }')
    assert vault("policy", "write", "bad", "-", stdin="path {", code=2).stderr
    assert vault("policy", "write", "none", str(tmp_path / "none.hcl"), code=1).stderr
    assert vault("policy", "read", "no-such", code=2).stderr
    assert vault("policy", "delete", "from-stdin").stdout == "Success! Deleted policy: from-stdin\n"


def test_approle_of_the_plan(vault, server):
    vault("policy", "write", "atmr-api-read", str(ATMR / "vault/policies/atmr-api.hcl"))
    assert vault("auth", "enable", "approle").stdout == "Success! Enabled approle auth method at: approle/\n"
    done = vault("write", "auth/approle/role/atmr-api", "token_policies=atmr-api-read", "token_ttl=24h", "token_max_ttl=48h")
    assert done.stdout == "Success! Data written to: auth/approle/role/atmr-api\n"
    role = table(vault("read", "auth/approle/role/atmr-api").stdout)
    assert (role["token_ttl"], role["token_max_ttl"], role["token_policies"]) == ("24h", "48h", "[atmr-api-read]")
    role_id = table(vault("read", "auth/approle/role/atmr-api/role-id").stdout)["role_id"]
    assert vault("read", "-field=role_id", "auth/approle/role/atmr-api/role-id").stdout == role_id
    secret = table(vault("write", "-f", "auth/approle/role/atmr-api/secret-id").stdout)
    assert {"secret_id", "secret_id_accessor", "secret_id_num_uses", "secret_id_ttl"} <= set(secret)
    token = vault("write", "-field=token", "auth/approle/login", f"role_id={role_id}", f"secret_id={secret['secret_id']}").stdout
    vault("kv", "put", "atmr/prod/flask/secret_key", "value=s1")
    vault("kv", "put", "atmr/dev/flask/secret_key", "value=s2")
    assert vault("kv", "get", "-field=value", "atmr/prod/flask/secret_key", VAULT_TOKEN=token).stdout == "s1"
    refused = vault("kv", "get", "-field=value", "atmr/dev/flask/secret_key", VAULT_TOKEN=token, code=2)
    assert (refused.stdout, "permission denied" in refused.stderr) == ("", True)

    wrapped = vault("write", "-f", "-wrap-ttl=60s", "-field=wrapping_token", "auth/approle/role/atmr-api/secret-id").stdout
    opened = vault("unwrap", "-field=secret_id", wrapped).stdout
    assert vault("write", "-field=token", "auth/approle/login", f"role_id={role_id}", f"secret_id={opened}").stdout
    assert vault("unwrap", wrapped, code=2).stdout == ""
    assert vault("list", "-format=json", "auth/approle/role").stdout.strip().startswith("[")


def test_kv_of_the_plan(vault):
    path = "atmr/dev/plan/secret_key"
    printed = vault("kv", "put", path, "value=first").stdout
    assert "======= Metadata =======" in printed and table(printed)["version"] == "1"
    assert "atmr/data/dev/plan/secret_key" in printed
    vault("kv", "put", path, "value=-", stdin="second, from stdin")
    assert vault("kv", "get", "-field=value", path).stdout == "second, from stdin"
    assert vault("kv", "get", "-field=value", "-version=1", path).stdout == "first"
    assert vault("kv", "get", "-field=value", "-mount=atmr", "dev/plan/secret_key").stdout == "second, from stdin"
    whole = vault("kv", "get", path).stdout
    assert "======= Metadata =======" in whole and "value    second, from stdin" in whole
    body = vault.json("kv", "get", "-format=json", path)
    assert (body["data"]["data"], body["data"]["metadata"]["version"]) == ({"value": "second, from stdin"}, 2)

    metadata = vault("kv", "metadata", "get", path).stdout
    assert table(metadata)["current_version"] == "2" and "====== Version 1 ======" in metadata
    listed = vault("kv", "list", "atmr/dev/plan").stdout.split()
    assert listed == ["Keys", "----", "secret_key"]
    assert vault.json("kv", "list", "-format=json", "atmr/dev/plan") == ["secret_key"]

    vault("kv", "put", path, "value=third")
    assert vault("kv", "destroy", "-versions=1,2", path).stdout == "Success! Data written to: atmr/destroy/dev/plan/secret_key\n"
    gone = vault("kv", "get", "-version=1", path, code=2)
    assert "destroyed" in gone.stdout
    assert vault("kv", "get", "-field=value", path).stdout == "third"
    versions = vault.json("kv", "metadata", "get", "-format=json", path)["data"]["versions"]
    assert [versions[n]["destroyed"] for n in ("1", "2", "3")] == [True, True, False]


def test_kv_delete_undelete_patch_cas(vault):
    path = "atmr/dev/more"
    vault("kv", "put", path, "a=1", "b=2")
    vault("kv", "patch", path, "b=3")
    assert vault.json("kv", "get", "-format=json", path)["data"]["data"] == {"a": "1", "b": "3"}
    assert "check-and-set" in vault("kv", "put", "-cas=0", path, "a=9", code=2).stderr
    vault("kv", "put", "-cas=2", path, "a=9")
    assert vault("kv", "delete", path).stdout == "Success! Data deleted (if it existed) at: atmr/data/dev/more\n"
    vault("kv", "get", path, code=2)
    vault("kv", "undelete", "-versions=3", path)
    assert vault("kv", "get", "-field=a", path).stdout == "9"
    vault("kv", "metadata", "delete", path)
    missing = vault("kv", "get", path, code=2)
    assert (missing.stdout, "No value found at atmr/data/dev/more" in missing.stderr) == ("", True)
    assert vault("kv", "list", "atmr/none", code=2).stdout == ""


def test_values_come_from_arguments_files_and_json(vault, tmp_path):
    (tmp_path / "file").write_text("line 1\nline 2\n")
    vault("kv", "put", "atmr/dev/in", f"f=@{tmp_path / 'file'}", "at=\\@home", "eq=a=b=c", "space= x ", "n=5")
    data = vault.json("kv", "get", "-format=json", "atmr/dev/in")["data"]["data"]
    assert data == {"f": "line 1\nline 2\n", "at": "@home", "eq": "a=b=c", "space": " x ", "n": "5"}
    (tmp_path / "body.json").write_text('{"n": 5, "t": [1, true, null]}')
    vault("kv", "put", "atmr/dev/in", f"@{tmp_path / 'body.json'}")
    assert vault.json("kv", "get", "-format=json", "atmr/dev/in")["data"]["data"] == {"n": 5, "t": [1, True, None]}


def test_wrong_use_is_1_and_says_so(vault):
    for arguments in (["kv", "put"], ["kv", "get"], ["kv", "get", "-no-such-flag", "x"], ["kv", "put", "atmr/x", "novalue"]):
        assert vault(*arguments, code=1).stderr, arguments
    assert vault("no-such-command", code=None).returncode in (1, 127)
    vault("kv", "put", "atmr/dev/field", "value=x")
    assert vault("kv", "get", "-field=none", "atmr/dev/field", code=1).stdout == ""


def test_tokens(vault):
    token = vault("token", "create", "-policy=default", "-ttl=1h", "-field=token").stdout
    looked = table(vault("token", "lookup", token).stdout)
    assert (looked["policies"], looked["display_name"]) == ("[default]", "token")
    assert vault("token", "capabilities", token, "sys/mounts").stdout == "deny\n"
    assert vault("token", "renew", token).returncode == 0
    assert vault("token", "revoke", token).stdout == "Success! Revoked token (if it existed)\n"
    assert vault("token", "lookup", token, code=2).stderr


def test_login_stores_the_token(vault, server, tmp_path):
    env = {"HOME": str(tmp_path), "VAULT_TOKEN": ""}
    printed = vault("login", "-", stdin=server.root, **env).stdout
    assert "Success! You are now authenticated." in printed
    stored = tmp_path / ".vault-token"
    assert (stored.read_text(), stored.stat().st_mode & 0o777) == (server.root, 0o600)
    assert vault("token", "lookup", **env).returncode == 0
    assert vault("login", "hvs.wrong", code=2, **env).stderr
    assert stored.read_text() == server.root


def test_audit_commands(vault, tmp_path):
    printed = vault("audit", "enable", "-path=extra", "file", f"file_path={tmp_path / 'audit.log'}").stdout
    assert printed == "Success! Enabled the file audit device at: extra/\n"
    assert "extra/" in vault("audit", "list").stdout
    vault("audit", "disable", "extra")
    assert (tmp_path / "audit.log").stat().st_size > 0


def test_the_samples_init_script(vault_link, binary, tmp_path):
    server = Server(binary, tmp_path / "server").start()
    try:
        shell = Shell(vault_link, server, tmp_path)
        script = ["sh", str(shutil.copytree(ATMR / "vault", tmp_path / "vault") / "init-vault.sh")]

        def run(code=0, **env):
            done = subprocess.run(script, env=shell.env | env, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == code, done.stdout + done.stderr
            return done

        first = run()
        keys = re.findall(r"^Unseal Key \d: (\S+)$", first.stdout, re.M)
        root = re.search(r"^Initial Root Token: (\S+)$", first.stdout, re.M).group(1)
        assert "sealed" in run(code=1).stderr
        for key in keys[:3]:
            shell("operator", "unseal", key)
        prepared = run(VAULT_TOKEN=root, AUDIT_FILE=str(tmp_path / "audit.log"))
        assert run(VAULT_TOKEN=root, AUDIT_FILE=str(tmp_path / "audit.log")).stdout.splitlines()[-1] == prepared.stdout.splitlines()[-1]
        client = server.client(token=root)
        role = client.auth.approle.read_role("atmr-api")["data"]
        assert (role["token_policies"], role["token_ttl"], role["token_max_ttl"]) == (["atmr-api-read"], 86400, 172800)
        assert prepared.stdout.splitlines()[-1] == client.auth.approle.read_role_id("atmr-api")["data"]["role_id"]
        assert client.sys.list_mounted_secrets_engines()["data"]["atmr/"]["options"] == {"version": "2"}
        assert {"atmr-api-read", "atmr-api-rotate", "atmr-dev-read"} <= set(client.sys.list_policies()["data"]["policies"])
        assert (tmp_path / "audit.log").stat().st_size > 0
    finally:
        server.stop()


def test_the_samples_server_configuration(binary, tmp_path):
    server = Server(binary, tmp_path / "vault", tls=True)
    for name in ("tls", "data", "audit"):
        (server.directory / name).mkdir()
    _, key = write_certificate(server.directory / "tls/server.pem")
    assert key == server.directory / "tls/server-key.pem"
    text = (ATMR / "vault/server.hcl").read_text()
    server.config = server.directory / "server.hcl"
    server.config.write_text(text.replace("/vault/", f"{server.directory}/").replace("0.0.0.0:8200", f"127.0.0.1:{server.port}"))
    server.ca = server.directory / "tls/server.pem"
    server.audit = server.directory / "audit/audit.log"
    server.bring_up()
    try:
        assert server.audit.stat().st_size > 0
        outside = {"type": "file", "options": {"file_path": str(tmp_path / "outside.log")}}
        assert server.call("POST", "sys/audit/outside", outside).status_code == 400
        assert "warning" not in server.log.read_text()
    finally:
        server.stop()


def test_writing_prints_neither_value_nor_token(vault, server):
    done = vault("kv", "put", "atmr/dev/quiet", "value=quiet-canary")
    assert "quiet-canary" not in done.stdout + done.stderr
    assert server.root not in done.stdout + done.stderr
