"""Section L of the abuse list: web pages of strangers, and what metrics may tell."""

import json
import re

import pytest
import requests

from coffre_server import Server

KNOWN, STRANGER = "https://app.example.org", "https://evil.example"
CANARY = "CANARYmetrics7f3a"


@pytest.fixture
def with_cors(server):
    assert server.call("POST", "sys/config/cors", {"allowed_origins": KNOWN}).status_code == 204
    yield server
    server.call("DELETE", "sys/config/cors")


def preflight(server, origin, path="sys/mounts/made-by-a-preflight"):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-Vault-Token"}
    return requests.options(f"{server.address}/v1/{path}", headers=headers, timeout=20)


def test_l5_a_strange_origin_is_refused_and_nothing_happens(with_cors):
    """A page of an unknown origin gets 403 without Access-Control-Allow-Origin, whatever token it has."""
    for origin in (STRANGER, "null", f"{KNOWN}.evil.example", f"{KNOWN}:8443", KNOWN.replace("https", "http"), KNOWN.upper() + "/"):
        refused = with_cors.call("POST", "sys/mounts/made-by-a-page", {"type": "kv"}, headers={"Origin": origin})
        assert refused.status_code == 403, origin
        assert not [name for name in refused.headers if name.lower().startswith("access-control")], origin
    assert "made-by-a-page/" not in with_cors.call("GET", "sys/mounts").json()["data"]


def test_l5_a_known_origin_is_answered_without_credentials(with_cors):
    """A page of a known origin is answered under its own name, and no answer allows cookies or logins of the browser."""
    answer = with_cors.call("GET", "sys/mounts", headers={"Origin": KNOWN})
    assert answer.status_code == 200 and answer.headers["Access-Control-Allow-Origin"] == KNOWN and answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    refused = with_cors.call("GET", "sys/mounts", token="", headers={"Origin": KNOWN})
    assert refused.status_code == 403 and refused.headers["Access-Control-Allow-Origin"] == KNOWN
    assert "Access-Control-Allow-Origin" not in with_cors.call("GET", "sys/mounts").headers


def test_l5_a_preflight_has_no_effect(with_cors):
    """A preflight is answered from the list of origins alone: no token, no route, no change."""
    allowed = preflight(with_cors, KNOWN)
    assert allowed.status_code == 204 and allowed.headers["Access-Control-Allow-Origin"] == KNOWN
    assert "X-Vault-Token" in allowed.headers["Access-Control-Allow-Headers"] and "LIST" in allowed.headers["Access-Control-Allow-Methods"]
    assert preflight(with_cors, STRANGER).status_code == 403 and preflight(with_cors, "null").status_code == 403
    assert "made-by-a-preflight/" not in with_cors.call("GET", "sys/mounts").json()["data"]


def test_l5_the_wildcard_never_comes_with_credentials(server):
    """With all origins allowed the answer says `*` and no credentials; the list cannot mix `*` with others or hold `null`."""
    for odd in (["*", KNOWN], ["null"]):
        assert server.call("POST", "sys/config/cors", {"allowed_origins": odd}).status_code == 400
    assert server.call("GET", "sys/config/cors").json()["enabled"] is False
    server.call("POST", "sys/config/cors", {"allowed_origins": "*"})
    answer = server.call("GET", "sys/mounts", headers={"Origin": STRANGER})
    assert answer.headers["Access-Control-Allow-Origin"] == "*" and "Access-Control-Allow-Credentials" not in answer.headers
    server.call("DELETE", "sys/config/cors")
    assert "Access-Control-Allow-Origin" not in server.call("GET", "sys/mounts", headers={"Origin": STRANGER}).headers
    assert preflight(server, STRANGER).status_code == 405


def test_l5_only_sudo_sets_origins(server):
    """Who may write the setting but has no sudo cannot open the server to web pages."""
    policy = 'path "sys/config/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    server.client().sys.create_or_update_policy("config", policy)
    token = server.client().auth.token.create(policies=["config"])["auth"]["client_token"]
    assert server.call("POST", "sys/config/cors", {"allowed_origins": "*"}, token=token).status_code == 403
    assert server.call("GET", "sys/config/state/sanitized", token=token).status_code == 403
    assert server.call("GET", "sys/config/cors").json()["enabled"] is False


