"""The parts of the play: databases with two logins, a vault with everything in it, the application, the engine, an issuer."""

import json
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import redis
from psycopg import sql
from werkzeug.security import generate_password_hash

from ..parts import Beat, Part, Web, Worker
from ..postgres import PostgresServer
from ..redis import RedisServer
from ..stage import Stage
from ..vault import VaultServer, find_binary

OWNER, PAIR, ROTATOR = "atmr_owner", ("atmr_a", "atmr_b"), "atmr_rotator"
REDIS_USER = "atmr"
# The targets, and the variables that read them.
TARGETS = {
    "jwt/secret_key": "JWT_SECRET_KEY",
    "flask/secret_key": "SECRET_KEY",
    "encryption/master_key": "APP_ENCRYPTION_KEY_B64",
    "database/creds": "DATABASE_URL",
    "redis/creds": "REDIS_URL",
    "api/google_places": "GOOGLE_PLACES_API_KEY",
}
EXTERNAL = "api/google_places"
# How long what the application signs is valid, and how old a copy of a secret may be.
LIFETIME_SECONDS, MAX_STALE_SECONDS = 4, 20

SETTINGS = """
[rotation]
soft_ttl = "2s"
max_stale = "{stale}s"
clock_allowance = "500ms"
action_timeout = "5s"
claim = "10s"
poll = "500ms"
gate = "acknowledgements"            # the package acknowledges for each process of the application
gate_deadline = "3m"
grace = "2s"
destroy_hold = "1s"
limits = {{ at_once = 8, promotions_per_hour = 60000, group_spacing = "1s" }}

[rotation.postgresql.main]
host = "127.0.0.1"
port = {postgres}
database = "atmr"
sslmode = "disable"
owner = "{owner}"
principals = ["{pair[0]}", "{pair[1]}"]
admin = "database/rotator"
probe = {{ privileges = [{{ table = "notes", can = ["select", "insert"] }}], read = "SELECT 1 FROM notes LIMIT 1" }}

[rotation.redis.main]
host = "127.0.0.1"
port = {redis}
tls = false
user = "{user}"
admin = "redis/rotator"
persistence = "rewrite"
probe = {{ allowed = ["PING"], denied = ["ACL", "LIST"] }}
"""


