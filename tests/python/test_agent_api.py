"""The agent's socket: what programs of this host get from it, and what nobody gets."""

import json
import os
import shutil
import socket
import stat
import subprocess
import threading
import time

import hvac
import pytest

from agent_host import Agent, as_root, audit_reads, prepare, put
from coffre_server import clean_environment

SECRET = "s3cr3t-flask-canary"


@pytest.fixture(scope="module")
def prepared(server):
    prepare(server)
    put(server, "prod/flask/secret_key", value=SECRET)
    put(server, "dev/flask/secret_key", value="other")
    return server


@pytest.fixture
def agent(binary, prepared, tmp_path):
    with Agent(binary, tmp_path / "agent", prepared).identify().start() as agent:
        yield agent


def test_hvac_curl_and_our_own_client_read_from_it(agent, binary):
    answer = agent.hvac().secrets.kv.v2.read_secret_version("prod/flask/secret_key", mount_point="atmr", raise_on_deleted_version=True)
    assert answer["data"]["data"] == {"value": SECRET}
    assert answer["data"]["metadata"]["version"] >= 1
    curl = ["curl", "-sS", "--unix-socket", str(agent.socket), "-H", "X-Vault-Request: true", "http://agent/v1/atmr/data/prod/flask/secret_key"]
    assert json.loads(subprocess.check_output(curl, timeout=20))["data"]["data"]["value"] == SECRET
    env = clean_environment(VAULT_ADDR=f"unix://{agent.socket}", HOME=str(agent.directory))
    read = [str(binary), "read", "-format=json", "atmr/data/prod/flask/secret_key"]
    assert json.loads(subprocess.check_output(read, env=env, timeout=20))["data"]["data"]["value"] == SECRET


