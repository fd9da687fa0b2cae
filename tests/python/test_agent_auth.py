"""How the agent logs in and stays logged in: first secrets, restarts, thefts, lost servers, lost tokens, shared leases."""

import http.server
import json
import socket
import stat
import threading
import time

import pytest

from agent_host import ROLE, Agent, as_root, audit_reads, in_memory, prepare, put, set_role
from service_accounts import claims, new_key, pem, token as service_token
from stock_server import CHOSEN

WRAPPED = """method = "approle"
role_id_file = "{agent.role_id}"
wrapped_secret_id_file = "{agent.secret_id}"
expected_creation_path = "auth/approle/role/atmr-api/secret-id"
"""


@pytest.fixture(scope="module")
def prepared(server):
    prepare(server)
    put(server, "prod/x", value="s3cr3t-x-canary")
    return server


@pytest.fixture
def agent(binary, prepared, tmp_path):
    set_role(prepared, secret_id_num_uses=0)
    with Agent(binary, tmp_path / "agent", prepared).identify() as agent:
        yield agent


def deliver(agent: Agent, path: str = f"auth/approle/role/{ROLE}/secret-id") -> str:
    """A wrapping token at the place where the agent looks for it."""
    answer = agent.server.call("PUT", path, {"role_name": ROLE}, headers={"X-Vault-Wrap-TTL": "5m"})
    token = answer.json()["wrap_info"]["token"]
    agent.secret_id.write_text(token)
    return token


def audited(server, kind: str, path: str) -> list[dict]:
    entries = [json.loads(line) for line in server.audit.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry.get("type") == kind and entry["request"].get("path") == path]


def test_a_wrapped_single_use_secret_id_is_enough_for_any_number_of_starts(agent, prepared):
    set_role(prepared, secret_id_num_uses=1)
    state = agent.directory / "state"
    agent.auth = WRAPPED.format(agent=agent) + f'self_issue_role = "{ROLE}"'
    agent.extra = f'[state]\ndirectory = "{state}"\n'
    deliver(agent)
    agent.start()
    kept = state / "secret_id.json"
    agent.wait_for(kept.exists, "secret_id of its own")
    assert not agent.secret_id.exists(), "the wrapping token is of no use any more"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700 and stat.S_IMODE(kept.stat().st_mode) == 0o600
    for end in (15, 9, 15):
        before = kept.read_bytes()
        agent.stop(end)
        agent.start()
        assert agent.data("prod/x") == {"value": "s3cr3t-x-canary"}
        agent.wait_for(lambda: kept.read_bytes() != before, "next secret_id")
    secret_id = json.loads(kept.read_text())["secret_ids"][0]["secret_id"]
    assert secret_id not in agent.text()


def test_a_wrapping_token_that_somebody_else_opened_ends_the_agent(agent, prepared):
    agent.auth = WRAPPED.format(agent=agent)
    token = deliver(agent)
    assert prepared.client(token=token).sys.unwrap()["data"]["secret_id"]
    before = len(audited(prepared, "request", "sys/wrapping/lookup"))
    agent.configure().spawn()
    assert agent.process.wait(15) == 1
    assert "ERROR security event" in agent.text() and "somebody else has used it" in agent.text()
    assert len(audited(prepared, "request", "sys/wrapping/lookup")) - before <= 1, "it is not tried again"
    assert token not in agent.text()


def test_a_wrapping_token_of_another_path_is_not_opened(agent, prepared):
    agent.auth = WRAPPED.format(agent=agent)
    token = deliver(agent, "sys/wrapping/wrap")
    agent.configure().spawn()
    assert agent.process.wait(15) == 1
    assert "it was made at `sys/wrapping/wrap`" in agent.text()
    assert prepared.client(token=token).sys.unwrap()["data"] == {"role_name": ROLE}, "it is still there as evidence"


