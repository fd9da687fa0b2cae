"""A warm cache and a fork: the child reads at once, does not log in for it, ends nothing of the parent's, never hangs."""

import concurrent.futures
import json
import os
import secrets
import signal
import subprocess
import sys
import time

import pytest
import requests

from application import PACKAGE, Application, prepare
from coffre_server import free_port
from keyrings import key, ring

GUNICORN_APP = """
import json, os
import coffre
WARM = coffre.get_secret("JWT_SECRET_KEY")
PARENT = os.getpid()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/close":
        coffre.close()
    value = coffre.get_secret("redis/creds", "value") if path == "/miss" else coffre.get_secret("JWT_SECRET_KEY")
    body = json.dumps({"same": value == WARM, "value": value, "forked": os.getpid() != PARENT, "pid": os.getpid()})
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body.encode()]
"""


FORKS_WHEN_TOLD = """
import os, sys, time
import coffre
first = coffre.get_secret("JWT_SECRET_KEY")
print("warm", flush=True)
sys.stdin.readline()
pid = os.fork()
if pid == 0:
    assert coffre.get_secret("JWT_SECRET_KEY") == first
    print("forked", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    while coffre.get_secret("JWT_SECRET_KEY") == first and time.monotonic() < began + 45:
        time.sleep(0.05)
    print(time.monotonic() - began, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
os._exit(0)
"""


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    return Application(vault, tmp_path / "app")


def test_os_fork_with_a_warm_cache(application):
    shown = application.answer(
        """
        import coffre, json, os
        warm = coffre.get_secret("JWT_SECRET_KEY")
        near, far = os.pipe()
        if os.fork() == 0:
            got = [coffre.get_secret("JWT_SECRET_KEY"), coffre.get_document("jwt/secret_key")["value"], coffre.source()]
            os.write(far, json.dumps(got).encode())
            os._exit(0)
        os.close(far)
        got = json.loads(os.read(near, 65536))
        pid, status = os.wait()
        print(json.dumps([got, status, coffre.get_secret("JWT_SECRET_KEY")]))
        """
    )
    assert shown == [[application.jwt, application.jwt, "vault"], 0, application.jwt]
    assert application.logins() == 1, "what is warm needs no identity of the child's own"


def test_a_child_that_misses_asks_for_itself_and_the_parent_goes_on(application):
    application.write("late/fork", {"value": "of the child"})
    shown = application.answer(
        """
        import coffre, json, os
        coffre.get_secret("JWT_SECRET_KEY")
        near, far = os.pipe()
        if os.fork() == 0:
            os.write(far, json.dumps([coffre.get_secret("late/fork", "value"), coffre.get_secret("JWT_SECRET_KEY")]).encode())
            coffre.close()
            os._exit(0)
        os.close(far)
        got = json.loads(os.read(near, 65536))
        os.wait()
        coffre.refresh("jwt/secret_key")
        print(json.dumps([got, coffre.get_secret("late/fork", "value"), coffre.health()["source"]]))
        """
    )
    assert shown == [["of the child", application.jwt], "of the child", "vault"]
    revoked = [
        entry for entry in application.audit()
        if entry["type"] == "request" and "revoke" in entry["request"]["path"] and entry["request"]["operation"] == "update"
    ]
    assert len(revoked) <= 2, "each process ends its own token, nobody another's"


def test_a_fork_while_other_threads_read_and_miss(application):
    """A hundred forks in the middle of everything; each child must answer."""
    shown = application.answer(
        """
        import coffre, json, os, signal, threading, time
        coffre.get_secret("JWT_SECRET_KEY")
        stop = threading.Event()
        def read():
            while not stop.is_set():
                coffre.get_secret("JWT_SECRET_KEY")
        def miss():
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    coffre.get_secret(f"missing/{os.getpid()}-{number}", "value")
                except coffre.CoffreError:
                    pass
        threads = [threading.Thread(target=work, daemon=True) for work in (read, read, miss, miss)]
        [thread.start() for thread in threads]
        good = 0
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                value = coffre.get_secret("JWT_SECRET_KEY")
                os._exit(7 if value.startswith("jwt-") else 1)
            good += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        stop.set()
        print(json.dumps(good))
        """
    )
    assert shown == 100