def test_many_clients_are_one_request_to_the_server(agent, prepared):
    put(prepared, "prod/shared", value="one")
    found = []
    threads = [threading.Thread(target=lambda: found.append(agent.data("prod/shared")["value"])) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["one"] * 40
    assert audit_reads(prepared, "atmr/data/prod/shared") == 1


def test_a_change_arrives_within_the_soft_bound(agent, prepared):
    put(prepared, "prod/changing", value="old")
    assert agent.data("prod/changing") == {"value": "old"}
    put(prepared, "prod/changing", value="new")
    agent.wait_for(lambda: agent.data("prod/changing") == {"value": "new"}, "new value", 30)


def test_what_is_denied_absent_or_deleted_is_told_apart(agent, prepared):
    status, body = agent.get("/v1/atmr/data/dev/flask/secret_key")
    assert status == 403 and "denies" in body
    assert agent.get("/v1/atmr/data/prod/none")[0] == 404
    put(prepared, "prod/deleted", value="x")
    prepared.client().secrets.kv.v2.delete_latest_version_of_secret("prod/deleted", mount_point="atmr")
    status, body = agent.get("/v1/atmr/data/prod/deleted")
    assert status == 404 and json.loads(body)["data"]["metadata"]["deletion_time"]
    with pytest.raises(hvac.exceptions.InvalidPath):
        agent.hvac().secrets.kv.v2.read_secret_version("prod/none", mount_point="atmr", raise_on_deleted_version=True)


@pytest.mark.parametrize(
    ("path", "method", "headers", "said"),
    [
        ("/v1/atmr/data/prod/flask/secret_key", "GET", {"X_Vault_Request": ""}, "X-Vault-Request"),
        ("/v1/atmr/data/prod/flask/secret_key", "GET", {"X_Vault_Request": "yes"}, "X-Vault-Request"),
        ("/v1/atmr/data/prod/flask/secret_key", "GET", {"X_Forwarded_For": "10.0.0.1"}, "forwarded"),
        ("/v1/atmr/data/prod/flask/secret_key", "GET", {"Via": "1.1 proxy"}, "forwarded"),
        ("/v1/atmr/data/prod/flask/secret_key", "PUT", {}, "only reads"),
        ("/v1/atmr/data/prod/flask/secret_key", "DELETE", {}, "only reads"),
        ("/v1/atmr/data/prod/flask/secret_key?version=1", "GET", {}, "newest version"),
        ("/v1/atmr/data/prod/%2e%2e/dev/flask/secret_key", "GET", {}, "only reads"),
        ("/v1/atmr/data/prod%2fflask/secret_key", "GET", {}, "only reads"),
        ("/v1/atmr/metadata/prod/flask/secret_key", "GET", {}, "only reads"),
        ("/v1/sys/mounts", "GET", {}, "only reads"),
        ("/v1/auth/token/lookup-self", "GET", {}, "only reads"),
        ("/v1/cubbyhole/data/x", "GET", {}, "only reads"),
        ("/", "GET", {}, "below /v1/"),
    ],
)
def test_everything_else_is_refused_with_a_sentence(agent, path, method, headers, said):
    status, body = agent.get(path, method, **headers)
    assert status == 403 and said in body, body
    assert SECRET not in body


def test_paths_that_are_not_listed_are_refused(binary, prepared, tmp_path):
    agent = Agent(binary, tmp_path / "agent", prepared, listen='allow_paths = ["atmr/data/prod/flask/*"]').identify()
    with agent.start():
        assert agent.data("prod/flask/secret_key") == {"value": SECRET}
        status, body = agent.get("/v1/atmr/data/prod/other")
        assert status == 403 and "allow_paths" in body


def test_health_and_metrics_hold_no_value(agent):
    agent.data("prod/flask/secret_key")
    status, health = agent.health()
    assert status == 200 and health["ok"] and health["token"]["ttl"] > 0
    assert [entry["state"] for entry in health["entries"]] == ["fresh"]
    status, metrics = agent.get("/metrics", X_Vault_Request="")
    assert status == 200
    for name in ("get_total", "age_seconds", "flight_seconds_bucket", "state", "breaker_state", "token_ttl_seconds", "degraded_seconds_total"):
        assert f"\ncoffre_secrets_{name}" in metrics, name
    status, body = agent.get("/v1/sys/health")
    assert status == 200 and json.loads(body)["sealed"] is False
    for text in (json.dumps(health), metrics, agent.text()):
        assert SECRET not in text


@pytest.mark.skipif(not as_root() or not shutil.which("setpriv"), reason="only root can become somebody else (setpriv)")
def test_another_user_is_refused_by_the_kernels_word_not_by_the_mode(binary, prepared, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o011)
    agent = Agent(binary, tmp_path / "agent", prepared, listen='mode = "0660"\nallow_users = ["nobody"]').identify()
    ask = ["curl", "-sS", "--unix-socket", str(agent.socket), "-H", "X-Vault-Request: true", "http://agent/v1/atmr/data/prod/flask/secret_key"]
    become = lambda user: ["setpriv", f"--reuid={user}", "--clear-groups", f"--regid={user}", *ask]
    with agent.start():
        assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o660
        # Anybody may connect now; who it is decides.
        agent.socket.chmod(0o666)
        refused = subprocess.check_output(become(12345), timeout=20, text=True)
        assert "this user may not ask" in refused and SECRET not in refused
        assert "uid=12345" in agent.text()
        nobody = 65534
        assert SECRET in subprocess.check_output(become(nobody), timeout=20, text=True)


def test_a_live_agents_socket_is_refused_and_a_dead_ones_replaced(binary, agent, prepared):
    second = Agent(binary, agent.directory / "second", prepared).identify()
    second.socket = agent.socket
    with second.configure().spawn():
        assert second.process.wait(15) == 1
        assert "another agent lives there" in second.text()
    assert agent.data("prod/flask/secret_key") == {"value": SECRET}
    agent.process.kill()
    agent.process.wait()
    assert agent.socket.exists(), "a killed agent leaves its socket"
    with second.start():
        assert second.data("prod/flask/secret_key") == {"value": SECRET}
        assert second.stop() == 0
        assert not second.socket.exists()


def test_what_is_no_socket_and_a_folder_of_everybody_are_refused(binary, prepared, tmp_path):
    agent = Agent(binary, tmp_path / "agent", prepared).identify().configure()
    agent.socket.write_text("a file of somebody")
    with agent.spawn():
        assert agent.process.wait(15) == 1
        assert "no socket stands there" in agent.text() and agent.socket.read_text() == "a file of somebody"
    agent.socket.unlink()
    agent.run.chmod(0o777)
    with agent.spawn():
        assert agent.process.wait(15) == 1
        assert "others may write in its folder" in agent.text()


def test_slow_large_and_many_clients_are_bounded(binary, prepared, tmp_path):
    agent = Agent(binary, tmp_path / "agent", prepared, listen="max_connections = 4").identify()
    with agent.start():
        silent = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for one in silent:
            one.connect(str(agent.socket))
            one.send(b"GET /v1/atmr/da")
        began = time.monotonic()
        assert agent.data("prod/flask/secret_key") == {"value": SECRET}
        assert time.monotonic() - began < 8, "those that do not finish their head have to leave"
        for one in silent:
            one.close()
        status, _ = agent.get("/v1/atmr/data/prod/flask/secret_key", X_Large="x" * 40_000)
        assert status == 431
        assert agent.data("prod/flask/secret_key") == {"value": SECRET}
