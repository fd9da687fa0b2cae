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


class TestQuotas:
    def test_the_life_of_a_limit_with_hvac(self, server):
        sys = server.client().sys
        sys.enable_secrets_engine("kv", path="limited")
        sys.create_or_update_quota("slow", rate=101, path="limited/*", interval="600", block_interval="600")
        sys.create_or_update_quota("slow", rate=100, path="limited/*", interval="600", block_interval="600")
        read = sys.read_quota("slow")["data"]
        assert read == {"name": "slow", "type": "rate-limit", "path": "limited/*", "role": "", "rate": 100, "interval": 600, "block_interval": 600, "inheritable": False}
        assert sys.list_quotas()["data"]["keys"] == ["slow"]
        with pytest.raises(hvac.exceptions.InvalidRequest):
            sys.create_or_update_quota("odd", rate=1, path="/not-exist")
        with pytest.raises(hvac.exceptions.InvalidRequest):
            sys.create_or_update_quota("odd", rate=-1)
        assert sys.delete_quota("slow").status_code == 204
        with pytest.raises(hvac.exceptions.InvalidPath):
            sys.read_quota("slow")
        sys.disable_secrets_engine("limited")

    def test_a_client_beyond_its_rate_gets_429_and_is_told_when_to_come_back(self, server):
        server.call("POST", "sys/mounts/busy", {"type": "kv"})
        server.call("POST", "busy/a", {"k": "v"})
        assert server.call("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True}).status_code == 204
        assert server.call("POST", "sys/quotas/rate-limit/busy", {"path": "busy/", "rate": 3, "interval": "1h"}).status_code == 204
        answers = [server.call("GET", "busy/a") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["X-Ratelimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
        refused = answers[3]
        assert refused.headers["X-Ratelimit-Limit"] == "3" and refused.headers["Cache-Control"] == "no-store"
        assert 0 < int(refused.headers["Retry-After"]) <= 1200 and refused.headers["Retry-After"] == refused.headers["X-Ratelimit-Reset"]
        assert refused.json()["errors"] and "quota exceeded" in refused.json()["errors"][0]
        # Whatever the token and the verb; and before the body is read.
        assert server.call("GET", "busy/a", token="").status_code == 429
        assert server.call("PUT", "busy/a", {"k": "new"}).status_code == 429
        assert server.call("GET", "sys/mounts").status_code == 200
        assert server.call("DELETE", "sys/quotas/rate-limit/busy").status_code == 204
        assert data(server.call("GET", "busy/a")) == {"k": "v"}
        server.call("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": False})
        assert "X-Ratelimit-Limit" not in server.call("GET", "busy/a").headers
        server.call("DELETE", "sys/mounts/busy")

    def test_exempt_paths_and_recorded_refusals(self, server):
        config = data(server.call("GET", "sys/quotas/config"))
        assert "sys/health" in config["rate_limit_exempt_paths"] and config["enable_rate_limit_audit_logging"] is False
        server.call("POST", "sys/mounts/noisy", {"type": "kv"})
        server.call("POST", "sys/quotas/rate-limit/noisy", {"path": "noisy", "rate": 1, "interval": "1h"})
        before = server.audit.read_text().count('"noisy/unrecorded"')
        assert [server.call("GET", "noisy/unrecorded").status_code for _ in range(3)] == [404, 429, 429]
        assert server.audit.read_text().count('"noisy/unrecorded"') - before == 2, "the one that was heard: request and response"
        server.call("POST", "sys/quotas/config", {"enable_rate_limit_audit_logging": True})
        assert server.call("POST", "noisy/recorded", {"k": "CANARY-quota"}).status_code == 429
        log = server.audit.read_text()
        assert '"noisy/recorded"' in log and "CANARY-quota" not in log
        exempt = config["rate_limit_exempt_paths"] + ["noisy/*"]
        server.call("POST", "sys/quotas/config", {"enable_rate_limit_audit_logging": False, "rate_limit_exempt_paths": exempt})
        assert server.call("GET", "noisy/unrecorded").status_code == 404
        server.call("POST", "sys/quotas/config", {"rate_limit_exempt_paths": config["rate_limit_exempt_paths"]})
        server.call("DELETE", "sys/quotas/rate-limit/noisy")
        server.call("DELETE", "sys/mounts/noisy")
