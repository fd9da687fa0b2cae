"""Programs end when they want to: while they wait, while threads of theirs read, with callbacks left behind."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from application import PACKAGE, Application, prepare
from coffre_server import free_port

SECONDS = 10.0


@pytest.fixture(scope="module")
def vault(server):
    return prepare(server)


@pytest.fixture
def application(vault, tmp_path):
    return Application(vault, tmp_path / "app")


def test_ctrl_c_ends_the_wait_for_a_server_that_is_away(application):
    environ = application.environ(VAULT_ADDR=f"http://127.0.0.1:{free_port()}", COFFRE_WAIT="60")
    process = subprocess.Popen(
        [sys.executable, "-c", "import coffre; print('begin', flush=True); coffre.get_secret('JWT_SECRET_KEY')"],
        cwd=application.directory, env=environ | {"PYTHONPATH": str(PACKAGE)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "begin\n"
        time.sleep(1)
        assert process.poll() is None, "it waits"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert time.monotonic() - began < SECONDS / 2
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in said
    application.assert_no_secret("standard error", said)


@pytest.mark.parametrize("last", ["pass", "sys.exit(0)", "os._exit(0)", "coffre.close()"])
def test_a_program_ends_while_its_threads_read_and_miss(application, last):
    began = time.monotonic()
    done = application.run(
        f"""
        import coffre, os, sys, threading, time
        coffre.get_secret("JWT_SECRET_KEY")
        def ask(*what):
            try:
                coffre.get_secret(*what)
            except coffre.CoffreError as error:
                assert error.kind in ("not_found", "unavailable", "closed"), error.kind
        def read():
            while True:
                ask("JWT_SECRET_KEY")
        def miss():
            number = 0
            while True:
                number += 1
                ask(f"missing/{{number}}", "value")
        for work in (read, read, miss, miss):
            threading.Thread(target=work, daemon=True).start()
        coffre.on_change(print)
        time.sleep(0.3)
        {last}
        """
    )
    assert time.monotonic() - began < SECONDS
    for word in ("Fatal", "panicked", "Segmentation", "Traceback"):
        assert word not in done.stderr, done.stderr


def test_a_callback_that_raises_does_not_keep_the_others_from_hearing(application, caplog):
    heard = threading.Event()
    with application.open() as secrets:
        secrets.get_secret("JWT_SECRET_KEY")
        secrets.on_change(lambda change: {}["the application's own"])
        secrets.on_change(lambda change: heard.set())
        application.write("jwt/secret_key", {"value": "another"})
        secrets.refresh("jwt/secret_key")
        assert heard.wait(30)
        assert any("KeyError" in record.getMessage() for record in caplog.records)
        with pytest.raises(TypeError):
            secrets.on_change("not callable")
