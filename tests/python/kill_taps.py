"""Ways between the rotation engine and its servers that see each effect, and can kill the engine before or after one."""

import contextlib
import datetime
import email.utils
import json
import re
import select
import signal
import socket
import subprocess
import threading
from collections import Counter

# What changes something in PostgreSQL, or is an action of a phase, and what it is called in the matrix.
STATEMENTS = (
    (re.compile(r"^\s*BEGIN\b"), "begin"),
    (re.compile(r"ALTER ROLE .*NOLOGIN", re.S), "lock the role out"),
    (re.compile(r"ALTER ROLE .*LOGIN", re.S), "set the password"),
    (re.compile(r"pg_terminate_backend"), "end sessions"),
    (re.compile(r"^\s*UPDATE\b"), "write a text anew"),
    (re.compile(r"FROM pg_catalog\.pg_stat_activity"), "count sessions"),
    (re.compile(r"^\s*INSERT\b"), "try to write"),
)
# Writes of a slow machine, and of one that is fast enough to ask for evidence too early.
RENEWED, UNPROVEN = "the record, claim renewed", "the record, with what is missing"
LISTED = "acknowledgements are read"
DATE = re.compile(r"(date: )([^\r]+)", re.I)
HEAD = re.compile(r"content-length:\s*(\d+)", re.I)
CHUNKED = re.compile(r"transfer-encoding:\s*chunked", re.I)


class Trap:
    """Kills `process` at the first effect called `wanted`: before it is passed on, or when it has `landed` and is answered;
    or pauses it before, until `release`, and passes the effect on first.

    An effect is called by what is done and the phase that the record was in: `("APPLY", "postgresql: set the password")`.
    """

    def __init__(self, wanted: tuple[str, str] | None = None, landed: bool = False, pause: bool = False):
        self.wanted, self.landed, self.pause = wanted, landed, pause
        self.paused: subprocess.Popen | None = None
        self._released = threading.Event()
        # How the server answered what was held back.
        self.late = ""
        # The engine, and which one after the other it is; which one was killed.
        self.process: subprocess.Popen | None = None
        self.number, self.killed = 0, 0
        self.hit = False
        self.phase, self.record, self.document = "BEGIN", None, None
        self.effects: Counter[tuple[str, str]] = Counter()
        self.changed = threading.Condition()
        # Called when something was written, with the phase; a test looks whether all is well.
        self.look = lambda: None

    def before(self, effect: str) -> str:
        """`pass`, `die` (nothing is to be passed on), `land` (call `kill` when it is answered) or `late` (call `wake` then)."""
        with self.changed:
            name = (self.phase, effect)
            self.effects[name] += 1
            if self.hit or name != self.wanted:
                return "pass"
            self.hit = True
            if self.pause:
                self.paused = self.process
                self.paused.send_signal(signal.SIGSTOP)
                self.changed.notify_all()
        if self.pause:
            self._released.wait()
            return "late"
        if self.landed:
            return "land"
        self.kill()
        return "die"

    def release(self) -> None:
        """What was held back goes on to its server, and then the paused engine lives again."""
        self._released.set()

    def wake(self, answer: str) -> None:
        self.late = answer
        self.paused.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.killed = self.number
        self.process.kill()
        self.process.wait()
        with self.changed:
            self.changed.notify_all()

    def wrote(self, what: str, data: dict | None) -> None:
        """A write that has landed."""
        with self.changed:
            if what == "record":
                self.record, self.phase = data, phase_of(data)
            elif what == "document":
                self.document = data
            self.changed.notify_all()
        if what in ("record", "document"):
            self.look()


def phase_of(record: dict | None) -> str:
    """The phase of the newest rotation, else of the oldest generation on its way out."""
    if record is None:
        return "BEGIN"
    if record["phase"] != "IDLE" or not record["retiring"]:
        return record["phase"]
    return record["retiring"][0]["phase"]


class Tap:
    """Listens on a port of its own for a process that may be killed, and passes on to `port`."""

    def __init__(self, port: int, trap: Trap):
        self.target, self.trap = port, trap
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # `shutdown` wakes the thread that accepts; `close` alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self.target)) as far:
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.speak(near, far)

    def speak(self, near: socket.socket, far: socket.socket) -> None:
        raise NotImplementedError


