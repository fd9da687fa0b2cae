"""Reads audit logs, and gives audit devices something to talk to."""

import json
import os
import socket
import threading
import time
from pathlib import Path


def entries(log: Path) -> list[dict]:
    """Every line as JSON: a torn or foreign line fails here."""
    return [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]


def pairs(found: list[dict]) -> dict[str, list[str]]:
    """The types of entries by request id."""
    by_id: dict[str, list[str]] = {}
    for entry in found:
        by_id.setdefault(entry["request"].get("id", ""), []).append(entry["type"])
    by_id.pop("", None)
    return by_id


def until(done, seconds: float = 15.0):
    """What `done` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := done():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


class Listener:
    """Takes connections or datagrams and keeps what comes. `pause` stops reading, and connections stay open."""

    def __init__(self, kind: str, path: Path | None = None):
        family = socket.AF_UNIX if path else socket.AF_INET
        stream = kind in ("tcp", "unix")
        self.socket = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096 if stream else 1 << 20)
        self.socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.address = str(path) if path else "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.received = bytearray()
        self.datagrams: list[bytes] = []
        self.connections: list[socket.socket] = []
        self.reading = threading.Event()
        self.reading.set()
        if stream:
            self.socket.listen(8)
        threading.Thread(target=self._accept if stream else self._receive, daemon=True).start()

    def pause(self):
        self.reading.clear()

    def go_on(self):
        self.reading.set()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        connection.settimeout(0.05)
        while True:
            self.reading.wait()
            try:
                chunk = connection.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            if not chunk:
                return
            self.received += chunk

    def _receive(self):
        while True:
            self.reading.wait()
            try:
                self.datagrams.append(self.socket.recv(65536))
            except OSError:
                return

    def close(self):
        for held in [self.socket, *self.connections]:
            try:
                held.shutdown(socket.SHUT_RDWR)  # Wakes whoever waits in it; otherwise it would stay open.
            except OSError:
                pass
            held.close()


class Pipe:
    """A FIFO with a reader that can stop reading, or go."""

    def __init__(self, path: Path):
        os.mkfifo(path, 0o600)
        self.path = path
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def drain(self) -> bytes:
        taken = b""
        while True:
            try:
                chunk = os.read(self.reader, 65536)
            except BlockingIOError:
                return taken
            if not chunk:
                return taken
            taken += chunk

    def close(self):
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1