@pytest.mark.parametrize("path", ["metrics", "metrics?format=prometheus", "host-info", "in-flight-req", "loggers", "config/state/sanitized"])
def test_l8_f15_nothing_about_the_server_without_a_token(server, path):
    """Without a token, and with one that no policy allows it, nothing is told about the process or the machine."""
    plain = server.client().auth.token.create(policies=["default"])["auth"]["client_token"]
    for token in ("", "hvs.unknown", plain):
        refused = server.call("GET", f"sys/{path}", token=token)
        assert refused.status_code == 403 and set(refused.json()) == {"errors"}, path


@pytest.mark.parametrize("path", ["pprof/goroutine", "pprof/heap", "monitor", "internal/inspect/router/root", "raw/core/mount"])
def test_f15_debug_endpoints_are_not_there(server, path):
    """Profiles, log streams and raw storage are not offered: 403 without a token, 404 for root."""
    assert server.call("GET", f"sys/{path}", token="").status_code == 403
    assert server.call("GET", f"sys/{path}").status_code == 404


def test_l8_labels_hold_no_name_of_anything(server):
    """Names of mounts, paths, policies, users, limits, devices and tokens do not stand in metrics, in either form."""
    client = server.client()
    client.sys.enable_secrets_engine("kv", path=f"{CANARY}mount")
    server.call("POST", f"{CANARY}mount/{CANARY}path", {"k": f"{CANARY}value"})
    client.sys.create_or_update_policy(f"{CANARY}policy".lower(), 'path "a" { capabilities = ["read"] }')
    token = client.auth.token.create(policies=[f"{CANARY}policy".lower()], display_name=f"{CANARY}user")["auth"]["client_token"]
    server.call("GET", f"{CANARY}mount/x", token=token)
    server.call("GET", f"{CANARY}nowhere")
    server.call("POST", f"sys/quotas/rate-limit/{CANARY}limit", {"path": f"{CANARY}mount", "rate": 1000})
    for form in ("", "?format=prometheus"):
        told = server.call("GET", f"sys/metrics{form}").text
        assert CANARY.lower() not in told.lower() and token not in told and server.root not in told
    labels = set(re.findall(r'(\w+)="([^"]*)"', told))
    words = {value for name, value in labels if name != "le"}
    assert words <= {"read", "list", "write", "patch", "delete", "get", "2xx", "3xx", "4xx", "5xx", "well", "failing", "taken", "lost", "secret", "auth"}, words
    server.call("DELETE", f"sys/quotas/rate-limit/{CANARY}limit")
    client.sys.disable_secrets_engine(f"{CANARY}mount")


def test_l8_metrics_are_open_only_where_the_configuration_says_so(binary, tmp_path):
    """A listener that opens its metrics opens nothing else, and the other listener stays shut."""
    server = Server(binary, tmp_path / "server")
    config = json.loads(server.config.read_text())
    shut = config["listener"]["tcp"]
    other = Server(binary, tmp_path / "other")
    config["listener"] = [{"tcp": shut}, {"tcp": {"address": f"127.0.0.1:{other.port}", "tls_disable": True, "telemetry": {"unauthenticated_metrics_access": True}}}]
    server.config.write_text(json.dumps(config))
    server.bring_up()
    try:
        assert server.call("GET", "sys/metrics", token="").status_code == 403
        assert other.call("GET", "sys/metrics", token="").status_code == 200
        for path in ("sys/host-info", "sys/in-flight-req", "sys/metrics/", "sys/mounts"):
            assert other.call("GET", path, token="").status_code == (200 if path == "sys/metrics/" else 403), path
        assert other.call("POST", "sys/metrics", {}, token="").status_code in (403, 405)
    finally:
        server.stop()
