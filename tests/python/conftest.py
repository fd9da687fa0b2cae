"""The binary under test and its servers. COFFRE_BIN names the binary; without it the debug build is taken. COFFRE_TEST_SERVER
names a server of another make for the tests of the client side to stand on (`stock_server.py`)."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from coffre_server import DevServer, Server
from gate import Gate
from postgres_server import PostgresServer
from real_process import Missing
from redis_server import RedisServer
from stock_server import CHOSEN, make, version

REPOSITORY = Path(__file__).resolve().parents[2]

# The package `coffre` as `cargo xtask package` stages it.
PACKAGE = Path(os.environ.get("COFFRE_PACKAGE") or REPOSITORY / "target/python")
sys.path.insert(0, str(PACKAGE))

# What a shell starts in the background, or `nohup`, ignores some signals, and hands that on to what it starts itself.
# Tests of signals need the ordinary way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for ignored in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL)


def pytest_report_header():
    return f"tests stand on {version(CHOSEN)}" if CHOSEN else None


@pytest.fixture(scope="session")
def binary(tmp_path_factory) -> Path:
    """A copy, so that a build which runs meanwhile does not change what is tested."""
    found = Path(os.environ.get("COFFRE_BIN") or REPOSITORY / "target/debug/coffre")
    if not found.is_file():
        pytest.exit(f"no binary at {found}: run `cargo build -p coffre-cli`, or set COFFRE_BIN", returncode=1)
    copy = tmp_path_factory.mktemp("bin") / "coffre"
    shutil.copy2(found, copy)
    return copy


@pytest.fixture(scope="session")
def vault_link(binary) -> Path:
    """The same binary under the name `vault`."""
    link = binary.with_name("vault")
    link.symlink_to(binary)
    return link


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    """Initialised, unsealed, with a file audit device; shared by the tests of one file."""
    server = make(Server, binary, tmp_path_factory.mktemp("server")).bring_up()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tls_server(binary, tmp_path_factory):
    server = make(Server, binary, tmp_path_factory.mktemp("tls"), tls=True).bring_up()
    yield server
    server.stop()


@pytest.fixture
def fresh_server(binary, tmp_path):
    """For one test only; it may seal, kill or restart it."""
    server = make(Server, binary, tmp_path / "server").bring_up()
    yield server
    server.stop()


@pytest.fixture
def empty_server(binary, tmp_path):
    """Started, not initialised."""
    server = make(Server, binary, tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def dev_server(binary, tmp_path_factory):
    server = make(DevServer, binary, tmp_path_factory.mktemp("dev")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres():
    """A real PostgreSQL, shared: make a database or a role of your own in it."""
    yield from real(PostgresServer)


@pytest.fixture(scope="session")
def redis_server():
    """A real Redis, shared: do not flush it, and take keys of your own."""
    yield from real(RedisServer)


def real(kind):
    """The running server; a visible skip where it is not installed."""
    try:
        server = kind()
    except Missing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def slow_server(server):
    """A way to the module's server that holds each answer back for `delay` seconds."""
    with Gate(server.port) as gate:
        yield gate
