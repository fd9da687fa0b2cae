"""The real PostgreSQL and Redis that other tests stand on: they start, stop, come back, and never outlive the test run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from real_process import RealProcess, until

HERE = Path(__file__).parent


def test_postgres_has_users_of_its_own(postgres):
    postgres.create_role("real_servers", "p-real-servers", database="real_servers")
    with psycopg.connect(postgres.url_for("real_servers", "p-real-servers", "real_servers")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("real_servers",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url_for("real_servers", "wrong", "real_servers"))
    assert postgres.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", ["real_servers"]) == [(1,)]


def test_redis_asks_for_the_password(redis_server):
    redis_server.client().set("real-servers", "1", ex=60)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=redis_server.port).get("real-servers")


@pytest.mark.parametrize("kind", ["postgres", "redis_server"])
def test_they_stop_and_come_back_on_the_same_port(request, kind):
    fixture = request.getfixturevalue(kind)
    with type(fixture)() as server:
        address = server.url
        server.stop()
        assert not server.answers()
        server.start()
        server.kill()
        server.start()
        assert server.url == address and server.answers()
    assert not server.directory.exists()


@pytest.mark.parametrize("kind", ["postgres", "redis_server"])
def test_they_die_with_a_test_run_that_is_killed(request, kind):
    fixture = request.getfixturevalue(kind)
    name, module = type(fixture).__name__, {"postgres": "postgres_server"}.get(kind, kind)
    program = f"import time; from {module} import {name} as S; s = S(); print(s.process.pid, s.directory, flush=True); time.sleep(60)"
    run = subprocess.Popen([sys.executable, "-c", program], cwd=HERE, stdout=subprocess.PIPE, text=True)
    pid, directory = run.stdout.readline().split()
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert until(lambda: ended(int(pid)), 20), f"{name} outlived the test run"
    shutil.rmtree(directory)


def test_a_server_that_cannot_start_says_why():
    class Broken(RealProcess):
        def command(self):
            return [sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"]

        def answers(self):
            return False

    began = time.monotonic()
    with pytest.raises(AssertionError, match="no such luck"):
        Broken("broken").start()
    assert time.monotonic() - began < 20


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody may be there to collect it.
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
