"""The operational endpoints below `sys/`: moving mounts, password policies, tools, quotas, CORS, telemetry, loggers."""

import base64
import binascii
import hashlib
import json
import string

import hvac
import pytest
from prometheus_client.parser import text_string_to_metric_families

from coffre_server import Server

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


class TestCors:
    def test_the_life_of_the_setting(self, server):
        assert server.call("GET", "sys/config/cors").json()["enabled"] is False
        body = {"allowed_origins": "https://app.example.org,http://localhost:3000", "allowed_headers": ["X-Extra"]}
        assert server.call("POST", "sys/config/cors", body).status_code == 204
        answer = server.call("GET", "sys/config/cors").json()
        assert answer["enabled"] is True and answer["data"]["allowed_origins"] == answer["allowed_origins"] == ["https://app.example.org", "http://localhost:3000"]
        assert {"X-Extra", "X-Vault-Token"} <= set(answer["allowed_headers"])
        for odd in ({}, {"allowed_origins": "null"}, {"allowed_origins": "*,https://a.example"}, {"allowed_origins": "a.example/path"}, {"allowed_origins": "*", "allowed_headers": "a b"}):
            assert server.call("POST", "sys/config/cors", odd).status_code == 400, odd
        assert server.call("DELETE", "sys/config/cors").status_code == 204
        assert server.call("GET", "sys/config/cors").json()["data"] == {"enabled": False}


class TestConfiguration:
    def test_headers_of_the_web_interface(self, server):
        assert server.call("LIST", "sys/config/ui/headers").status_code == 404
        assert server.call("PUT", "sys/config/ui/headers/X-Custom", {"values": ["a", "b"]}).status_code == 204
        assert data(server.call("GET", "sys/config/ui/headers/x-custom")) == {"value": "a", "values": ["a", "b"]}
        assert data(server.call("LIST", "sys/config/ui/headers"))["keys"] == ["X-Custom"]
        for header, values in (("X-Vault-Token", ["a"]), ("X-Custom", []), ("X-Custom", ["a\r\nSet-Cookie: b"]), ("X Y", ["a"])):
            assert server.call("PUT", f"sys/config/ui/headers/{header}", {"values": values}).status_code == 400, header
        assert server.call("DELETE", "sys/config/ui/headers/X-Custom").status_code == 204
        assert server.call("GET", "sys/config/ui/headers/X-Custom").status_code == 404

    def test_the_configuration_without_secrets(self, tls_server):
        answer = tls_server.call("GET", "sys/config/state/sanitized")
        state = data(answer)
        assert state["storage"]["type"] == "redb" and state["seals"][0]["type"] == "shamir" and state["default_lease_ttl"] == 2764800
        assert state["listeners"] == [{"type": "tcp", "config": {"address": f"127.0.0.1:{tls_server.port}", "tls_disable": "false"}}]
        assert "key.pem" not in answer.text and state["api_addr"] == tls_server.address

    def test_nothing_is_reloaded_over_the_api(self, server):
        assert server.call("POST", "sys/config/reload/license").status_code == 400


