"""The wire contract: status codes, error shapes, seal and init, mounts, policies and audit devices under `sys/`."""

import hashlib
import json
from pathlib import Path

import pytest
import requests

from coffre_server import Server
from test_hvac import raw_get

MERGE = {"Content-Type": "application/merge-patch+json"}
MOUNT_FIELDS = {"accessor", "uuid", "local", "seal_wrap", "external_entropy_access", "options", "config", "type", "description"}


class TestInitAndSeal:
    def test_before_init(self, empty_server):
        s = empty_server
        status = s.call("GET", "sys/seal-status").json()
        assert {k: status[k] for k in ("initialized", "sealed", "t", "n", "progress")} == {
            "initialized": False, "sealed": True, "t": 0, "n": 0, "progress": 0,
        }
        assert s.call("GET", "sys/init").json() == {"initialized": False}
        assert s.call("GET", "sys/health").status_code == 501
        assert s.call("HEAD", "sys/health?uninitcode=299").status_code == 299
        assert s.call("GET", "secret/data/x", token="hvs.x").status_code == 503

    @pytest.mark.parametrize("shares, threshold", [(1, 2), (3, 1), (0, 0), (256, 3), (5, 6), (-1, 3)])
    def test_init_refuses_nonsense(self, empty_server, shares, threshold):
        answer = empty_server.call("POST", "sys/init", {"secret_shares": shares, "secret_threshold": threshold})
        assert answer.status_code == 400 and answer.json()["errors"]
        assert empty_server.call("GET", "sys/init").json() == {"initialized": False}

    def test_init_unseal_and_back(self, empty_server):
        s = empty_server
        made = s.call("PUT", "sys/init", {"secret_shares": 5, "secret_threshold": 3}).json()
        assert len(made["keys"]) == len(made["keys_base64"]) == len(set(made["keys"])) == 5
        assert made["root_token"].startswith("hvs.") and len(made["root_token"]) == 28
        assert s.call("POST", "sys/init", {"secret_shares": 5, "secret_threshold": 3}).status_code == 400
        assert s.call("GET", "sys/health").status_code == 503
        assert s.call("HEAD", "sys/health?sealedcode=298").status_code == 298

        first = s.call("POST", "sys/unseal", {"key": made["keys"][0]}).json()
        assert (first["sealed"], first["progress"], first["t"], first["n"]) == (True, 1, 3, 5) and first["nonce"]
        again = s.call("POST", "sys/unseal", {"key": made["keys_base64"][0]}).json()
        assert (again["progress"], again["nonce"]) == (1, first["nonce"])
        assert s.call("POST", "sys/unseal", {"reset": True}).json()["progress"] == 0
        for key in made["keys"][:2]:
            s.call("POST", "sys/unseal", {"key": key})
        assert s.call("POST", "sys/unseal", {"key": made["keys"][4]}).json()["sealed"] is False
        status = s.call("GET", "sys/seal-status").json()
        assert set(status) >= {"type", "version", "storage_type", "migration", "recovery_seal", "cluster_name", "cluster_id"}
        assert status["type"] == "shamir"
        assert s.call("GET", "sys/health").status_code == 200

        assert s.call("PUT", "sys/seal", token="").status_code == 403
        assert s.call("PUT", "sys/seal", token=made["root_token"]).status_code == 204
        sealed = s.call("GET", "sys/mounts", token=made["root_token"])
        assert (sealed.status_code, sealed.json()["errors"]) == (503, ["Vault is sealed"])

    def test_wrong_shares_do_not_open_and_do_no_harm(self, empty_server, binary, tmp_path):
        s = empty_server
        other = Server(binary, tmp_path / "other").start()
        foreign = other.call("POST", "sys/init", {"secret_shares": 5, "secret_threshold": 3}).json()["keys"]
        other.stop()
        keys = s.call("POST", "sys/init", {"secret_shares": 5, "secret_threshold": 3}).json()["keys"]
        for key in keys[:2]:
            s.call("POST", "sys/unseal", {"key": key})
        mistyped = keys[2][:20] + ("0" if keys[2][20] != "0" else "1") + keys[2][21:]
        for bad in ({"key": mistyped}, {"key": foreign[2]}, {}, {"key": ""}, {"key": "zz"}, {"key": 5}):
            assert s.call("POST", "sys/unseal", bad).status_code == 400, bad
            assert s.call("GET", "sys/seal-status").json()["sealed"] is True
        for key in keys[1:4]:
            last = s.call("POST", "sys/unseal", {"key": key}).json()
        assert last["sealed"] is False

    def test_health_body(self, server):
        body = server.call("GET", "sys/health", token="").json()
        assert set(body) >= {
            "initialized", "sealed", "standby", "performance_standby", "replication_performance_mode",
            "replication_dr_mode", "server_time_utc", "version", "cluster_name", "cluster_id",
        }
        assert (body["initialized"], body["sealed"], body["standby"]) == (True, False, False)
        head = server.call("HEAD", "sys/health", token="")
        assert (head.status_code, head.content) == (200, b"")
        assert server.call("GET", "sys/health?activecode=abc", token="").status_code == 400

    def test_restart_seals_and_keeps(self, fresh_server):
        s = fresh_server
        s.client().sys.enable_secrets_engine("kv", path="keep", options={"version": "2"})
        s.client().secrets.kv.v2.create_or_update_secret("a", {"v": "1"}, mount_point="keep")
        assert s.stop() == 0
        s.start()
        assert s.call("GET", "keep/data/a").status_code == 503
        s.unseal()
        assert s.call("GET", "keep/data/a").json()["data"]["data"] == {"v": "1"}
        assert "file/" in s.call("GET", "sys/audit").json()["data"]


