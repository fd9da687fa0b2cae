"""Bytes on a socket, for what no client library would send."""

import json
import socket
import ssl
import time
from dataclasses import dataclass, field


@dataclass
class Reply:
    """What came back until the server closed or fell silent."""

    raw: bytes
    closed: bool

    @property
    def status(self) -> int:
        head = self.raw.split(b"\r\n", 1)[0].split(b" ")
        return int(head[1]) if len(head) > 1 and head[0].startswith(b"HTTP/1.") else 0

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.raw.split(b"HTTP/1.1 ")[1:]]

    @property
    def head(self) -> str:
        return self.raw.split(b"\r\n\r\n", 1)[0].decode("latin-1").lower()

    @property
    def body(self) -> bytes:
        return self.raw.split(b"\r\n\r\n", 1)[-1]


def connect(server) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    if getattr(server, "tls", False):
        context = ssl.create_default_context(cafile=str(server.ca))
        stream = context.wrap_socket(stream, server_hostname="localhost")
    return stream


def read(stream: socket.socket, silence: float = 0.6, most: float = 20.0) -> Reply:
    """Reads until the server closes, says nothing for `silence` seconds after its first byte, or `most` seconds passed."""
    raw, closed, deadline = b"", False, time.monotonic() + most
    while time.monotonic() < deadline:
        stream.settimeout(silence if raw else max(0.01, deadline - time.monotonic()))
        try:
            piece = stream.recv(65536)
        except (TimeoutError, ssl.SSLError):
            break
        except OSError:
            closed = True
            break
        if not piece:
            closed = True
            break
        raw += piece
    return Reply(raw, closed)


def send(server, data: bytes, silence: float = 0.6, most: float = 20.0) -> Reply:
    with connect(server) as stream:
        try:
            stream.sendall(data)
        except OSError:
            pass  # Refused before everything was sent.
        return read(stream, silence, most)


def request(method: str, target: str, headers: dict | list = (), body: bytes = b"", token: str = "") -> bytes:
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    if token:
        pairs.append(("X-Vault-Token", token))
    if body and not names & {"content-length", "transfer-encoding"}:
        pairs.append(("Content-Length", str(len(body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1") + body


def ask(server, method: str, target: str, headers=(), body: bytes = b"", token: str | None = None) -> Reply:
    """One request with the target exactly as given; the connection ends with it."""
    token = server.root if token is None else token
    pairs = (list(headers.items()) if isinstance(headers, dict) else list(headers)) + [("Connection", "close")]
    return send(server, request(method, target, pairs, body, token))


def resident(process) -> int:
    """Bytes of a process that are in memory."""
    with open(f"/proc/{process.pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


@dataclass
class Probe:
    """How long a well-behaved client waits, in seconds, each with a connection of its own."""

    server: object
    times: list[float] = field(default_factory=list)

    def once(self) -> None:
        begun = time.monotonic()
        reply = ask(self.server, "GET", "/v1/sys/seal-status", token="")
        assert reply.status == 200 and json.loads(reply.body)["sealed"] is False
        self.times.append(time.monotonic() - begun)
