"""One rotation of one target of each kind, by the real engine against real servers, that is killed at a chosen effect.

A cell has an environment of its own in the vault, and roles, users, tables of its own in the databases: cells run side by
side. `Cell.run` goes to the end, with another engine after the kill; `Cell.outcome` is what is compared.
"""

import copy
import hashlib
import hmac
import http.server
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import redis
from cryptography.fernet import Fernet
from psycopg import sql

from coffre_server import clean_environment
from kill_taps import PostgresTap, RedisTap, Trap, VaultTap, phase_of
from redis_server import RedisServer

MOUNT = "kill"
# Times are so short that a rotation takes seconds. On a machine that does much else, COFFRE_KILL_SLOW=5 makes those longer
# within which something must be done.
SLOW = float(os.environ.get("COFFRE_KILL_SLOW", "1"))
# Of a whole cell: many run at once.
PATIENCE = 240.0 * SLOW


def pace(action: float = 3.0, claim: float = 5.0) -> str:
    """How fast it goes: seconds for an action, and for which an engine that was killed keeps others away."""
    return f"""
[rotation]
soft_ttl = "100ms"
max_stale = "300ms"
clock_allowance = "500ms"
action_timeout = "{round(action * SLOW * 1000)}ms"
claim = "{round(claim * SLOW * 1000)}ms"
poll = "1s"
destroy_hold = "500ms"
grace = "500ms"
"""


RECORD = "_rot/rec"