class TestTelemetry:
    def scrape(self, server):
        answer = server.call("GET", "sys/metrics?format=prometheus")
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {family.name: family for family in text_string_to_metric_families(answer.text)}

    def test_prometheus_s_own_parser_reads_it(self, server):
        server.call("GET", "sys/mounts")
        families = self.scrape(server)
        assert all(name.startswith("vault_") and family.documentation for name, family in families.items())
        reads = {s.labels["status"]: s.value for s in families["vault_core_requests"].samples if s.labels["operation"] == "read"}
        server.call("GET", "sys/mounts")
        server.call("GET", "sys/mounts", token="")
        families = self.scrape(server)
        again = {s.labels["status"]: s.value for s in families["vault_core_requests"].samples if s.labels["operation"] == "read"}
        assert (again["2xx"] - reads["2xx"], again["4xx"] - reads["4xx"]) == (2, 1), "one read and the scrape; one refusal"
        times = families["vault_core_handle_request_seconds"]
        of_reads = [s for s in times.samples if s.labels["operation"] == "read"]
        buckets = [s.value for s in of_reads if s.name.endswith("_bucket")]
        count = next(s.value for s in of_reads if s.name.endswith("_count"))
        assert times.type == "histogram" and buckets == sorted(buckets) and buckets[-1] == count == sum(again.values())
        value = lambda name: families[name].samples[0].value
        assert value("vault_core_unsealed") == 1 and value("vault_core_in_flight_requests") == 1
        assert value("vault_runtime_resident_bytes") > 1 << 20 and value("vault_core_policies") >= 2
        assert {s.labels["state"]: s.value for s in families["vault_audit_devices"].samples} == {"well": 1, "failing": 0}
        writes = [s for s in families["vault_storage_operation_seconds"].samples if s.name.endswith("_count") and s.labels["operation"] == "write"]
        assert writes[0].value > 0

    def test_the_json_summary(self, server):
        summary = server.call("GET", "sys/metrics").json()
        assert set(summary) == {"Timestamp", "Gauges", "Points", "Counters", "Samples"}
        assert {"Name": "vault.core.unsealed", "Value": 1.0, "Labels": {}} in summary["Gauges"]
        names = {sample["Name"] for sample in summary["Counters"] + summary["Samples"]}
        assert {"vault.core.requests_total", "vault.core.handle_request_seconds"} <= names
        assert server.call("GET", "sys/metrics?format=xml").status_code == 400

    def test_refusals_of_a_limit_are_counted(self, server):
        server.call("POST", "sys/mounts/counted", {"type": "kv"})
        server.call("POST", "sys/quotas/rate-limit/counted", {"path": "counted", "rate": 1, "interval": "1h"})
        before = self.scrape(server)["vault_quota_rate_limit_violation"].samples[0].value
        assert [server.call("GET", "counted/a").status_code for _ in range(3)] == [404, 429, 429]
        assert self.scrape(server)["vault_quota_rate_limit_violation"].samples[0].value == before + 2
        server.call("DELETE", "sys/mounts/counted")

    def test_a_listener_can_show_its_metrics_to_everybody(self, binary, tmp_path):
        open_server = Server(binary, tmp_path / "open")
        config = json.loads(open_server.config.read_text())
        config["listener"]["tcp"]["telemetry"] = {"unauthenticated_metrics_access": True}
        config["telemetry"] = {"prometheus_retention_time": "30s", "disable_hostname": True}
        open_server.config.write_text(json.dumps(config))
        open_server.start()
        try:
            sealed = open_server.call("GET", "sys/metrics", token="")
            assert sealed.status_code == 200 and "vault_core_unsealed 0" in sealed.text
            assert open_server.call("GET", "sys/host-info", token="").status_code == 503
        finally:
            open_server.stop()
        assert "telemetry" not in open_server.log.read_text()

    def test_prometheus_can_be_switched_off(self, binary, tmp_path):
        server = Server(binary, tmp_path / "off")
        config = json.loads(server.config.read_text())
        config["telemetry"] = {"prometheus_retention_time": 0}
        server.config.write_text(json.dumps(config))
        server.bring_up()
        try:
            answer = server.call("GET", "sys/metrics?format=prometheus")
            assert (answer.status_code, answer.json()["errors"]) == (400, ["prometheus is not enabled"])
            assert server.call("GET", "sys/metrics").status_code == 200
        finally:
            server.stop()