class VaultTap(Tap):
    """HTTP/1.1 to the vault; `mount` and `target` are those of the manifest."""

    def __init__(self, port: int, trap: Trap, mount: str, environment: str, target: str):
        self.names = Names(mount, environment, target)
        # By how many seconds the server's clock is wrong.
        self.wrong = 0.0
        super().__init__(port, trap)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def speak(self, near, far):
        requests, answers = Messages(near), Messages(far)
        while request := requests.http():
            head, body = request
            method, path = head.split(" ", 2)[:2]
            write = self.names.write(method, path, body, self.trap.record)
            verdict = self.trap.before(write[0]) if write else self._before_reading(method, path)
            if verdict == "die":
                return
            far.sendall(head.encode() + body)
            answer = answers.http()
            if answer is None:
                return
            if write and answer[0].split(" ", 2)[1] in ("200", "204"):
                self.trap.wrote(*write[1:])
            if verdict == "land":
                self.trap.kill()
                return
            if verdict == "late":
                self.trap.wake(answer[0].split(" ", 2)[1])
            near.sendall(self._at_another_time(answer[0]).encode() + answer[1])

    def _before_reading(self, method: str, path: str) -> str:
        """The last thing that is read before an action: a name for traps alone, no effect."""
        wanted = self.trap.wanted and self.trap.wanted[1]
        folder = f"/{self.names.environment}/_rot/ack/{self.names.target}"
        listed = method == "GET" and path.endswith("list=true") and path.partition("?")[0].rstrip("/").endswith(folder)
        return self.trap.before(LISTED) if wanted == LISTED and listed else "pass"

    def _at_another_time(self, head: str) -> str:
        def moved(date: re.Match) -> str:
            at = email.utils.parsedate_to_datetime(date[2]) + datetime.timedelta(seconds=self.wrong)
            return date[1] + email.utils.format_datetime(at, usegmt=True)

        return DATE.sub(moved, head) if self.wrong else head


class Names:
    """What a write is called."""

    def __init__(self, mount: str, environment: str, target: str):
        self.mount, self.environment, self.target = mount, environment, target

    def write(self, method: str, path: str, body: bytes, before: dict | None) -> tuple[str, str, dict | None] | None:
        """Its name, of what it is a write, and the new content; None for what only reads."""
        if method not in ("POST", "PUT", "PATCH", "DELETE"):
            return None
        kind, _, rest = path.removeprefix(f"/v1/{self.mount}/").partition("/")
        of = self.what(rest.removeprefix(f"{self.environment}/"))
        if kind != "data":
            return f"{kind} of the {of}", "", None
        data = json.loads(body)["data"]
        if of != "record":
            return f"the {of}", of, data
        to, was = phase_of(data), phase_of(before)
        if to != was:
            return f"the record, on to {to}", of, data
        if before and data["fence"] > before["fence"]:
            return "the record, claimed", of, data
        if claimless(data) == claimless(before):
            return RENEWED, of, data
        if of_evidence(data):
            return UNPROVEN, of, data
        return "the record", of, data

    def what(self, path: str) -> str:
        if not path.startswith("_rot/"):
            return "document" if path == self.target else "companion"
        return {"rec": "record", "hist": "history"}.get(path.split("/")[1], path.split("/")[1])


def of_evidence(record: dict | None) -> bool:
    """Whether something is missing before an old key is destroyed."""
    return any(old.get("missing") for old in (record or {}).get("retiring", []))


def claimless(record: dict | None) -> dict:
    return {name: part for name, part in (record or {}).items() if name not in ("claim", "_w", "outbox")}