class Cell:
    """What all kinds have in common."""

    kind = ""
    target = ""

    # The generation that is to be active in the end.
    goal = 2

    def __init__(self, stage, name: str, wanted=None, *, times: str = "", **how):
        self.stage, self.name, self.pace = stage, name, times or pace()
        self.trap = Trap(wanted, **how)
        self.problems: list[str] = []
        self.directory = stage.directory / name
        self.directory.mkdir()
        (self.directory / "input").touch()
        self.taps = [VaultTap(stage.server.port, self.trap, MOUNT, name, self.target)]
        self.engines = 0
        self.prepare()
        (self.directory / "coffre.toml").write_text(f'app = "{MOUNT}"\nenvironments = ["{name}"]\n{self.manifest()}')
        self.trap.look = self.look

    # What a kind has of its own.

    def prepare(self) -> None:
        """What is there before the first rotation, with the document that consumers read."""
        raise NotImplementedError

    def manifest(self) -> str:
        raise NotImplementedError

    def works(self, document: dict) -> bool:
        """Whether a consumer gets on with this document now."""
        raise NotImplementedError

    def state(self) -> dict:
        """What is outside of the vault, without anything that differs from run to run."""
        raise NotImplementedError

    def waits_for_a_person(self, record: dict) -> bool:
        return False

    # Running.

    def run(self) -> None:
        """Engines, one after the other, until the rotation is over: the first is killed where the trap says so."""
        deadline = time.monotonic() + PATIENCE
        command = ("run",)
        while not self.over():
            left = deadline - time.monotonic()
            assert left > 0, f"not over in {PATIENCE} s: {self.trap.record}\n{self.said()}"
            self.engine(command, left)
            command = self.next()
        if self.trap.wanted:
            assert self.trap.hit, f"no engine came to {self.trap.wanted}: {dict(self.trap.effects)}"
        if self.trap.hit and self.trap.killed == self.engines:
            # What was left to do after the last write of the record.
            self.engine(("run", "-once"), PATIENCE)

    def engine(self, command: tuple[str, ...], seconds: float) -> None:
        """One process, until it ends, is killed, or there is nothing more for it to do."""
        self.engines += 1
        with open(self.directory / f"engine-{self.engines}.log", "wb") as log:
            self.trap.process, self.trap.number = self.start(command, log), self.engines
            process = self.trap.process
            deadline = time.monotonic() + seconds
            with self.trap.changed:
                while process.poll() is None and time.monotonic() < deadline:
                    if command == ("run",) and (self.over() or self.waits_for_a_person(self.trap.record)):
                        break
                    self.trap.changed.wait(0.2)
            if process.poll() is None and command == ("run",):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.problems.append(f"{command} did not end")

    def person(self, *command: str, code: int | None = 0) -> str:
        """A command to its end; what it said."""
        path = self.directory / f"{command[0]}.log"
        with open(path, "wb") as log:
            found = self.start(command, log).wait(60 * SLOW)
        said = path.read_text(errors="replace")
        assert code in (None, found), f"{command} gave {found}: {said}"
        return said

    def start(self, command: tuple[str, ...], log) -> subprocess.Popen:
        env = clean_environment(
            VAULT_ADDR=self.taps[0].address, VAULT_TOKEN=self.stage.server.root, HOME=str(self.directory), NO_COLOR="1",
            COFFRE_ENV=self.name, VAULT_CLIENT_TIMEOUT=f"{round(PATIENCE)}s",
        )
        whole = [str(self.stage.binary), "rotate", *command]
        with open(self.directory / "input", "rb") as given:
            return subprocess.Popen(whole, cwd=self.directory, env=env, stdin=given, stdout=log, stderr=log)

    def next(self) -> tuple[str, ...]:
        """What a person types next, or what the service manager starts."""
        return ("run",)

    def over(self) -> bool:
        record = self.trap.record
        return record is not None and record["active"] == self.goal and phase_of(record) == "IDLE"

    def said(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.directory.glob("engine-*.log")))

    def close(self) -> None:
        # What is held back must not hold a lock for ever.
        self.trap.release()
        for tap in self.taps:
            tap.close()

    # Looking.

    def look(self) -> None:
        """At each moment the document has one credential in use, and it works."""
        try:
            document = self.get(self.target)
            if not self.works(document):
                self.problems.append(f"in {self.trap.phase} what the document names is refused")
        except Exception as error:  # noqa: BLE001: said by the test, whose thread this is not
            self.problems.append(f"in {self.trap.phase}: {error!r}")

    def outcome(self) -> dict:
        """How it ended, without what differs from run to run."""
        record, document = self.get(f"{RECORD}/{self.target}"), self.get(self.target)
        events = self.events()
        kept = ("phase", "active", "gens", "attempt", "retiring", "halt", "repair", "max_epoch", "exposed")
        left = {name: record.get(name) for name in kept} | {"pending": record.get("pending") is not None}
        left["claimed"] = record.get("claim") is not None
        keys = [(key["gen"], key["state"]) for key in document.get("keys", [])]
        told = {"events": [(event["event"], event["phase"]) for event in events], "numbers": [event["seq"] for event in events]}
        return told | {"record": left, "epoch": document["epoch"], "gen": document.get("gen"), "keys": keys, "outside": self.state()}

    # The vault, beside the engine.

    def get(self, path: str) -> dict:
        return self.stage.call("GET", f"data/{self.name}/{path}")["data"]["data"]

    def events(self) -> list[dict]:
        return [event for path in self.histories() for event in self.get(path)["events"]]

    def histories(self) -> list[str]:
        folder = f"_rot/hist/{self.target}"
        months = self.stage.call("LIST", f"metadata/{self.name}/{folder}")["data"]["keys"]
        return [f"{folder}/{month}" for month in sorted(months)]

    def put(self, path: str, data: dict) -> None:
        self.stage.call("POST", f"data/{self.name}/{path}", {"data": data})

    def rewrite(self, path: str, change) -> None:
        """As somebody does who has the right to; `change` gets the fields and gives others."""
        read = self.stage.call("GET", f"data/{self.name}/{path}")["data"]
        options = {"cas": read["metadata"]["version"]}
        self.stage.call("POST", f"data/{self.name}/{path}", {"data": change(read["data"]), "options": options})

    def take_over(self, asked: dict[str, dict]) -> None:
        """The documents of a rotation that somebody asked for and nobody began."""
        for path, data in asked.items():
            self.put(path, data)
            versions = 2 if path.startswith("_rot/") else 10
            self.stage.call("POST", f"metadata/{self.name}/{path}", {"cas_required": True, "max_versions": versions})
        record = asked[f"{RECORD}/{self.target}"]
        self.trap.record, self.trap.phase = record, phase_of(record)


class Ring(Cell):
    """Keys in one document: who has an older copy must get on as well."""

    def prepare(self):
        self.before: dict | None = None
        self.key = Fernet.generate_key().decode()
        self.put(self.target, {"value": self.key})

    def works(self, document):
        keys = {key["kid"]: key for key in document.get("keys", [])}
        active = [key for key in keys.values() if key["state"] == "active"]
        good = not keys or (len(active) == 1 and document["value"] == active[0]["mat"] and document["active"] == active[0]["kid"])
        if self.before and self.before.get("keys") and keys and self.before["active"] != document["active"]:
            # Accept before use, and go on accepting what may still be used.
            known = {key["kid"] for key in self.before["keys"]}
            good = good and document["active"] in known and self.before["active"] in keys
        self.before = document
        return good

    def state(self):
        return {}


