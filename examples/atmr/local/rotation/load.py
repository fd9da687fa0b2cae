"""The load on the application, and every answer judged: what must be accepted is, and what must not be is not."""

import hashlib
import http.client
import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import jwt
import psycopg
from itsdangerous import URLSafeTimedSerializer

from .stage import LIFETIME_SECONDS, MAX_STALE_SECONDS, Theatre

USERS = 80
CLIENTS = 3
# Between two requests of a client: a machine of two cores is busy, not overrun.
PAUSE_SECONDS = 0.02
# A client takes a new token or cookie when its own is this old: the rest is for the request itself.
FRESH_SECONDS = LIFETIME_SECONDS / 2
NOTES_KEPT = 15
# A user who has so many reads instead: else requests of the last hour cost more than those of the first.
NOTES_MOST = 30
SECOND = 1.0


@dataclass
class Tally:
    """What was seen. Lists hold sentences about what must not be."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    # Accepted as it must be, refused as it must be; and the other way round.
    accepted: int = 0
    refused: int = 0
    invalid: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    logins_accepted: int = 0
    logins_refused: int = 0
    notes_opened: int = 0
    jobs: int = 0


class Load:
    """Threads that ask until `stop`."""

    def __init__(self, theatre: Theatre):
        self.theatre, self.tally = theatre, Tally()
        self.over = threading.Event()
        self.names: Iterator[str] = iter([])
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.tokens: deque[tuple[str, float]] = deque(maxlen=400)
        self.notes_of: dict[str, int] = {}
        self.watch = Watch(theatre)
        self.broken: list[str] = []

    def start(self) -> None:
        self.theatre.users(f"user-{number}" for number in range(USERS))
        jobs = [(self.client, number) for number in range(CLIENTS)] + [(self.judge, 0), (self.watcher, 0)]
        for function, number in jobs:
            thread = threading.Thread(target=self.kept, args=(function, number), daemon=True)
            self.threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def kept(self, function, number: int) -> None:
        """A thread that ends before its time is a failure of the play."""
        try:
            function(number)
        except Exception as error:  # noqa: BLE001: reported
            self.broken.append(f"{function.__name__}: {type(error).__name__}: {error}")

    def client(self, number: int) -> None:
        """One browser after the other: each user in turn, so that the limit of logins is not met."""
        turn, session = number, None
        while not self.over.is_set():
            if session is None or session.age() > FRESH_SECONDS:
                session = Session(self, f"user-{turn % USERS}")
                turn += CLIENTS
                if not session.login():
                    session = None
                    continue
            session.something()
            self.over.wait(PAUSE_SECONDS)

    def judge(self, _: int) -> None:
        """Tokens and cookies at random: young ones, expired ones, and forged ones of each key that was ever seen."""
        session = Session(self, "user-0")
        while not self.over.wait(0.05):
            choice = random.random()
            if choice < 0.4 and self.tokens:
                self.judge_own(session, *random.choice(self.tokens))
            elif choice < 0.8:
                self.judge_forged(session)
            else:
                self.judge_login()

    def judge_own(self, session: "Session", token: str, expires: float) -> None:
        left = expires - time.time()
        if -SECOND < left < SECOND:
            return
        status = session.ask("GET", "/me", headers={"Authorization": f"Bearer {token}"}, expected=(200, 401))[0]
        if status == 200 and left < 0:
            self.tally.valid.append(f"a token that expired {-left:.1f} s before")
        elif status == 401 and time.time() < expires - 0.2:
            self.tally.invalid.append(f"a token that is good for {left:.1f} s more")
        elif status in (200, 401):
            self.judged(status == 200)

    def judge_forged(self, session: "Session") -> None:
        """What a thief of a key makes: good for days. Refused once the key is gone, wherever it is shown."""
        ring = random.choice(("jwt/secret_key", "flask/secret_key"))
        key = self.watch.some_key(ring)
        if key is None:
            return
        kid, material, gone = key
        since = time.time() - gone if gone else None
        if ring == "jwt/secret_key":
            headers = {"Authorization": f"Bearer {forged_token(kid, material)}"}
            status, _, _ = session.ask("GET", "/me", headers=headers, expected=(200, 401))
            taken = status == 200
        else:
            status, _, body = session.ask("GET", "/preferences", headers={"Cookie": forged_cookie(material)})
            taken = bool(body and body.get("theme"))
        if status not in (200, 401):
            return
        # So old may a copy be in any process.
        if taken and since is not None and since > MAX_STALE_SECONDS:
            self.tally.valid.append(f"{ring}: {kid} was retired {since:.0f} s before, and is accepted")
        elif not taken and since is None and self.watch.stands(ring, kid):
            self.tally.invalid.append(f"{ring}: {kid} stands in the ring, and is refused")
        else:
            self.judged(taken)

    def judge_login(self) -> None:
        """Passwords of the databases: the present ones, and each one that was retired."""
        target, login, gone = self.watch.some_login()
        if login is None:
            return
        taken = self.takes(target, login)
        if gone and taken:
            self.tally.valid.append(f"{target}: a password that was retired is accepted")
        elif not gone and not taken and self.watch.is_present(target, login):
            self.tally.invalid.append(f"{target}: the present password is refused")
        elif taken:
            self.tally.logins_accepted += 1
        else:
            self.tally.logins_refused += 1

    def takes(self, target: str, login: tuple[str, str]) -> bool:
        if target == "redis/creds":
            return self.theatre.redis_takes(login[1])
        try:
            psycopg.connect(self.theatre.postgres.url_for(*login), connect_timeout=20).close()
            return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) or "not permitted to log in" in str(error):
                return False
            raise

    def watcher(self, _: int) -> None:
        while not self.over.wait(0.2):
            self.watch.look()

    def judged(self, accepted: bool) -> None:
        with self.lock:
            if accepted:
                self.tally.accepted += 1
            else:
                self.tally.refused += 1


class Session:
    """A user's token and cookie, on one connection; sometimes on another, which meets another process."""

    def __init__(self, load: Load, name: str):
        self.load, self.name, self.theatre = load, name, load.theatre
        self.began, self.headers, self.cookie = time.time(), {}, ""
        self.notes: deque[str] = deque(maxlen=NOTES_KEPT)
        self.connection, self.used = None, 0.0
        # When the next request should have been sent, if that was decided: from then on its time is counted.
        self.due: float | None = None

    def age(self) -> float:
        return time.time() - self.began

    def login(self) -> bool:
        status, _, body = self.ask("POST", "/auth/login", {"username": self.name, "password": "demo"})
        if status != 200:
            return False
        token = body["access_token"]
        self.headers = {"Authorization": f"Bearer {token}"}
        self.load.tokens.append((token, jwt.decode(token, options={"verify_signature": False})["exp"]))
        status, headers, _ = self.ask("PUT", "/preferences", {"theme": "dark"})
        self.cookie = (headers or {}).get("Set-Cookie", "").partition(";")[0]
        return status == 200

    def something(self) -> None:
        choice = random.random()
        if choice < 0.45:
            self.ask("GET", "/me")
        elif choice < 0.6:
            self.theme()
        elif choice < 0.7:
            self.write()
        elif choice < 0.85:
            self.read()
        elif choice < 0.97:
            self.ask("GET", "/notes/summary")
        else:
            self.job()

    def theme(self) -> None:
        status, _, body = self.ask("GET", "/preferences", headers={"Cookie": self.cookie})
        if status == 200 and body["theme"] != "dark" and self.age() < LIFETIME_SECONDS:
            self.load.tally.invalid.append(f"a session of {self.age():.1f} s is not known any more")

    def write(self) -> None:
        if self.load.notes_of.get(self.name, 0) >= NOTES_MOST:
            self.read()
            return
        text = f"note {random.getrandbits(64):x}"
        if self.ask("POST", "/notes", {"body": text}, expected=(201,))[0] == 201:
            self.notes.append(text)

    def read(self) -> None:
        """Every note of the user, also those of hours and keys before."""
        status, _, body = self.ask("GET", "/notes")
        if status == 200:
            found = [note["body"] for note in body["notes"]]
            self.load.tally.notes_opened += len(found)
            self.load.notes_of[self.name] = len(found)
            lost = set(self.notes) - set(found)
            if lost:
                self.load.tally.failed.append(f"{len(lost)} notes of {self.name} are lost")

    def job(self) -> None:
        status, _, body = self.ask("POST", "/jobs/count-notes", expected=(202,))
        deadline = time.monotonic() + 60
        while status == 202 and time.monotonic() < deadline:
            answer = self.ask("GET", f"/jobs/{body['id']}")[2]
            if answer and answer["state"] == "SUCCESS":
                self.load.tally.jobs += 1
                return
            if answer and answer["state"] == "FAILURE":
                break
            time.sleep(0.1)
        self.load.tally.failed.append("a worker did not do its work")

    def ask(self, method: str, path: str, body=None, headers: dict | None = None, expected=(200,)):
        """One request: status, headers and JSON. What is not as expected is noted as failed."""
        tally, began = self.load.tally, time.monotonic()
        due, self.due = self.due, None
        # gunicorn closes what was silent for two seconds.
        if self.connection is None or random.random() < 0.2 or began - self.used > SECOND:
            if self.connection:
                self.connection.close()
            self.connection = http.client.HTTPConnection("127.0.0.1", self.theatre.web.port, timeout=60)
        sent = {"Content-Type": "application/json"} | (self.headers if headers is None else headers)
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = self.connection.getresponse()
            raw = answer.read()
            status, found = answer.status, answer.headers
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            tally.failed.append(f"{method} {path}: {type(error).__name__}: {error}")
            return 0, None, None
        self.used = time.monotonic()
        tally.seconds.append(self.used - (began if due is None else due))
        if status not in expected:
            tally.failed.append(f"{method} {path}: {status} {raw[:160]!r}, token of {self.age():.1f} s")
            return status, found, None
        try:
            return status, found, json.loads(raw)
        except ValueError:
            return status, found, None