class Messages:
    """What comes out of a socket, one whole message after the other."""

    def __init__(self, source: socket.socket):
        self.source, self.rest = source, b""

    def http(self) -> tuple[str, bytes] | None:
        """Head with its empty line, and body; None at the end."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                return None
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        text = head.decode("latin-1") + "\r\n\r\n"
        if CHUNKED.search(text):
            return text, self._chunks()
        length = HEAD.search(text)
        return text, self._take(int(length[1]) if length else 0)

    def _chunks(self) -> bytes:
        """A body in chunks, which stays as it is: other servers answer so when it is long. Trailers are none."""
        body, size = b"", -1
        while size:
            while b"\r\n" not in self.rest:
                if not self._more():
                    return body
            line = self.rest.partition(b"\r\n")[0]
            size = int(line, 16)
            body += self._take(len(line) + 2 + size + 2)
        return body

    def _take(self, count: int) -> bytes:
        while len(self.rest) < count and self._more():
            pass
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def _more(self) -> bool:
        data = self.source.recv(65536)
        self.rest += data
        return bool(data)


class Duplex(Tap):
    """Both directions at once; `units` takes what the client sends apart, `answered` says when an answer is whole."""

    def speak(self, near, far):
        state = self.state()
        dying, answer = False, b""
        while True:
            for source in select.select([near, far], [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                if source is near:
                    for unit, effect in state.units(data):
                        verdict = self.trap.before(effect) if effect else "pass"
                        if verdict == "die":
                            return
                        dying |= verdict == "land"
                        far.sendall(unit)
                        if verdict == "late":
                            self.trap.wake("sent")
                elif dying:
                    answer += data
                    if state.answered(answer):
                        self.trap.kill()
                        return
                else:
                    near.sendall(data)


class PostgresTap(Duplex):
    """PostgreSQL's protocol, version 3, unencrypted."""

    def state(self):
        return PostgresState()


class PostgresState:
    def __init__(self):
        self.rest, self.started, self.prepared = b"", False, {}

    def units(self, data: bytes):
        self.rest += data
        while (whole := self._length()) and len(self.rest) >= whole:
            unit, self.rest = self.rest[:whole], self.rest[whole:]
            yield unit, self._effect(unit)

    def _length(self) -> int:
        """Of the next message: the first has no letter before its length."""
        at = 1 if self.started else 0
        return at + int.from_bytes(self.rest[at : at + 4], "big") if len(self.rest) >= at + 4 else 0

    def _effect(self, unit: bytes) -> str | None:
        if not self.started:
            self.started = True
            return None
        letter, content = unit[:1], unit[5:]
        text = None
        if letter == b"Q":
            text = content.rstrip(b"\0").decode()
        elif letter == b"P":
            name, sql = content.split(b"\0", 2)[:2]
            self.prepared[name] = sql.decode()
        elif letter == b"B":
            text = self.prepared.get(content.split(b"\0", 2)[1], "")
        found = [name for pattern, name in STATEMENTS if text and pattern.search(text)]
        return f"postgresql: {found[0]}" if found else None

    @staticmethod
    def answered(answer: bytes) -> bool:
        """ReadyForQuery is the last message of an answer, and six bytes long."""
        return answer[-6:-1] == b"Z\0\0\0\x05"


class RedisTap(Duplex):
    """RESP, unencrypted."""

    def state(self):
        return RedisState()


class RedisState:
    def __init__(self):
        self.rest, self.rule = b"", ""

    def units(self, data: bytes):
        self.rest += data
        while taken := self._command():
            yield taken[0], self._effect(taken[1])

    def _command(self) -> tuple[bytes, list[str]] | None:
        """The bytes of a command and its words; None if it is not whole yet."""
        end = self.rest.find(b"\r\n")
        if end < 0:
            return None
        words, at = [], end + 2
        for _ in range(int(self.rest[1:end])):
            end = self.rest.find(b"\r\n", at)
            if end < 0:
                return None
            length = int(self.rest[at + 1 : end])
            words.append(self.rest[end + 2 : end + 2 + length].decode("latin-1"))
            at = end + 2 + length + 2
        if len(self.rest) < at:
            return None
        unit, self.rest = self.rest[:at], self.rest[at:]
        return unit, words

    def _effect(self, words: list[str]) -> str | None:
        name = " ".join(words[:2]).upper()
        if name == "ACL SETUSER":
            self.rule = "add a password" if words[3].startswith("#") else "take a password away"
        elif name == "MULTI":
            self.rule = "set the fence"
        elif name == "EXEC":
            return f"redis: {self.rule}"
        elif name in ("ACL SAVE", "CONFIG REWRITE"):
            return "redis: save"
        elif name == "PING":
            return "redis: try"
        return None

    @staticmethod
    def answered(answer: bytes) -> bool:
        return answer.endswith(b"\r\n")