def kid_of(material: str) -> str:
    """How a key of this form is called in its ring."""
    return hmac.new(material.encode(), b"kid", hashlib.sha256).hexdigest()[:8]


class SigningKey(Ring):
    kind, target = "signing-key", "jwt/key"

    def manifest(self):
        return f"""
[secret.JWT_SECRET_KEY]
path = "{self.target}"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "30d", token_lifetime = "500ms" }}
{self.pace}"""


class EncryptionKey(Ring):
    """A table with texts that name their key, texts that do not, and enough others for a second batch."""

    kind, target = "encryption-key", "enc/key"
    texts = {1: "bare", 2: "named", 510: "bare", 515: "named"}

    def prepare(self):
        super().prepare()
        self.database = self.stage.borrow_database()
        self.table = f"notes_{self.name}"
        self.taps.append(PostgresTap(self.stage.postgres.port, self.trap))
        cipher, kid = Fernet(self.key), kid_of(self.key)
        with self.stage.connect(self.database) as connection:
            connection.execute(f"CREATE TABLE {self.table} (id int PRIMARY KEY, body text)")
            connection.execute(f"INSERT INTO {self.table} SELECT n, 'plain ' || n FROM generate_series(1, 520) n")
            for row, form in self.texts.items():
                token = cipher.encrypt(f"text {row}".encode()).decode()
                text = token if form == "bare" else f"e1.{kid}.{token}"
                connection.execute(f"UPDATE {self.table} SET body = %s WHERE id = %s", [text, row])
        self.put("database/admin", self.stage.postgres_admin)

    def manifest(self):
        return f"""
[secret.APP_ENCRYPTION_KEY_B64]
path = "{self.target}"
kind = "encryption-key"
[secret.APP_ENCRYPTION_KEY_B64.rotation]
mode = "automatic"
every = "90d"
quiet = "500ms"
backup_retention = "500ms"
holders = [{{ table = "{self.table}", pk = "id", column = "body" }}]
{self.pace}
[rotation.postgresql.main]
host = "127.0.0.1"
port = {self.taps[1].port}
database = "{self.database}"
sslmode = "disable"
owner = "unused_owner"
principals = ["unused_a", "unused_b"]
admin = "database/admin"
"""

    def works(self, document):
        return super().works(document) and all(
            self.opens(document, text) == f"text {row}" for row, text in self.rows().items()
        )

    def opens(self, document, text: str) -> str:
        keys = {key["kid"]: key["mat"] for key in document.get("keys", [])}
        if text.startswith("e1."):
            _, kid, token = text.split(".", 2)
            material = keys.get(kid) or (document["value"] if not keys else "")
        else:
            token, material = text, keys.get(document.get("legacy"), "") if keys else document["value"]
        return Fernet(material).decrypt(token.encode()).decode()

    def rows(self) -> dict[int, str]:
        with self.stage.connect(self.database) as connection:
            found = connection.execute(f"SELECT id, body FROM {self.table} WHERE id = ANY(%s) ORDER BY id", [list(self.texts)])
            return dict(found.fetchall())

    def state(self):
        document, rows = self.get(self.target), self.rows()
        active = f"e1.{document['active']}."
        old = self.stage.call("GET", f"data/{self.name}/{self.target}?version=1", codes=(200, 404))
        return {
            "under the active key": [row for row, text in rows.items() if text.startswith(active)],
            "texts": [self.opens(document, text) for text in rows.values()],
            "the first version": old["data"]["metadata"]["destroyed"],
        }

    def close(self):
        super().close()
        with self.stage.connect(self.database) as connection:
            connection.execute("SET lock_timeout = '20s'")
            connection.execute(f"DROP TABLE {self.table}")
        self.stage.give_back(self.database)


