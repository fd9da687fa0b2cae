"""`sys/policies/explain` and `coffre policy explain`: why a request would be allowed or refused."""

import json
import subprocess

import pytest

from coffre_server import clean_environment
from test_identity import approle, login, write_policy

FIELDS = {"allowed", "path", "operation", "reason", "needs_sudo", "rule", "overruled", "dropped", "policies"}


@pytest.fixture(scope="module")
def someone(server) -> dict:
    """A login whose policies have a template that fits and one that does not."""
    server.call("POST", "sys/auth/approle", {"type": "approle"})
    server.call("POST", "sys/mounts/x", {"type": "kv"})
    write_policy(server, "explained", '''
        path "x/*" { capabilities = ["read", "update"] }
        path "x/mine/{{identity.entity.metadata.team}}" { capabilities = ["create"] required_parameters = ["v"] }
        path "x/none/{{identity.entity.metadata.missing}}" { capabilities = ["read"] }
    ''')
    write_policy(server, "denies", 'path "x/secret" { capabilities = ["deny"] }')
    auth = login(server, "approle", approle(server, "approle", "someone", "default,explained")).json()["auth"]
    server.call("POST", f"identity/entity/id/{auth['entity_id']}", {"metadata": {"team": "blue"}, "policies": ["denies"]})
    return auth


def explain(server, token: str, operation: str, path: str, **rest) -> dict:
    answer = server.call("POST", "sys/policies/explain", {"operation": operation, "path": path} | rest, token=token)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert set(data) == FIELDS
    return data


class TestServer:
    def test_the_rule_and_those_behind_it(self, server, someone):
        told = explain(server, someone["client_token"], "read", "x/secret")
        assert not told["allowed"] and told["reason"] == "the rule denies"
        assert told["rule"] == {"path": "x/secret", "template": None, "capabilities": ["deny"], "policies": ["denies"]}
        assert [rule["path"] for rule in told["overruled"]] == ["x/*"]
        assert told["policies"] == ["default", "denies", "explained"]
        assert explain(server, someone["client_token"], "read", "x/a")["allowed"]

    def test_templates(self, server, someone):
        told = explain(server, someone["client_token"], "create", "x/mine/blue", parameters={"v": 1})
        assert told["allowed"] and told["rule"]["template"] == "x/mine/{{identity.entity.metadata.team}}"
        without = explain(server, someone["client_token"], "create", "x/mine/blue")
        assert not without["allowed"] and '"v"' in without["reason"]
        dropped = [rule for rule in told["dropped"] if rule["policy"] == "explained"]
        assert dropped == [{"policy": "explained", "template": "x/none/{{identity.entity.metadata.missing}}"}]

    def test_protected_and_public_endpoints(self, server, someone):
        write_policy(server, "all", 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch"] }')
        token = server.call("POST", "auth/token/create", {"policies": ["all"]}).json()["auth"]["client_token"]
        told = explain(server, token, "update", "sys/seal")
        assert told["needs_sudo"] and not told["allowed"] and "sudo" in told["reason"]
        assert explain(server, someone["client_token"], "read", "sys/health")["allowed"]
        assert "root policy" in explain(server, server.root, "delete", "sys/mounts/x")["reason"]

    @pytest.mark.parametrize("operation, path", [
        ("read", "x/a"), ("read", "x/secret"), ("list", "x"), ("update", "x/a"), ("delete", "x/a"),
        ("read", "sys/seal"), ("read", "auth/token/lookup-self"), ("read", "no/such"), ("update", "sys/seal"),
    ])
    def test_it_says_what_happens(self, server, someone, operation, path):
        server.call("POST", "x/a", {"v": "1"})
        method = {"read": "GET", "list": "LIST", "update": "POST", "delete": "DELETE"}[operation]
        body = {"v": "1"} if method == "POST" else None
        met = server.call(method, path, body, token=someone["client_token"]).status_code
        assert explain(server, someone["client_token"], operation, path)["allowed"] == (met != 403)

    def test_somebody_elses_needs_sudo(self, server, someone):
        ask = lambda body, token: server.call("POST", "sys/policies/explain", {"operation": "read", "path": "x/a"} | body, token=token)
        for body in ({"token": server.root}, {"accessor": someone["accessor"]}):
            assert ask(body, someone["client_token"]).status_code == 403
            assert ask(body, server.root).status_code == 200
        told = ask({"token": someone["client_token"]}, server.root).json()["data"]
        assert told["policies"] == ["default", "denies", "explained"]
        assert ask({"accessor": "nobody"}, server.root).status_code == 400
        assert ask({"operation": "fly"}, server.root).status_code == 400
        assert ask({"path": "../x"}, server.root).status_code == 400


class TestCommand:
    @pytest.fixture
    def run(self, server, binary, tmp_path):
        def run(*arguments: str, token: str = server.root) -> subprocess.CompletedProcess:
            env = clean_environment(VAULT_ADDR=server.address, VAULT_TOKEN=token, HOME=str(tmp_path))
            command = [str(binary), "policy", "explain", *arguments]
            return subprocess.run(command, capture_output=True, text=True, env=env, timeout=30)
        return run

    def test_online(self, run, someone):
        told = run("read", "x/secret", token=someone["client_token"])
        assert told.returncode == 0, told.stderr
        assert told.stdout.splitlines()[:3] == [
            "refused: read x/secret", "  why        the rule denies", '  rule       "x/secret" of denies (deny)',
        ]
        assert '  overruled  "x/*" of explained (read, update)' in told.stdout
        written = run("-format=json", f"-token={someone['client_token']}", "create", "x/mine/blue", "v=1")
        told = json.loads(written.stdout)
        assert told["allowed"] and told["rule"]["template"] == "x/mine/{{identity.entity.metadata.team}}"

    def test_offline(self, run, tmp_path):
        first, second = tmp_path / "first.hcl", tmp_path / "second.hcl"
        first.write_text('path "kv/*" { capabilities = ["read", "list"] }\npath "a/{{identity.entity.id}}" { policy = "read" }')
        second.write_text('path "kv/+/b" { capabilities = ["deny"] }')
        files = [f"-policy={first}", f"-policy={second}"]
        assert run(*files, "read", "kv/x", token="").stdout.startswith("allowed: read kv/x\n")
        told = json.loads(run("-format=json", *files, "read", "kv/a/b", token="").stdout)
        assert (told["allowed"], told["rule"]["policies"], told["policies"]) == (False, ["second"], ["first", "second"])
        assert told["dropped"] == [{"policy": "first", "template": "a/{{identity.entity.id}}"}]
        second.write_text('path "kv/+/b" { capabilites = ["deny"] }')
        failed = run(*files, "read", "kv/x", token="")
        assert failed.returncode != 0 and "capabilites" in failed.stderr

    def test_nonsense(self, run, tmp_path):
        assert run("read").returncode != 0
        (tmp_path / "p.hcl").write_text("")
        assert "create, read, update" in run(f"-policy={tmp_path / 'p.hcl'}", "fly", "a").stderr