class TestRequests:
    def test_no_token_and_unknown_tokens_are_denied(self, server):
        for token in ("", "hvs.unknown", "s.old", "x" * 5000):
            answer = server.call("GET", "sys/mounts", token=token)
            assert answer.status_code == 403 and "permission denied" in answer.json()["errors"][0]

    def test_both_token_headers_work(self, server):
        bearer = {"Authorization": f"Bearer {server.root}"}
        assert server.call("GET", "sys/mounts", token="", headers=bearer).status_code == 200
        assert server.call("GET", "sys/mounts", headers={"Authorization": "Bearer wrong"}).status_code == 200

    def test_unknown_routes(self, server):
        answer = server.call("GET", "nowhere/x")
        assert answer.status_code == 404 and "no handler for route" in answer.json()["errors"][0]
        outside = requests.get(f"{server.address}/elsewhere", timeout=5, allow_redirects=False)
        assert (outside.status_code, outside.json()) == (404, {"errors": []})

    def test_wrong_verbs_and_types(self, server):
        assert server.call("TRACE", "sys/mounts").status_code == 405
        assert server.call("PATCH", "cubbyhole/a", {"a": "b"}).status_code == 415
        assert server.call("POST", "cubbyhole/a/", {"a": "b"}).status_code == 400
        assert server.call("GET", "cubbyhole?list=perhaps").status_code == 400

    @pytest.mark.parametrize("body", ["{", "[1,2]", '{"a":1}x', '"text"', "{\"a\":\"\\ud800\"}", "\x00", '{"a":' + "[" * 5000])
    def test_bad_bodies_are_400(self, server, body):
        answer = server.call("POST", "cubbyhole/bad", headers={"Content-Type": "application/json"}, data=body.encode())
        assert answer.status_code == 400 and answer.json()["errors"]

    def test_a_body_beyond_the_limit_is_413(self, server):
        try:
            code = server.call("POST", "cubbyhole/big", data=b'{"a":"' + b"x" * (33 << 20) + b'"}').status_code
        except requests.ConnectionError:
            code = 413  # The server may hang up while the body is still being sent.
        assert code == 413
        assert server.call("GET", "sys/health").status_code == 200

    def test_answers_are_not_cached_and_have_the_envelope(self, server):
        answer = server.call("GET", "auth/token/lookup-self")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"].startswith("application/json")
        body = answer.json()
        assert set(body) >= {
            "request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth",
        }
        assert (body["lease_id"], body["renewable"], body["lease_duration"], body["auth"]) == ("", False, 0, None)

    def test_the_content_type_of_json_does_not_matter(self, server):
        answer = server.call("POST", "cubbyhole/t", headers={"Content-Type": "text/plain"}, data='{"a":"b"}')
        assert answer.status_code == 204

    def test_odd_spellings_of_a_path_do_not_pass(self, server):
        # Clients collapse double slashes before they send; a server that did it too would have two spellings of one
        # path between a policy and what is executed.
        server.call("POST", "cubbyhole/dd/x", {"v": "1"})
        assert raw_get(server, "/v1/cubbyhole//dd///x", server.root)[0] == 400
        assert raw_get(server, "/v1/cubbyhole/dd/../dd/x", server.root)[0] == 400
        assert raw_get(server, "/v1/cubbyhole/%2e%2e/x", server.root)[0] == 400
        assert raw_get(server, "/v1/cubbyhole/a%00b", server.root)[0] == 400

    def test_the_encryption_key_rotates_and_old_records_stay_readable(self, server):
        server.call("POST", "cubbyhole/rotated", {"v": "before"})
        before = server.call("GET", "sys/key-status").json()
        assert before["data"]["term"] == before["term"] >= 1
        assert server.call("PUT", "sys/rotate").status_code == 204
        assert server.call("GET", "sys/key-status").json()["term"] == before["term"] + 1
        assert server.call("GET", "cubbyhole/rotated").json()["data"] == {"v": "before"}

    def test_over_tls(self, tls_server):
        assert tls_server.call("GET", "sys/health", token="").status_code == 200
        assert tls_server.client().auth.token.lookup_self()["data"]["policies"] == ["root"]
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{tls_server.address}/v1/sys/health", timeout=5)