class TestHost:
    def test_facts_about_the_machine(self, server):
        info = data(server.call("GET", "sys/host-info"))
        assert info["timestamp"] and info["cpu"] and info["cpu_times"] and info["disk"] and info["host"]["hostname"]
        assert 0 < info["memory"]["available"] <= info["memory"]["total"]

    def test_requests_under_way_name_themselves(self, server):
        flights = data(server.call("GET", "sys/in-flight-req"))
        (flight,) = flights.values()
        assert flight["request_path"] == "/v1/sys/in-flight-req" and flight["request_method"] == "GET"
        assert flight["client_remote_address"].startswith("127.0.0.1:")

    def test_versions_are_remembered(self, fresh_server):
        first = data(fresh_server.call("LIST", "sys/version-history"))
        (version,) = first["keys"]
        assert first["key_info"][version]["previous_version"] is None and version == fresh_server.call("GET", "sys/seal-status").json()["version"]
        fresh_server.kill()
        fresh_server.start()
        fresh_server.unseal()
        assert data(fresh_server.call("LIST", "sys/version-history")) == first


class TestLoggers:
    def test_levels_change_while_the_server_runs(self, server):
        usual = data(server.call("GET", "sys/loggers"))
        assert usual["core"] == "info" and len(set(usual.values())) == 1
        assert server.call("POST", "sys/loggers/audit", {"level": "DEBUG"}).status_code == 204
        assert data(server.call("GET", "sys/loggers/audit")) == {"audit": "debug"}
        assert server.call("POST", "sys/loggers", {"level": "warning"}).status_code == 204
        assert set(data(server.call("GET", "sys/loggers")).values()) == {"warn"}
        assert server.call("DELETE", "sys/loggers/core").status_code == 204
        assert data(server.call("GET", "sys/loggers"))["core"] == "info"
        assert server.call("DELETE", "sys/loggers").status_code == 204
        assert data(server.call("GET", "sys/loggers")) == usual
        assert server.call("POST", "sys/loggers", {"level": "loud"}).status_code == 400
        assert server.call("POST", "sys/loggers/nothing", {"level": "info"}).status_code == 404 == server.call("GET", "sys/loggers/nothing").status_code

    def test_a_level_decides_what_is_written(self, fresh_server):
        fresh_server.call("POST", "sys/loggers", {"level": "error"})
        fresh_server.call("PUT", "sys/seal")
        fresh_server.unseal()
        silent = fresh_server.log.read_text().count("unsealed")
        fresh_server.call("DELETE", "sys/loggers")
        fresh_server.call("PUT", "sys/seal")
        fresh_server.unseal()
        assert fresh_server.log.read_text().count("unsealed") == silent + 1


class TestOfOtherServers:
    def test_the_catalog_lists_what_is_built_in(self, server):
        catalog = data(server.call("GET", "sys/plugins/catalog"))
        assert "kv" in catalog["secret"] and "approle" in catalog["auth"] and all(entry["builtin"] for entry in catalog["detailed"])
        assert data(server.call("LIST", "sys/plugins/catalog/auth"))["keys"] == catalog["auth"]
        assert data(server.call("GET", "sys/plugins/catalog/secret/kv"))["builtin"] is True
        assert catalog["database"] == sorted(catalog["database"])
        assert {"postgresql-database-plugin", "mysql-rds-database-plugin", "redis-database-plugin"} <= set(catalog["database"])
        assert {entry["name"] for entry in catalog["detailed"] if entry["type"] == "database"} == set(catalog["database"])
        assert data(server.call("LIST", "sys/plugins/catalog/database"))["keys"] == catalog["database"]
        assert data(server.call("GET", "sys/plugins/catalog/database/valkey-database-plugin"))["builtin"] is True
        assert server.call("GET", "sys/plugins/catalog/secret/nothing").status_code == 404
        assert server.call("LIST", "sys/plugins/catalog/odd").status_code == 400

    def test_there_is_no_raft_and_no_license(self, server):
        for method, path in (("GET", "configuration"), ("GET", "autopilot/state"), ("POST", "remove-peer"), ("GET", "snapshot")):
            answer = server.call(method, f"sys/storage/raft/{path}")
            assert (answer.status_code, answer.json()["errors"]) == (400, ["raft storage is not in use"]), path
        assert server.call("GET", "sys/license/status").status_code == 404