class Issuer:
    """An outside service with keys of its own: it answers 200 to a key that it knows, else 401."""

    def __init__(self, first: str):
        self.keys, self.asked = {first}, 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                self.send_response(200 if self.headers.get("X-Key") in issuer.keys else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def issue(self) -> str:
        key = f"issued-{secrets.token_hex(16)}"
        self.keys = self.keys | {key}
        return key

    def revoke(self, key: str) -> None:
        self.keys = self.keys - {key}


class Engine(Part):
    """`coffre rotate run` as a service."""

    def command(self) -> list[str]:
        return [self.environment["COFFRE_BIN"], "rotate", "run", "-log-level=info"]

    def answers(self) -> bool:
        return "at work" in self.said()


class Theatre:
    """Everything that runs. `parts` in the order in which they were started."""

    def __init__(self, directory: Path, period: str, workers: int):
        self.stage, self.period, self.workers = Stage(directory), period, workers
        self.parts: list = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for part in reversed(self.parts):
            part.stop()

    def open(self) -> None:
        """All but the engine."""
        stage = self.stage
        self.postgres = self.add(PostgresServer(stage.directory / "postgres", stage.ports["postgres"]))
        password = stage.url("REDIS_URL").password
        self.redis_admin = secrets.token_hex(16)
        self.redis = self.add(RedisServer(self.redis_admin, stage.directory / "redis", stage.ports["redis"]))
        self.redis.client().execute_command("ACL", "SETUSER", REDIS_USER, "on", f">{password}", "~*", "&*", "+@all", "-acl", "-config")
        self.make_roles()
        self.name_logins()
        self.vault = self.add(VaultServer(find_binary(), stage.directory / "vault", stage.ports["vault"]))
        self.issuer = Issuer(self.dotenv_value("GOOGLE_PLACES_API_KEY"))
        self.write_manifest()
        for step in (["plan"], ["apply", "-yes"]):
            self.coffre("migrate", *step)
        self.put("database/rotator", username=ROTATOR, password=self.admin_password)
        self.put("redis/rotator", username="default", password=self.redis_admin)
        self.allow_engine()
        # Consumers take their bounds from _rot/policy when they start: it must be there before them.
        self.coffre("rotate", "run", "-once")
        self.begin_application()

    def allow_engine(self) -> None:
        policy = (self.stage.project / "vault/policies/atmr-api-rotate.hcl").read_text()
        self.vault.api("PUT", "sys/policies/acl/atmr-api-rotate", {"policy": policy})
        self.vault.api("POST", "auth/approle/role/atmr-rotate", {"token_policies": "atmr-api-rotate", "token_ttl": "2h"})

    def begin_application(self) -> None:
        stage = self.stage
        self.web = self.add(Web(stage.project, stage.logs / "web.log", port=stage.ports["web"], environment=self.given()).start())
        names = ("worker-1", "worker-2")
        others = [Worker(name, stage.project, stage.logs / f"{name}.log", self.given()) for name in names]
        schedule = stage.directory / "beat-schedule"
        others.append(Beat(stage.project, stage.logs / "beat.log", self.given(), schedule=schedule))
        for part in others:
            self.add(part).launch()
        for part in others:
            assert part.ready(), f"{part.name} did not start:\n{part.said()}"

    def begin_engine(self) -> None:
        self.coffre("rotate", "enable")
        environment = self.stage.environment(COFFRE_ENV="prod", COFFRE_BIN=str(self.vault.binary), **self.vault.identity("atmr-rotate"))
        self.engine = self.add(Engine("engine", self.stage.project, self.stage.logs / "engine.log", environment).start())

    def add(self, part):
        self.parts.append(part)
        return part

    def given(self) -> dict[str, str]:
        """The environment of one process of the application, with an identity of its own."""
        extra = {"COFFRE_ENV": "prod", "ATMR_BEAT_SECONDS": "2", "ATMR_TOKEN_SECONDS": str(LIFETIME_SECONDS)}
        return self.stage.environment(**extra, GUNICORN_CMD_ARGS=f"--workers={self.workers}", **self.vault.identity("atmr-api"))

    def make_roles(self) -> None:
        """As the manual has them: an owner that cannot log in, two logins that act as it, an administrator of the three."""
        self.admin_password = secrets.token_hex(16)
        first = self.stage.url("DATABASE_URL").password
        names = {"owner": OWNER, "one": PAIR[0], "other": PAIR[1], "rotator": ROTATOR}
        names = {name: sql.Identifier(role) for name, role in names.items()} | {"text": sql.Literal(OWNER)}
        self.postgres.execute(sql.SQL("CREATE ROLE {owner} NOLOGIN").format(**names))
        self.postgres.create_role(PAIR[0], first)
        self.postgres.create_role(ROTATOR, self.admin_password)
        for statement in (
            "ALTER ROLE {rotator} CREATEROLE",
            "GRANT pg_signal_backend TO {rotator}",
            "GRANT {owner} TO {one}",
            "CREATE ROLE {other} NOLOGIN IN ROLE {owner}",
            "ALTER ROLE {one} SET role = {text}",
            "ALTER ROLE {other} SET role = {text}",
            "GRANT {one}, {other}, {owner} TO {rotator} WITH ADMIN OPTION",
        ):
            self.postgres.execute(sql.SQL(statement).format(**names))
        self.postgres.own_database("atmr", OWNER)

    def name_logins(self) -> None:
        """`.env` as it would be with users of these names."""
        content = self.stage.dotenv.read_bytes()
        content = content.replace(b"DB_USER=atmr_dev", f"DB_USER={PAIR[0]}".encode())
        content = content.replace(b"redis://:", f"redis://{REDIS_USER}:".encode())
        self.stage.dotenv.write_bytes(content)

    def dotenv_value(self, name: str) -> str:
        from dotenv import dotenv_values

        return dotenv_values(self.stage.dotenv)[name]

    def write_manifest(self) -> None:
        """`coffre.toml` of the sample, on a clock that turns faster."""
        life = f', token_lifetime = "{LIFETIME_SECONDS}s"'
        holders = ', backup_retention = "1s", quiet = "1s", holders = [{ table = "notes", pk = "id", column = "body_sealed" }]'
        more = {"JWT_SECRET_KEY": life, "SECRET_KEY": life, "APP_ENCRYPTION_KEY_B64": holders}
        text = (self.stage.project / "coffre.toml").read_text()
        parts = re.split(r"(?m)^(?=\[secret\.|\[config\])", text)
        for number, part in enumerate(parts):
            name = part.partition("]")[0].removeprefix("[secret.")
            # What the play does not rotate is nobody's business here.
            bare = re.sub(r"(?m)^(rotation|dynamic) = .*\n", "", part)
            if name == TARGETS[EXTERNAL]:
                url = f"http://127.0.0.1:{self.issuer.port}/check"
                probe = f'{{ url = "{url}", headers = {{ X-Key = "{{value}}" }}, expect = [200], refused = [401] }}'
                bare = bare.rstrip() + f'\nrotation = {{ mode = "manual", every = "30d", probe = {probe} }}\n\n'
            elif name in TARGETS.values():
                # The document keeps a whole URL, in which the engine replaces the login.
                bare = re.sub(r"(?m)^template = .*\n", "", bare)
                rotation = f'rotation = {{ mode = "automatic", every = "{self.period}"{more.get(name, "")} }}'
                bare = bare.rstrip() + f"\n{rotation}\n\n"
            parts[number] = bare
        ports = self.stage.ports
        settings = SETTINGS.format(
            stale=MAX_STALE_SECONDS, postgres=ports["postgres"], redis=ports["redis"], owner=OWNER, pair=PAIR, user=REDIS_USER
        )
        (self.stage.project / "coffre.toml").write_text("".join(parts) + settings)

    def coffre(self, *arguments: str, stdin: str = "", code: int | None = 0) -> str:
        """A command of the operator."""
        env = self.stage.environment(
            COFFRE_ENV="prod", VAULT_ADDR=self.vault.address, VAULT_CACERT=str(self.vault.ca), VAULT_TOKEN=self.vault.root,
            XDG_STATE_HOME=str(self.stage.directory / "state"),
        )
        command = [str(self.vault.binary), *arguments]
        done = subprocess.run(
            command, cwd=self.stage.project, env=env, input=stdin, capture_output=True, text=True, timeout=180, check=False
        )
        assert code is None or done.returncode == code, f"coffre {' '.join(arguments)} gave {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def put(self, path: str, **fields: str) -> None:
        self.vault.api("POST", f"atmr/data/prod/{path}", {"data": fields})

    def document(self, path: str) -> dict:
        found = self.vault.api("GET", f"atmr/data/prod/{path}")
        return found.body["data"]["data"] if found.status == 200 else {}

    def record(self, target: str) -> dict:
        return self.document(f"_rot/rec/{target}")

    def users(self, names: Iterator[str]) -> None:
        """Users of the application, with a password hash that costs little: logins are no subject here."""
        hashed = generate_password_hash("demo", "pbkdf2:sha256:1000")
        for name in names:
            self.postgres.execute("INSERT INTO users (name, password_hash) VALUES (%s, %s)", [name, hashed])

    def roles(self) -> dict[str, bool]:
        """Every role that PostgreSQL does not have by itself, and whether it may log in."""
        return dict(self.postgres.execute("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'"))

    def redis_passwords(self) -> int:
        found = self.redis.client().execute_command("ACL", "GETUSER", REDIS_USER)
        found = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
        return len(found["passwords"])

    def redis_takes(self, password: str) -> bool:
        try:
            return redis.Redis(port=self.redis.port, username=REDIS_USER, password=password, socket_timeout=10).ping()
        except redis.AuthenticationError:
            return False

    def history(self, target: str) -> list[dict]:
        return json.loads(self.coffre("rotate", "history", "-json", "-n=5000", target))["events"]