class Postgres(Cell):
    kind, target = "pg-alternating", "pg/app"

    def names(self) -> tuple[str, str, str]:
        """The owner, and two users by turns."""
        return f"{self.name}_owner", f"{self.name}_a", f"{self.name}_b"

    def prepare(self):
        self.owner, *self.users = self.names()
        self.taps.append(PostgresTap(self.stage.postgres.port, self.trap))
        self.old = secrets.token_hex(16)
        with self.stage.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(self.owner)))
            for user in self.users:
                name, owner = sql.Identifier(user), sql.Identifier(self.owner)
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN IN ROLE {}").format(name, owner))
            # Encrypted here: statements are logged when they fail.
            verifier = connection.pgconn.encrypt_password(self.old.encode(), self.users[0].encode(), b"scram-sha-256").decode()
            first = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}; ALTER ROLE {} SET role = {}").format(
                sql.Identifier(self.users[0]), sql.Literal(verifier), sql.Identifier(self.users[0]), sql.Literal(self.owner)
            )
            connection.execute(first)
        self.put(self.target, {"username": self.users[0], "password": self.old})
        self.put("database/admin", self.stage.postgres_admin)

    def manifest(self):
        return f"""
[secret.DATABASE_PASSWORD]
path = "{self.target}"
field = "password"
kind = "postgresql"
rotation = {{ mode = "automatic", every = "7d" }}
{self.pace}
[rotation.postgresql.main]
host = "127.0.0.1"
port = {self.taps[1].port}
database = "{self.stage.database}"
sslmode = "disable"
owner = {json.dumps(self.owner)}
principals = {json.dumps(self.users)}
admin = "database/admin"
probe = {{ write = "INSERT INTO probed VALUES (1)" }}
"""

    def works(self, document):
        return self.logs_in(document["username"], document["password"])

    def logs_in(self, user: str, password: str) -> bool:
        where = {"host": "127.0.0.1", "port": self.stage.postgres.port, "dbname": self.stage.database, "connect_timeout": 10}
        try:
            with psycopg.connect(user=user, password=password, **where) as connection:
                return connection.execute("SELECT current_user").fetchone() == (self.owner,)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) or "not permitted to log in" in str(error):
                return False
            raise

    def state(self):
        document = self.get(self.target)
        with self.stage.connect() as connection:
            pattern = f"{self.name}\\_%"
            roles = connection.execute(
                "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE %s ORDER BY 1", [pattern]
            ).fetchall()
            rows = connection.execute("SELECT count(*) FROM probed").fetchone()[0]
        return {
            "roles": [(role.removeprefix(self.name), can) for role, can in roles],
            "in use": document["username"].removeprefix(self.name),
            "works": self.works(document),
            "the old one works": self.logs_in(self.users[0], self.old),
            "rows of probes": rows,
        }


class Redis(Cell):
    kind, target = "redis-two-password", "redis/app"

    def prepare(self):
        self.user, self.old = f"user-{self.name}", secrets.token_hex(16)
        self.taps.append(RedisTap(self.stage.redis.port, self.trap))
        client = self.stage.redis.client()
        client.acl_setuser(self.user, enabled=True, passwords=[f"+{self.old}"], keys=["*"], commands=["+@all"])
        client.acl_save()
        self.put(self.target, {"username": self.user, "password": self.old})
        self.put("redis/admin", {"username": "default", "password": self.stage.redis.password})

    def manifest(self):
        return f"""
[secret.REDIS_PASSWORD]
path = "{self.target}"
field = "password"
kind = "redis"
rotation = {{ mode = "automatic", every = "7d" }}
{self.pace}
[rotation.redis.main]
host = "127.0.0.1"
port = {self.taps[1].port}
tls = false
user = "{self.user}"
admin = "redis/admin"
persistence = "aclfile"
probe = {{ allowed = ["PING"] }}
"""

    def works(self, document):
        return self.logs_in(document["username"], document["password"])

    def logs_in(self, user: str, password: str) -> bool:
        try:
            with redis.Redis(port=self.stage.redis.port, username=user, password=password, socket_timeout=10) as client:
                return client.ping()
        except redis.AuthenticationError:
            return False

    def state(self):
        document = self.get(self.target)
        hashes = [hashed(document["password"])]
        return {
            "passwords": self.stage.redis.hashes(self.user) == hashes,
            "in its file": self.stage.redis.saved(self.user) == hashes,
            "works": self.works(document),
            "the old one works": self.logs_in(self.user, self.old),
        }