def test_what_is_followed_and_old_at_a_fork_is_asked_for_at_once(application):
    """The parent's request is under way: what the background of the child asks in its place must really leave, or the
    next would be made when that is given up after half a minute."""
    application.write("_rot/policy", {"soft_ttl": "500ms", "max_stale": "1h"})
    rings = [
        ring([key(secrets.token_urlsafe(24), number, "active")], epoch=number, target="jwt/secret_key")
        for number in (1, 2)
    ]
    application.write("jwt/secret_key", rings[0])
    environ = application.environ() | {"PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", FORKS_WHEN_TOLD], cwd=application.directory, env=environ, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as parent:

        def tell():
            parent.stdin.write("\n")
            parent.stdin.flush()

        assert parent.stdout.readline() == "warm\n"
        application.server.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(1.5)
            tell()
            assert parent.stdout.readline() == "forked\n"
        finally:
            application.server.process.send_signal(signal.SIGCONT)
        application.write("jwt/secret_key", rings[1])
        tell()
        assert float(parent.stdout.readline()) < 10


def test_a_fork_before_anything_was_opened_and_during_opening(application):
    shown = application.answer(
        """
        import coffre, json, os, signal, threading
        opening = threading.Thread(target=coffre.get_secret, args=("JWT_SECRET_KEY",))
        opening.start()
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            os._exit(7 if coffre.get_secret("JWT_SECRET_KEY").startswith("jwt-") else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        opening.join()
        print(json.dumps(code))
        """
    )
    assert shown == 7


def test_multiprocessing_by_fork(application):
    (application.directory / "pool.py").write_text(
        "import coffre, json, multiprocessing\n"
        "def read(_):\n"
        "    return coffre.get_secret('JWT_SECRET_KEY')\n"
        "if __name__ == '__main__':\n"
        "    coffre.get_secret('JWT_SECRET_KEY')\n"
        "    with multiprocessing.get_context('fork').Pool(4) as pool:\n"
        "        print(json.dumps(pool.map(read, range(32))))\n"
    )
    shown = application.answer("import runpy; runpy.run_path('pool.py', run_name='__main__')")
    assert shown == [application.jwt] * 32
    assert application.logins() == 1


def test_multiprocessing_by_spawn_opens_for_itself(application):
    (application.directory / "pool.py").write_text(
        "import coffre, json, multiprocessing\n"
        "def read(_):\n"
        "    return coffre.get_secret('JWT_SECRET_KEY')\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(json.dumps(pool.map(read, range(2))))\n"
    )
    environ = application.environ() | {"PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "pool.py"], cwd=application.directory, env=environ, capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [application.jwt] * 2


def answered_by_several(url):
    """The kernel gives a waiting worker its next connection as it likes: several at a time, until two have answered."""
    seen = set()
    deadline = time.monotonic() + 30
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        while len(seen) < 2:
            assert time.monotonic() < deadline, "one worker alone answers"
            answers = clients.map(lambda _: requests.get(url, timeout=10).json()["pid"], range(32))
            seen.update(answers)
    return seen


def test_gunicorn_with_preloading(application):
    (application.directory / "wsgi.py").write_text(GUNICORN_APP)
    port = free_port()
    environ = application.environ() | {"PYTHONPATH": f"{PACKAGE}{os.pathsep}{application.directory}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    log = application.directory / "gunicorn.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=application.directory, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        first = wait_for(process, log, f"http://127.0.0.1:{port}/")
        assert first["forked"] and first["same"] and first["value"] == application.jwt
        seen = answered_by_several(f"http://127.0.0.1:{port}/")
        assert application.logins() == 1, "no worker logged in to read what was warm"
        assert requests.get(f"http://127.0.0.1:{port}/miss", timeout=20).json()["value"] == application.redis
        os.kill(next(iter(seen)), signal.SIGKILL)
        for _ in range(20):
            answer = requests.get(f"http://127.0.0.1:{port}/", timeout=10).json()
            assert answer["value"] == application.jwt
    finally:
        process.terminate()
        process.wait(30)
    assert process.returncode == 0
    application.assert_no_secret("gunicorn's log", log.read_bytes())


def wait_for(process, log, url):
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(url, timeout=5).json()
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