class Watch:
    """What stood in the vault: keys and logins, and since when they are gone."""

    def __init__(self, theatre: Theatre):
        self.theatre = theatre
        # ring → kid → (material, gone); login → gone.
        self.rings: dict[str, dict[str, tuple[str, float]]] = {"jwt/secret_key": {}, "flask/secret_key": {}}
        self.logins: dict[str, dict[tuple[str, str], float]] = {"database/creds": {}, "redis/creds": {}}
        self.present: dict[str, tuple[str, str]] = {}
        self.generations: dict[str, dict[tuple[str, str], int]] = {"database/creds": {}, "redis/creds": {}}

    def look(self) -> None:
        for ring, known in self.rings.items():
            keys = self.theatre.document(ring).get("keys")
            keys = json.loads(keys) if isinstance(keys, str) else keys or []
            # One that was never used yet may be unknown to somebody, which is what publishing waits for.
            now = {key["kid"]: key["mat"] for key in keys if key["state"] == "active" or key["kid"] in known}
            for kid, material in now.items():
                known[kid] = (material, 0.0)
            for kid, (material, gone) in list(known.items()):
                if kid not in now and not gone:
                    known[kid] = (material, time.time())
        for target, known in self.logins.items():
            document = self.theatre.document(target)
            if "password" in document:
                login = (document["username"], document["password"])
                self.present[target] = login
                self.generations[target][login] = int(document.get("gen", 1))
                known.setdefault(login, 0.0)
            record = self.theatre.record(target)
            if not record:
                continue
            living = {record["active"], *(old["gen"] for old in record["retiring"])}
            for login, gone in list(known.items()):
                if not gone and self.generations[target][login] not in living and login != self.present.get(target):
                    known[login] = time.time()

    def some_key(self, ring: str):
        known = list(self.rings[ring].items())
        if not known:
            return None
        # The newest ones matter most: they are about to be retired, or just were.
        kid, (material, gone) = random.choice(known[-8:] if random.random() < 0.7 else known)
        return kid, material, gone

    def stands(self, ring: str, kid: str) -> bool:
        """Asked again: it may have been retired between two looks."""
        self.look()
        return not self.rings[ring][kid][1]

    def some_login(self):
        target = random.choice(list(self.logins))
        known = list(self.logins[target].items())
        if not known:
            return target, None, 0.0
        login, gone = random.choice(known[-6:])
        return target, login, gone

    def is_present(self, target: str, login: tuple[str, str]) -> bool:
        self.look()
        return self.present.get(target) == login


def forged_token(kid: str, material: str) -> str:
    now = int(time.time())
    claims = {"fresh": False, "iat": now - 1, "nbf": now - 1, "jti": "forged", "type": "access", "sub": "user-1", "csrf": "x", "exp": now + 86_400}
    return jwt.encode(claims, material, algorithm="HS256", headers={"kid": kid})


def forged_cookie(material: str) -> str:
    """As flask.sessions.SecureCookieSessionInterface signs."""
    from flask.sessions import session_json_serializer

    signer = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
    made = URLSafeTimedSerializer(material, salt="cookie-session", serializer=session_json_serializer, signer_kwargs=signer)
    return f"session={made.dumps({'theme': 'dark'})}"
