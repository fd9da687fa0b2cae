"""PostgreSQL and Redis when they are there: real servers, started for the test if they are installed."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from backend.app import build_app
from backend.config import load_config


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_open(port, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture
def redis_url(tmp_path):
    pytest.importorskip("redis")
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "test-pass", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    until_open(port)
    yield f"redis://:test-pass@127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


@pytest.fixture
def postgres_url(tmp_path):
    pytest.importorskip("psycopg")
    if not shutil.which("initdb"):
        pytest.skip("PostgreSQL is not installed")
    # PostgreSQL refuses to run as root.
    options = {"user": "nobody"} if os.geteuid() == 0 else {}
    data, port = tmp_path / "pg", free_port()
    data.mkdir()
    if options:
        shutil.chown(data, "nobody")
        for parent in data.parents:
            if parent.owner() == "root" and str(parent).startswith("/tmp/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    env = os.environ | {"LC_ALL": "C"}
    command = ["initdb", "-D", data, "-U", "atmr", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env, **options)
    command = ["postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", data, "-F"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=env, **options)
    until_open(port)
    yield f"postgresql://atmr:any@127.0.0.1:{port}/postgres"
    # Fast shutdown: the application's pool is still connected.
    server.send_signal(signal.SIGINT)
    server.wait(20)


def test_redis_limits_logins_over_all_processes(environ, dotenv, redis_url):
    config = load_config(environ | {"REDIS_URL": redis_url}, dotenv)
    clients = [build_app(config).test_client() for _ in range(2)]
    assert clients[0].get("/health").get_json()["redis"] == {"in_use": True, "reason": ""}
    wrong = {"username": "demo", "password": "wrong"}
    codes = [clients[n % 2].post("/auth/login", json=wrong).status_code for n in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert clients[0].post("/auth/login", json=wrong | {"username": "other"}).status_code == 401


def test_a_wrong_redis_password_means_no_redis_and_is_not_shown(environ, dotenv, redis_url):
    bad = redis_url.replace("test-pass", "wrong-pass-canary")
    answer = build_app(load_config(environ | {"REDIS_URL": bad}, dotenv)).test_client().get("/health")
    assert answer.get_json()["redis"]["in_use"] is False
    assert "wrong-pass-canary" not in answer.text


def test_postgresql_is_used_when_it_answers(environ, dotenv, postgres_url):
    del environ["ATMR_DATABASE"]
    client = build_app(load_config(environ | {"DATABASE_URL": postgres_url}, dotenv)).test_client()
    assert client.get("/health").get_json()["database"] == {"in_use": "postgresql", "reason": ""}
    login = client.post("/auth/login", json={"username": "demo", "password": "demo"}).get_json()
    token = {"Authorization": f"Bearer {login['access_token']}"}
    assert client.post("/notes", json={"body": "in PostgreSQL"}, headers=token).status_code == 201
    assert [note["body"] for note in client.get("/notes", headers=token).get_json()["notes"]] == ["in PostgreSQL"]


def test_in_development_an_unreachable_database_means_sqlite(environ, dotenv):
    del environ["ATMR_DATABASE"]
    environ["DATABASE_URL"] = "postgresql://u:canary-pass@127.0.0.1:1/x"
    answer = build_app(load_config(environ, dotenv)).test_client().get("/health")
    assert answer.get_json()["database"]["in_use"] == "sqlite"
    assert "canary-pass" not in answer.text