class TestMounts:
    def test_a_fresh_server_has_these(self, server):
        body = server.call("GET", "sys/mounts").json()
        assert {"cubbyhole/", "sys/"} <= set(body["data"])
        for path, entry in body["data"].items():
            assert body[path] == entry, "also at top level"
            assert MOUNT_FIELDS <= set(entry)
            assert {"default_lease_ttl", "max_lease_ttl", "force_no_cache"} <= set(entry["config"])
        assert "token/" in server.call("GET", "sys/auth").json()["data"]

    def test_enable_read_tune_disable(self, server):
        body = {"type": "kv", "description": "d", "options": {"version": "2"}, "config": {"default_lease_ttl": "1h"}}
        assert server.call("POST", "sys/mounts/life", body).status_code == 204
        entry = server.call("GET", "sys/mounts/life").json()
        assert (entry["data"]["type"], entry["data"]["options"], entry["type"]) == ("kv", {"version": "2"}, "kv")
        assert entry["data"]["config"]["default_lease_ttl"] == 3600
        tune = server.call("GET", "sys/mounts/life/tune").json()["data"]
        assert (tune["default_lease_ttl"], tune["max_lease_ttl"], tune["force_no_cache"]) == (3600, 2764800, False)
        assert server.call("POST", "sys/mounts/life/tune", {"max_lease_ttl": "2h", "description": "new"}).status_code == 204
        tune = server.call("GET", "sys/mounts/life/tune").json()["data"]
        assert (tune["max_lease_ttl"], tune["description"]) == (7200, "new")
        assert server.call("POST", "sys/mounts/life/tune", {"default_lease_ttl": "3h"}).status_code == 400
        server.call("POST", "life/data/x", {"data": {"v": "1"}})
        assert server.call("DELETE", "sys/mounts/life").status_code == 204
        assert server.call("GET", "life/data/x").status_code == 404
        server.call("POST", "sys/mounts/life", {"type": "kv-v2"})
        assert server.call("GET", "life/data/x").json() == {"errors": []}, "a new mount does not see old data"

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("bad-type", {"type": "nothing"}), ("no-type", {}), ("cubbyhole", {"type": "kv"}), ("sys/x", {"type": "kv"}),
            ("auth/x", {"type": "kv"}), ("taken", {"type": "kv"}), ("taken/below", {"type": "kv"}),
            ("ttls", {"type": "kv", "config": {"default_lease_ttl": "2h", "max_lease_ttl": "1h"}}),
        ],
    )
    def test_refused(self, server, path, body):
        server.call("POST", "sys/mounts/taken", {"type": "kv"})
        assert server.call("POST", f"sys/mounts/{path}", body).status_code == 400

    def test_missing_mounts(self, server):
        answer = server.call("GET", "sys/mounts/none")
        assert (answer.status_code, answer.json()["errors"]) == (400, ["No secret engine mount at none/"])
        assert server.call("DELETE", "sys/mounts/none").status_code == 204
        assert server.call("DELETE", "sys/mounts/sys").status_code == 400

    def test_preflight_of_the_command_line(self, server):
        server.call("POST", "sys/mounts/pre/flight", {"type": "kv-v2"})
        body = server.call("GET", "sys/internal/ui/mounts/pre/flight/a/b").json()["data"]
        assert (body["path"], body["type"], body["options"]["version"]) == ("pre/flight/", "kv", "2")
        answer = server.call("GET", "sys/internal/ui/mounts/none/a", token=server.root)
        assert answer.status_code in (403, 404)

    def test_auth_methods(self, server):
        assert server.call("POST", "sys/auth/robots", {"type": "approle", "description": "d"}).status_code == 204
        body = server.call("GET", "sys/auth").json()
        assert body["data"]["robots/"]["type"] == body["robots/"]["type"] == "approle"
        assert body["data"]["robots/"]["config"]["token_type"] == "default-service"
        assert server.call("POST", "sys/auth/robots", {"type": "approle"}).status_code == 400
        assert server.call("POST", "sys/auth/robots/tune", {"default_lease_ttl": "10m"}).status_code == 204
        assert server.call("GET", "sys/auth/robots/tune").json()["data"]["default_lease_ttl"] == 600
        assert server.call("DELETE", "sys/auth/robots").status_code == 204
        assert server.call("DELETE", "sys/auth/token").status_code == 400
        assert server.call("GET", "sys/auth/robots").json()["errors"] == ["No auth engine at robots/"]


