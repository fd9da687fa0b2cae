"""Looks for values where none may be, in the forms that they take: the five of the specification and their variants.

`forms` is what is looked for, `found` looks. Every place is bytes under a name: a log, a body, a command line, a file.
"""

import base64
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import requests

# Shorter ones occur by chance.
LEAST = 8
# Field names of documents and answers whose texts are secret.
SECRET_FIELDS = {"value", "password", "mat", "material", "secret_id", "client_token", "token", "key"}


def forms(value: str) -> dict[str, set[bytes]]:
    """Plain (also as SQL, shell and C quote it), base64 at each alignment, hexadecimal, percent-encoded, JSON and UTF-16."""
    raw = value.encode()
    percent = quote(value, safe="")
    wide = {value.encode("utf-16-le"), value.encode("utf-16-be")}
    return {
        "plain": {raw, escaped(raw), repr(value)[1:-1].encode(), value.replace("'", "''").encode(), value.replace("'", "'\\''").encode()},
        "base64": aligned(raw),
        "hex": {raw.hex().encode(), raw.hex().upper().encode(), raw.hex(":").encode()},
        "percent": {percent.encode(), lowered(percent).encode(), "".join(f"%{byte:02X}" for byte in raw).encode()},
        "json": {json.dumps(value)[1:-1].encode(), json.dumps(value, ensure_ascii=False)[1:-1].encode(), *wide},
    }


def aligned(raw: bytes) -> set[bytes]:
    """What base64 makes of the bytes wherever they stand in a longer text: the letters that they alone decide."""
    made = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            whole = encode(b"\0" * shift + raw)
            first = -(-shift * 8 // 6)
            made.add(whole[first : (shift + len(raw)) * 8 // 6])
    return made


def escaped(raw: bytes) -> bytes:
    """As C programs show bytes, Redis among them."""
    special = {0x22: b'\\"', 0x5C: b"\\\\"}
    return b"".join(special.get(byte) or (bytes([byte]) if 0x20 <= byte < 0x7F else b"\\x%02x" % byte) for byte in raw)


def lowered(percent: str) -> str:
    parts = percent.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def found(places: Mapping[str, bytes], values: Iterable[str]) -> list[tuple[str, str, str]]:
    """Where, which (its first letters), and in which form."""
    hits = []
    for value in sorted({part for value in values for part in lines(value)}):
        for form, needles in forms(value).items():
            for place, content in places.items():
                if any(needle in content for needle in needles):
                    hits.append((place, f"{value[:4]}…", form))
    return hits


def lines(value: str) -> list[str]:
    """A text of several lines, such as a private key, is looked for line by line: logs break it."""
    parts = [line for line in value.splitlines() if "-----" not in line]
    return [part for part in parts if len(part) >= LEAST]


class Secrets:
    """All values that were ever secret. `of` takes them out of documents; `watch` reads some again and again, since
    rotation destroys what it replaces."""

    def __init__(self):
        self.values: set[str] = set()
        self.documents: dict[str, bytes] = {}
        self._stop = threading.Event()

    def add(self, *values: str) -> None:
        self.values.update(values)

    def of(self, document, name: str = "") -> None:
        if isinstance(document, dict):
            for key, value in document.items():
                self.of(value, key)
        elif isinstance(document, list):
            for value in document:
                self.of(value, name)
        elif isinstance(document, str) and name in SECRET_FIELDS and document:
            self.add(document)
            if "://" in document and "@" in document:
                login = document.split("://", 1)[1].rsplit("@", 1)[0]
                self.add(login.split(":", 1)[1])

    def watch(self, server, paths: list[str]) -> None:
        def again():
            while not self._stop.is_set():
                for path in paths:
                    try:
                        answer = server.call("GET", path)
                    except requests.RequestException:
                        return  # The server has ended.
                    if answer.status_code == 200:
                        self.of(answer.json()["data"]["data"])
                time.sleep(0.7)

        threading.Thread(target=again, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def read(self, server, mount: str, folder: str) -> None:
        """Every document below the folder. Those of the bookkeeping that hold no material are kept as places."""
        answer = server.call("LIST", f"{mount}/metadata/{folder}")
        for name in answer.json()["data"]["keys"] if answer.status_code == 200 else []:
            path = f"{folder}/{name}".replace("//", "/")
            if name.endswith("/"):
                self.read(server, mount, path.rstrip("/"))
                continue
            self.documents[f"metadata of {path}"] = server.call("GET", f"{mount}/metadata/{path}").content
            text = server.call("GET", f"{mount}/data/{path}")
            if text.status_code != 200:
                continue
            if "/_rot/" in path and "/_rot/rec/" not in path:
                self.documents[path] = text.content
            else:
                self.of(text.json()["data"]["data"])


class Listener:
    """A web server of this machine that keeps what it is sent: `said` is all requests, head and body. `answer` decides."""

    def __init__(self, answer=lambda handler: 200):
        said = self.said = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                said.append(f"{self.requestline}\n{self.headers}\n".encode() + body)
                self.send_response(answer(self))
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Processes:
    """The command lines and environments of everything below this process, collected while it is entered."""

    def __init__(self):
        self.places: dict[str, bytes] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._thread:
            self._thread.join()

    def look(self) -> None:
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # It ended meanwhile.
        for process in parents:
            if not self._ours(process, parents):
                continue
            for name in ("cmdline", "environ"):
                try:
                    content = Path(f"/proc/{process}/{name}").read_bytes()
                except OSError:
                    continue
                # A program that was called in between replaces the one before.
                self.places[f"{name} of {process}"] = self.places.get(f"{name} of {process}", b"") + content

    def _watch(self):
        while not self._stop.is_set():
            self.look()
            time.sleep(0.1)

    def _ours(self, process: int, parents: dict[int, int]) -> bool:
        above = parents.get(process, 0)
        while above and above != os.getpid():
            above = parents.get(above, 0)
        return above == os.getpid()