def test_a_login_that_is_refused_is_tried_ever_more_seldom(agent, prepared):
    agent.secret_id.write_text("00000000-0000-0000-0000-000000000000")
    before = len(audited(prepared, "request", "auth/approle/login"))
    agent.configure().spawn()
    agent.wait_for(lambda: "more tries would lock the role" in str(agent.health()[1]["parts"]["login"]), "reason in the health")
    assert agent.health()[0] == 503
    time.sleep(5)
    tries = len(audited(prepared, "request", "auth/approle/login")) - before
    assert 1 <= tries <= 2, "five would lock the role for everybody"
    status, body = agent.get("/v1/atmr/data/prod/x")
    assert status == 503 and "s3cr3t" not in body
    agent.identify()
    agent.wait_for(lambda: agent.health()[0] == 200, "green health", 40)


def test_a_revoked_token_is_replaced_without_an_error_for_anybody(agent, prepared):
    agent.start()
    assert agent.data("prod/x") == {"value": "s3cr3t-x-canary"}
    client = prepared.client()
    accessors = client.list("auth/token/accessors")["data"]["keys"]
    ours = [one for one in accessors if (client.auth.token.lookup_accessor(one)["data"].get("meta") or {}).get("role_name") == ROLE]
    for accessor in ours:
        client.auth.token.revoke_accessor(accessor)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert agent.data("prod/x") == {"value": "s3cr3t-x-canary"}
        time.sleep(0.05)
    put(prepared, "prod/x", value="next")
    agent.wait_for(lambda: agent.data("prod/x") == {"value": "next"}, "value through a new token", 45)
    put(prepared, "prod/x", value="s3cr3t-x-canary")


def test_a_path_that_is_taken_away_is_gone_within_the_bound(agent, prepared):
    put(prepared, "prod/taken", value="x")
    agent.start()
    assert agent.data("prod/taken") == {"value": "x"}
    client = prepared.client()
    policy = client.sys.read_policy(ROLE)["data"]["rules"]
    client.sys.create_or_update_policy(ROLE, policy + 'path "atmr/data/prod/taken" { capabilities = ["deny"] }')
    try:
        agent.wait_for(lambda: agent.get("/v1/atmr/data/prod/taken")[0] == 403, "refusal", 30)
    finally:
        client.sys.create_or_update_policy(ROLE, policy)


def test_a_lost_server_is_covered_up_to_the_hard_bound_and_not_beyond(binary, fresh_server, tmp_path):
    prepare(fresh_server)
    value = "covered-canary-77c1"
    put(fresh_server, "prod/x", value=value)
    agent = Agent(binary, tmp_path / "agent", fresh_server, cache='soft = "500ms"\nhard = "6s"\nwait = "500ms"').identify()
    with agent.start():
        assert agent.data("prod/x") == {"value": value}
        assert not as_root() or in_memory(agent.process.pid, value) > 0
        fresh_server.kill()
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert agent.data("prod/x") == {"value": value}
            time.sleep(0.05)
        time.sleep(3)
        status, body = agent.get("/v1/atmr/data/prod/x")
        assert status == 503 and value not in body and "more than allowed" in body, body
        assert not as_root() or in_memory(agent.process.pid, value) == 0, "what may not be served is not kept"
        fresh_server.start()
        fresh_server.unseal()
        agent.wait_for(lambda: agent.get("/v1/atmr/data/prod/x")[0] == 200, "value after the return", 60)


def test_an_agent_that_starts_before_its_server_waits_for_it(binary, fresh_server, tmp_path):
    prepare(fresh_server)
    put(fresh_server, "prod/x", value="late")
    agent = Agent(binary, tmp_path / "agent", fresh_server).identify().configure()
    fresh_server.stop()
    with agent.spawn():
        agent.wait_for(lambda: agent.health()[0] == 503 and "error" in agent.health()[1]["parts"]["login"], "red health")
        fresh_server.start()
        fresh_server.unseal()
        agent.wait_for(lambda: agent.health()[0] == 200, "green health", 60)
        assert agent.data("prod/x") == {"value": "late"}