class TestPolicies:
    TEXT = '# kept as written\npath "secret/*" {\n  capabilities = ["read"]\n}\n'

    def test_both_interfaces(self, server):
        assert server.call("PUT", "sys/policies/acl/Mixed", {"policy": self.TEXT}).status_code in (200, 204)
        assert server.call("GET", "sys/policies/acl/mixed").json()["data"] == {"name": "mixed", "policy": self.TEXT}
        old = server.call("GET", "sys/policy/mixed").json()
        assert (old["name"], old["rules"], old["data"]) == ("mixed", self.TEXT, {"name": "mixed", "rules": self.TEXT})
        listing = server.call("GET", "sys/policy").json()
        assert listing["keys"] == listing["policies"] == listing["data"]["keys"] == listing["data"]["policies"]
        assert {"default", "root", "mixed"} <= set(listing["keys"])
        assert "mixed" in server.call("LIST", "sys/policies/acl").json()["data"]["keys"]
        assert server.call("DELETE", "sys/policies/acl/mixed").status_code == 204
        for path in ("sys/policies/acl/mixed", "sys/policy/mixed"):
            assert server.call("GET", path).status_code == 404

    @pytest.mark.parametrize(
        "text",
        [
            'path "a" { capabilities = ["fly"] }', 'path "a" { unknown = 1 }', "path", 'path "+*" { capabilities = ["read"] }',
            'other "a" {}', "{", 'path "a" { capabilities = "read"',
        ],
    )
    def test_bad_policies_are_refused(self, server, text):
        answer = server.call("PUT", "sys/policies/acl/bad", {"policy": text})
        assert answer.status_code == 400 and answer.json()["errors"][0]
        assert server.call("GET", "sys/policies/acl/bad").status_code == 404

    def test_json_policies(self, server):
        text = json.dumps({"path": {"secret/*": {"capabilities": ["read"]}}})
        assert server.call("PUT", "sys/policies/acl/json", {"policy": text}).status_code == 204
        assert server.call("GET", "sys/policies/acl/json").json()["data"]["policy"] == text

    def test_root_and_default_are_protected(self, server):
        assert server.call("PUT", "sys/policies/acl/root", {"policy": self.TEXT}).status_code == 400
        for name in ("root", "default"):
            assert server.call("DELETE", f"sys/policies/acl/{name}").status_code == 400

    def test_a_sudo_path_needs_sudo(self, server):
        server.call("PUT", "sys/policies/acl/no-sudo", {"policy": 'path "sys/*" { capabilities = ["read", "update", "list"] }'})
        token = server.call("POST", "auth/token/create", {"policies": ["no-sudo"]}).json()["auth"]["client_token"]
        assert server.call("GET", "sys/mounts", token=token).status_code == 200
        for method, path in (("GET", "sys/audit"), ("PUT", "sys/seal"), ("POST", "sys/auth/x"), ("DELETE", "sys/audit/file")):
            assert server.call(method, path, {"type": "approle"}, token=token).status_code == 403, path