def hashed(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


class External(Cell):
    """A key of an outside service: one that accepts what was issued and not revoked. A person provides and revokes."""

    kind, target = "external", "api/key"

    def prepare(self):
        self.old, self.new = f"old-{secrets.token_hex(8)}", f"new-{secrets.token_hex(8)}"
        (self.directory / "input").write_text(self.new)
        self.service = Service({self.old, self.new}, self.trap)
        self.taps.append(self.service)
        self.put(self.target, {"value": self.old})

    def manifest(self):
        probe = f'{{ url = "http://127.0.0.1:{self.service.port}/", headers = {{ Authorization = "{{value}}" }}, expect = [200], refused = [401] }}'
        return f"""
[secret.PLACES_KEY]
path = "{self.target}"
kind = "external"
rotation = {{ mode = "manual", every = "90d", probe = {probe} }}
{self.pace}"""

    def take_over(self, asked):
        super().take_over(asked)
        self.new = self.trap.record["pending"]["material"]
        self.service.accepted = {self.old, self.new}

    def waits_for_a_person(self, record):
        waiting = [old for old in (record or {}).get("retiring", []) if old["phase"] == "RETIRE"]
        return bool(waiting) and not waiting[0].get("confirmed")

    def next(self):
        if self.trap.record and self.waits_for_a_person(self.trap.record):
            self.service.accepted.discard(self.old)
            return ("confirm-revoked", self.target)
        return super().next()

    def works(self, document):
        return document["value"] in self.service.accepted

    def state(self):
        return {"in use": self.get(self.target)["value"] == self.new, "accepted": self.service.accepted == {self.new}}


class Service:
    """An outside service."""

    def __init__(self, accepted: set[str], trap: Trap):
        self.accepted = accepted
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                verdict = trap.before("service: probe")
                if verdict == "die":
                    return
                good = self.headers["Authorization"] in service.accepted
                if verdict == "land":
                    return trap.kill()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


KINDS = {cell.kind: cell for cell in (SigningKey, EncryptionKey, Postgres, Redis, External)}


def asked_for(stage, kind: type[Cell], name: str) -> dict[str, dict]:
    """The documents after somebody has asked for a rotation in a frozen environment: nothing has begun."""
    cell = kind(stage, name)
    try:
        cell.person("freeze")
        cell.person("provide" if kind is External else "now", cell.target)
        return {path: cell.get(path) for path in (f"{RECORD}/{cell.target}", *cell.histories())}
    finally:
        cell.close()


class AclRedis(RedisServer):
    """A Redis that keeps its users in a file of their own."""

    def command(self):
        program, config = super().command()
        path = self.directory / "redis.conf"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("requirepass")]
        users = self.directory / "users.acl"
        if not users.exists():
            users.touch(0o600)
            users.write_text(f"user default on >{self.password} ~* &* +@all\n")
        path.write_text("\n".join([*lines, f"aclfile {users}", ""]))
        return [program, config]

    def hashes(self, user: str) -> list[str]:
        with self.client() as client:
            return client.acl_getuser(user)["passwords"]

    def saved(self, user: str) -> list[str]:
        """The same in the file, which a restart would read."""
        for line in (self.directory / "users.acl").read_text().splitlines():
            words = line.split()
            if words[1] == user:
                return [word.removeprefix("#") for word in words if word.startswith("#")]
        return []


class Stage:
    """The servers that all cells share."""

    database = "killed"

    def __init__(self, binary: Path, server, postgres, redis_server, directory: Path, databases: int = 8):
        self.binary, self.server, self.postgres, self.redis, self.directory = binary, server, postgres, redis_server, directory
        self.session = threading.local()
        server.client().sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
        self.postgres_admin = {"username": "rotator", "password": secrets.token_hex(16)}
        self._free, self._lent = [], threading.Condition()
        self.furnish(databases)

    def on(self, postgres) -> "Stage":
        """The same with another PostgreSQL."""
        other = copy.copy(self)
        other.postgres, other._free, other._lent = postgres, [], threading.Condition()
        other.furnish(1)
        return other

    def furnish(self, databases: int) -> None:
        postgres = self.postgres
        postgres.create_role("rotator", self.postgres_admin["password"])
        postgres.execute("ALTER ROLE rotator CREATEROLE")
        postgres.execute("GRANT pg_signal_backend TO rotator")
        for name in (self.database, *(f"killed_{n}" for n in range(databases))):
            postgres.own_database(name, "rotator")
            if name != self.database:
                self._free.append(name)
        with self.connect() as connection:
            connection.execute("CREATE TABLE probed (one int)")
            connection.execute("GRANT ALL ON probed TO PUBLIC")

    def connect(self, database: str | None = None) -> psycopg.Connection:
        url = self.postgres.url_for("rotator", self.postgres_admin["password"], database or self.database)
        return psycopg.connect(url, autocommit=True)

    def borrow_database(self) -> str:
        """One without encrypted texts of others: the engine looks for them everywhere."""
        with self._lent:
            self._lent.wait_for(lambda: self._free, PATIENCE)
            return self._free.pop()

    def give_back(self, database: str) -> None:
        with self._lent:
            self._free.append(database)
            self._lent.notify()

    def call(self, method: str, path: str, body=None, codes=(200, 204)) -> dict:
        """One request beside the engine, below the mount."""
        answer = self.server.call(method, f"{MOUNT}/{path}", body)
        assert answer.status_code in codes, (method, path, answer.status_code, answer.text)
        return json.loads(answer.text) if answer.text else {}