def test_a_token_file_of_somebody_else_is_used_and_left_alone(agent, prepared):
    token = prepared.client().auth.token.create(policies=[ROLE], ttl="1h")["auth"]["client_token"]
    (agent.directory / "token").write_text(token + "\n")
    agent.auth = f'method = "token_file"\ntoken_file = "{agent.directory}/token"'
    agent.start()
    assert agent.data("prod/x")["value"]
    assert agent.stop() == 0
    assert prepared.client(token=token).auth.token.lookup_self()["data"]["ttl"] > 0


@pytest.mark.skipif(bool(CHOSEN), reason="Vault and OpenBao ask the cluster in any case, and there is none here")
def test_a_pod_logs_in_with_its_service_account(agent, prepared):
    key = new_key("ES256")
    client = prepared.client()
    client.sys.enable_auth_method("kubernetes")
    config = {"kubernetes_host": "https://10.0.0.1:6443", "pem_keys": [pem(key)]}
    assert prepared.call("POST", "auth/kubernetes/config", config).status_code == 204
    role = {"bound_service_account_names": "app", "bound_service_account_namespaces": "default", "policies": ROLE}
    assert prepared.call("POST", "auth/kubernetes/role/web", role).status_code == 204
    (agent.directory / "jwt").write_text(service_token(key, "ES256", claims()))
    agent.auth = f'method = "kubernetes"\nrole = "web"\ntoken_file = "{agent.directory}/jwt"'
    agent.start()
    assert agent.data("prod/x")["value"]


def test_systemd_hears_when_it_is_ready_alive_and_stopping(agent):
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(agent.directory / "notify"))
    ear.settimeout(10)
    agent.env = {"NOTIFY_SOCKET": str(agent.directory / "notify"), "WATCHDOG_USEC": "400000"}
    agent.extra = f'[[template]]\ncontents = "x"\ndestination = "{agent.run}/out"\n'
    agent.configure().spawn()
    heard = []
    while "READY=1" not in heard:
        heard.append(ear.recv(1024).decode())
    assert (agent.run / "out").read_text() == "x", "ready means that every file is there"
    while heard.count("WATCHDOG=1") < 3:
        heard.append(ear.recv(1024).decode())
    assert any(line.startswith("STATUS=") for line in heard)
    assert agent.stop() == 0
    while "STOPPING=1" not in heard:
        heard.append(ear.recv(1024).decode())


class Stub(http.server.BaseHTTPRequestHandler):
    """A server with a database engine, as far as the agent asks: logins and leased credentials, counted."""

    protocol_version = "HTTP/1.1"
    issued = 0

    def do_GET(self):
        if self.path == "/v1/database/creds/atmr-api":
            Stub.issued += 1
            data = {"username": f"v-{Stub.issued}", "password": f"p-{Stub.issued}"}
            return self.say({"lease_id": f"database/creds/atmr-api/{Stub.issued}", "lease_duration": 3600, "renewable": True, "data": data})
        return self.say({"data": {"ttl": 3600, "renewable": True, "policies": ["default"]}})

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(0.05)
        self.say({"auth": {"client_token": "hvs.stub", "lease_duration": 3600, "renewable": True}})

    do_POST = do_PUT

    def say(self, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_all_programs_of_a_host_share_one_database_user(agent):
    stub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    Stub.issued = 0
    agent.address = f"http://127.0.0.1:{stub.server_port}"
    agent.start()
    found = []
    ask = lambda: found.append(json.loads(agent.get("/v1/database/creds/atmr-api")[1]))
    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stub.shutdown()
    assert Stub.issued == 1
    assert {one["data"]["username"] + one["data"]["password"] for one in found} == {"v-1p-1"}
    assert all(one["lease_duration"] <= 3600 and one["renewable"] is False for one in found)
    assert agent.health()[1]["entries"][0]["lease_ttl"] > 3500


def test_reads_after_the_first_do_not_reach_the_server(agent, prepared):
    put(prepared, "prod/quiet", value="x")
    agent.cache = 'soft = "5m"'
    agent.start()
    for _ in range(200):
        agent.data("prod/quiet")
    assert audit_reads(prepared, "atmr/data/prod/quiet") == 1