class TestAudit:
    def test_devices(self, fresh_server, tmp_path):
        s = fresh_server
        body = s.call("GET", "sys/audit").json()
        assert body["data"]["file/"]["type"] == body["file/"]["type"] == "file"
        assert body["data"]["file/"]["options"]["file_path"] == str(s.audit)
        second = {"type": "file", "options": {"file_path": str(tmp_path / "second.log")}}
        assert s.call("POST", "sys/audit/second", second).status_code == 204
        assert s.call("POST", "sys/audit/second", second).status_code == 400
        impossible = {"type": "file", "options": {"file_path": str(tmp_path / "none" / "x" / "a.log")}}
        s.call("GET", "auth/token/lookup-self")
        assert (tmp_path / "second.log").read_text().count("\n") >= 2
        assert s.call("DELETE", "sys/audit/second").status_code == 204
        assert s.call("DELETE", "sys/audit/second").status_code == 204
        (tmp_path / "none").write_text("a file where a directory should be")
        assert s.call("POST", "sys/audit/third", impossible).status_code == 400
        assert s.call("POST", "sys/audit-hash/none", {"input": "x"}).status_code == 400

    def test_every_request_is_logged_hashed(self, fresh_server):
        s = fresh_server
        s.call("POST", "cubbyhole/audited", {"password": "audit-plaintext-canary"})
        answer = s.call("GET", "cubbyhole/audited").json()
        s.call("GET", "cubbyhole/refused", token="hvs.unknown-canary")
        text = s.audit.read_text()
        for canary in ("audit-plaintext-canary", s.root, "hvs.unknown-canary"):
            assert canary not in text
        lines = [json.loads(line) for line in text.splitlines()]
        mine = [line for line in lines if line["request"].get("path") == "cubbyhole/audited"]
        assert [(line["type"], line["request"]["operation"]) for line in mine][-2:] == [("request", "read"), ("response", "read")]
        hashed = s.call("POST", "sys/audit-hash/file", {"input": "audit-plaintext-canary"}).json()
        assert hashed["hash"] == hashed["data"]["hash"] == mine[0]["request"]["data"]["password"]
        assert hashed["hash"] != "hmac-sha256:" + hashlib.sha256(b"audit-plaintext-canary").hexdigest()
        assert answer["request_id"] in {line["request"]["id"] for line in mine}
        assert any(line["request"].get("path") == "cubbyhole/refused" and line.get("error") for line in lines)

    def test_nothing_is_readable_at_rest(self, fresh_server):
        s = fresh_server
        s.client().sys.enable_secrets_engine("kv", path="rest", options={"version": "2"})
        s.call("POST", "rest/data/path-canary", {"data": {"field-canary": "value-canary-0123456789"}})
        s.stop()
        for file in filter(Path.is_file, s.directory.rglob("*")):
            content = file.read_bytes()
            # The audit log names fields in the clear; the storage does not.
            names = () if file == s.audit else (b"field-canary",)
            for canary in (b"value-canary-0123456789", s.root.encode(), *names):
                assert canary not in content, file.name


class TestOperations:
    def test_leader(self, server):
        leader = server.call("GET", "sys/leader", token="").json()
        assert (leader["ha_enabled"], "leader_address" in leader) == (False, True)

    def test_dev_mode(self, dev_server):
        assert dev_server.client().is_authenticated()
        mounts = dev_server.client().sys.list_mounted_secrets_engines()["data"]
        assert (mounts["secret/"]["type"], mounts["secret/"]["options"]) == ("kv", {"version": "2"})
        written = dev_server.client().secrets.kv.v2.create_or_update_secret("a", {"v": "1"})
        assert written["data"]["version"] == 1
        log = dev_server.log.read_text()
        assert "Unseal Key: " in log and f"Root Token: {dev_server.root}" in log
