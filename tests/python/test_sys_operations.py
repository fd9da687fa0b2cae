"""The operational endpoints below `sys/`: moving mounts, password policies, tools, quotas, CORS, telemetry, loggers."""

import base64
import binascii
import hashlib
import json
import string

import hvac
import pytest

POLICY = 'length = 20\nrule "charset" {\n  charset = "abcdefghij"\n  min-chars = 3\n}\nrule "charset" {\n  charset = "0123"\n  min-chars = 2\n}\n'


def data(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


class TestRemount:
    def test_a_secrets_engine_moves_with_hvac(self, server):
        sys = server.client().sys
        sys.enable_secrets_engine("kv", path="moving")
        server.call("POST", "moving/a", {"k": "v"})
        before = sys.list_mounted_secrets_engines()["data"]["moving/"]
        answer = sys.move_backend(from_path="moving", to_path="moved/far")
        assert answer["migration_id"] == answer["data"]["migration_id"] and answer["warnings"]
        mounts = sys.list_mounted_secrets_engines()["data"]
        assert "moving/" not in mounts and mounts["moved/far/"] == before
        assert data(server.call("GET", "moved/far/a")) == {"k": "v"}
        status = data(server.call("GET", f"sys/remount/status/{answer['migration_id']}"))
        assert status["migration_info"] == {"source_mount": "moving/", "target_mount": "moved/far/", "status": "success"}
        sys.disable_secrets_engine("moved/far")

    def test_a_login_method_moves_and_its_tokens_end(self, server):
        client = server.client()
        client.sys.enable_auth_method("approle", path="apps")
        server.call("POST", "auth/apps/role/r", {"bind_secret_id": False, "token_bound_cidrs": "127.0.0.0/8", "secret_id_bound_cidrs": "127.0.0.0/8"})
        role_id = data(server.call("GET", "auth/apps/role/r/role-id"))["role_id"]
        token = server.call("POST", "auth/apps/login", {"role_id": role_id}, token="").json()["auth"]["client_token"]
        assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 200
        client.sys.move_backend("auth/apps", "auth/services")
        assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 403
        assert server.call("POST", "auth/services/login", {"role_id": role_id}, token="").status_code == 200
        client.sys.disable_auth_method("services")

    @pytest.mark.parametrize("start, end", [("missing", "x"), ("cubbyhole", "x"), ("sys", "x"), ("stays", "sys/x"), ("stays", "auth/x"), ("stays", "stays"), ("", "x")])
    def test_what_cannot_move(self, server, start, end):
        server.call("POST", "sys/mounts/stays", {"type": "kv"})
        answer = server.call("POST", "sys/remount", {"from": start, "to": end})
        assert answer.status_code == 400 and answer.json()["errors"][0]
        assert "stays/" in server.call("GET", "sys/mounts").json()["data"]


class TestPasswordPolicies:
    def test_the_life_of_a_policy(self, server):
        assert server.call("LIST", "sys/policies/password").status_code == 404
        path = "sys/policies/password/Strong.one"
        assert server.call("GET", path).status_code == 404
        assert server.call("GET", f"{path}/generate").status_code == 404
        assert server.call("PUT", path, {"policy": POLICY}).status_code == 204
        assert data(server.call("GET", path)) == {"policy": POLICY}
        encoded = base64.b64encode(POLICY.encode()).decode()
        assert server.call("POST", "sys/policies/password/encoded", {"policy": encoded}).status_code == 204
        assert data(server.call("GET", "sys/policies/password/encoded")) == {"policy": POLICY}
        assert data(server.call("LIST", "sys/policies/password"))["keys"] == ["Strong.one", "encoded"]
        assert server.call("DELETE", path).status_code == 204 == server.call("DELETE", path).status_code
        assert server.call("GET", path).status_code == 404

    def test_passwords_satisfy_the_policy_and_differ(self, server):
        as_json = json.dumps({"length": 30, "rule": [{"charset": {"charset": string.ascii_letters, "min-chars": 5}}, {"charset": {"charset": "-_", "min-chars": 4}}]})
        for name, text in (("hcl", POLICY), ("json", as_json)):
            server.call("PUT", f"sys/policies/password/{name}", {"policy": text})
        passwords = {data(server.call("GET", "sys/policies/password/hcl/generate"))["password"] for _ in range(20)}
        assert len(passwords) == 20
        for password in passwords:
            assert len(password) == 20 and set(password) <= set("abcdefghij0123")
            assert sum(c in "abcdefghij" for c in password) >= 3 and sum(c in "0123" for c in password) >= 2
        password = data(server.call("GET", "sys/policies/password/json/generate"))["password"]
        assert len(password) == 30 and sum(c in "-_" for c in password) >= 4

    @pytest.mark.parametrize(
        "text",
        ["", "length = 3 rule \"charset\" { charset = \"a\" }", "length = 101 rule \"charset\" { charset = \"a\" }", "length = 20", "length = 20 rule \"charset\" { charset = \"a\\u0007\" }",
         "length = 20 rule \"charset\" { charset = \"a\" min-chars = 21 }", "length = 20 lenght = 4", "{{{"],
    )
    def test_a_policy_that_cannot_be_meant(self, server, text):
        assert server.call("PUT", "sys/policies/password/odd", {"policy": text}).status_code == 400
        assert server.call("GET", "sys/policies/password/odd").status_code == 404


class TestTools:
    def test_random_bytes(self, server):
        assert len(base64.b64decode(data(server.call("POST", "sys/tools/random"))["random_bytes"])) == 32
        for path, body, size in [("random/64", {}, 64), ("random/platform", {"bytes": 16}, 16), ("random/platform/8", {"bytes": 16}, 8), ("random", {"bytes": "131072"}, 131072)]:
            drawn = data(server.call("POST", f"sys/tools/{path}", body | {"format": "hex"}))["random_bytes"]
            assert len(binascii.unhexlify(drawn)) == size, path
        for path, body in [("random/0", {}), ("random/x", {}), ("random", {"bytes": -1}), ("random", {"bytes": 131073}), ("random", {"format": "x"}), ("random/seal", {}), ("random/other/5", {})]:
            assert server.call("POST", f"sys/tools/{path}", body).status_code == 400, path

    @pytest.mark.parametrize("algorithm", ["sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-256", "sha3-384", "sha3-512"])
    def test_digests(self, server, algorithm):
        family, bits = algorithm.split("-")
        expected = hashlib.new(f"sha{bits}" if family == "sha2" else f"sha3_{bits}", b"some text")
        given = base64.b64encode(b"some text").decode()
        assert data(server.call("POST", f"sys/tools/hash/{algorithm}", {"input": given}))["sum"] == expected.hexdigest()
        by_body = data(server.call("POST", "sys/tools/hash", {"input": given, "algorithm": algorithm, "format": "base64"}))
        assert base64.b64decode(by_body["sum"]) == expected.digest()

    @pytest.mark.parametrize("body", [{}, {"input": "!"}, {"input": "YQ==", "algorithm": "md5"}, {"input": "YQ==", "format": "utf"}])
    def test_what_cannot_be_digested(self, server, body):
        assert server.call("POST", "sys/tools/hash", body).status_code == 400
