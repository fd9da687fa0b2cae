"""Everything that handles secrets which rotate, started so that each part says as much as it can, and driven through what
goes well and what goes wrong. `places` is all that it left behind."""

import json
import secrets
import socket
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import redis

from agent_host import Agent
from coffre_server import Server, clean_environment
from leaks import Listener, Processes, Secrets
from postgres_server import PostgresServer
from redis_server import RedisServer

HERE = Path(__file__).resolve().parent
TARGETS = ("jwt/secret_key", "jwt/pair", "encryption/master_key", "database/app", "redis/app", "api/places")
# Of each kind of character that some form writes differently.
ODD = "/+'\"\\%&é$"
CREATE = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE app_owner"

MANIFEST = """
app = "shop"
environments = ["dev", "prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
rotation = { mode = "automatic", every = "30d", token_lifetime = "1s" }
[secret.JWT_PAIR]
path = "jwt/pair"
kind = "signing-key"
rotation = { mode = "automatic", every = "30d", token_lifetime = "1s", alg = "EdDSA" }
[secret.APP_ENCRYPTION_KEY_B64]
path = "encryption/master_key"
kind = "encryption-key"
[secret.APP_ENCRYPTION_KEY_B64.rotation]
mode = "automatic"
every = "90d"
holders = [{ table = "notes", pk = "id", column = "body" }]
backup_retention = "1s"
quiet = "1s"
[secret.DATABASE_URL]
path = "database/app"
kind = "postgresql"
rotation = { mode = "automatic", every = "7d", grace = "1s" }
[secret.REDIS_URL]
path = "redis/app"
kind = "redis"
rotation = { mode = "automatic", every = "7d", grace = "1s" }
[secret.PLACES_KEY]
path = "api/places"
kind = "external"
[secret.PLACES_KEY.rotation]
mode = "manual"
every = "90d"
probe = { url = "http://127.0.0.1:@PROBE@/check?key={value|pct}", headers = { authorization = "Bearer {value|pct}" } }
[rotation]
soft_ttl = "1s"
max_stale = "2s"
limits = { at_once = 6, promotions_per_hour = 1000 }
clock_allowance = "1s"
action_timeout = "5s"
claim = "8s"
poll = "1s"
gate_deadline = "1m"
destroy_hold = "1s"
[rotation.postgresql.main]
host = "127.0.0.1"
port = @POSTGRES@
database = "atmr"
sslmode = "disable"
owner = "app_owner"
principals = ["app_a", "app_b"]
admin = "database/rotator"
probe = { privileges = [{ table = "notes", can = ["select"] }], read = "SELECT 1 FROM notes LIMIT 1" }
[rotation.redis.main]
host = "127.0.0.1"
port = @REDIS@
tls = false
user = "app"
admin = "redis/rotator"
persistence = "aclfile"
[notifications]
events = ["due", "started", "phase", "gate_waiting", "promoted", "retired", "destroyed", "halted", "overdue", "drift", "undo", "rollback"]
webhook = [{ url = "http://127.0.0.1:@HOOK@/hook", secret = "notify/webhook" }]
[notifications.smtp]
host = "127.0.0.1"
port = @MAIL@
security = "none"
from = "coffre@example.org"
to = ["ops@example.org"]
"""

# An application: reads everything, follows, acknowledges, and logs all that it can.
PROGRAM = """
import logging, sys, time
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
import coffre
store = coffre.Secrets()
names = ["JWT_SECRET_KEY", "DATABASE_URL", "REDIS_URL", "PLACES_KEY"]
print([len(store.get_secret(name)) for name in names], store, flush=True)
while not sys.stdin.readline().startswith("end"):
    for path in ("jwt/secret_key", "jwt/pair", "encryption/master_key", "database/app", "redis/app"):
        store.refresh(path)
    try:
        store.get_secret("NO_SUCH_SECRET")
    except Exception as error:
        logging.exception("refused: %r", error)
    print(repr(store), [len(store.get_secret(name)) for name in names], flush=True)
store.close()
"""


class Loud(PostgresServer):
    """PostgreSQL that logs every statement, every failure, every connection."""

    def command(self):
        loud = ("log_statement=all", "log_min_error_statement=debug5", "log_min_messages=debug1", "log_connections=on",
                "log_disconnections=on", "log_duration=on", "log_error_verbosity=verbose", "log_parameter_max_length_on_error=-1")  # fmt: skip
        return [*super().command(), *(part for setting in loud for part in ("-c", setting))]


class LoudRedis(RedisServer):
    """Redis that logs all it can, keeps its users in a file, and remembers every command."""

    def command(self):
        program, config = super().command()
        path, users = Path(config), self.directory / "users.acl"
        if not users.exists():
            users.write_text(f"user default on >{self.password} ~* &* +@all\n")
        text = "".join(line + "\n" for line in path.read_text().splitlines() if not line.startswith("requirepass"))
        path.write_text(f"{text}loglevel debug\naclfile {users}\nslowlog-log-slower-than 0\nslowlog-max-len 100000\n")
        return [program, config]

    def asked(self) -> bytes:
        """Its slow log, its log of refusals, and its users."""
        with self.client() as client:
            said = [client.execute_command("SLOWLOG", "GET", "-1"), client.execute_command("ACL", "LOG"), client.acl_list()]
        return repr(said).encode() + (self.directory / "users.acl").read_bytes()


class Mailbox(socketserver.StreamRequestHandler):
    """Takes every mail and keeps what was said."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        data = False
        for line in self.rfile:
            self.server.said.append(line)
            word = line[:4].upper()
            if data and line.strip() != b".":
                continue
            data = word == b"DATA"
            self.wfile.write(b"354 go on\r\n" if data else b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


class World:
    """Started by `start`, driven by `drive`, ended by `stop`."""

    def __init__(self, binary: Path, directory: Path):
        self.binary, self.directory = binary, directory
        self.known, self.output, self.answers = Secrets(), [], []
        self.accepted: set[str] = set()
        self.hook, self.probe = Listener(), Listener(self._judge)
        self.mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)
        self.mail.daemon_threads, self.mail.said = True, []
        threading.Thread(target=self.mail.serve_forever, daemon=True).start()
        self.postgres, self.redis = Loud(), LoudRedis()
        self.server = Server(binary, directory / "server")
        config = json.loads(self.server.config.read_text()) | {"log_level": "trace", "raw_storage_endpoint": False}
        config["telemetry"] = {"prometheus_retention_time": "1h", "disable_hostname": True}
        self.server.config.write_text(json.dumps(config))
        self.processes = Processes()
        self.running: list[subprocess.Popen] = []
        self.agent: Agent | None = None

    # Starting and ending

    def start(self) -> "World":
        self.processes.__enter__()
        self.server.bring_up()
        self.known.add(self.server.root, *self.server.keys)
        self._databases()
        self._documents()
        self._identity()
        self.known.watch(self.server, [f"shop/data/prod/{folder}{name}" for name in TARGETS for folder in ("", "_rot/rec/")])
        self.monitored: list[bytes] = []
        threading.Thread(target=self._monitor, daemon=True).start()
        self.engine = self._begin("engine", "rotate", "run", "-log-level=trace", "-manifest=coffre.toml", "-env=prod")
        self.app = self._program()
        self._agent()
        return self

    def stop(self) -> None:
        """Also of what was started by half."""
        self.known.stop()
        self.processes.__exit__()
        for process in self.running:
            process.kill()
            process.wait()
        if self.agent:
            self.agent.stop()
        self.server.stop()
        for part in (self.postgres, self.redis, self.hook, self.probe):
            part.close()
        self.mail.shutdown()

    def _judge(self, handler) -> int:
        given = handler.headers.get("authorization", "").removeprefix("Bearer ")
        return 200 if given in self.accepted else 401

    def _databases(self) -> None:
        # The log has what people type; these passwords go in as what stands for them.
        self.first = {name: odd(name) for name in ("rotator", "app_a", "vaultadmin", "keeper")}
        for name, password in self.first.items():
            self.postgres.create_role(name, password)
        self.known.add(*self.first.values(), self.postgres.password, self.redis.password)
        for statement in (
            "CREATE ROLE app_owner NOLOGIN", "CREATE ROLE app_b NOLOGIN IN ROLE app_owner", "GRANT app_owner TO app_a",
            "ALTER ROLE app_a SET role = app_owner", "ALTER ROLE rotator CREATEROLE", "ALTER ROLE vaultadmin CREATEROLE",
            "GRANT app_owner TO rotator, vaultadmin WITH ADMIN OPTION", "GRANT app_a, app_b TO rotator WITH ADMIN OPTION",
            "GRANT keeper TO vaultadmin WITH ADMIN OPTION", "GRANT pg_signal_backend TO rotator, vaultadmin",
            "GRANT CREATE, USAGE ON SCHEMA public TO app_owner", "CREATE TABLE notes (id int PRIMARY KEY, body text)",
            "ALTER TABLE notes OWNER TO app_owner",
        ):  # fmt: skip
            self.postgres.execute(statement)
        self.app_word = secrets.token_hex(20)
        with self.redis.client() as client:
            client.acl_setuser("app", enabled=True, reset=True, passwords=[f"+{self.app_word}"], keys=["*"], categories=["+@all"])
            client.acl_save()
            client.slowlog_reset()
        self.known.add(self.app_word)

    def _documents(self) -> None:
        client = self.server.client()
        client.sys.enable_secrets_engine("kv", path="shop", options={"version": "2"})
        self.places_key = odd("places")
        self.accepted.add(percent(self.places_key))
        pg = f"postgresql://app_a:{percent(self.first['app_a'])}@127.0.0.1:{self.postgres.port}/atmr"
        documents = {
            "jwt/secret_key": {"value": odd("jwt")},
            "jwt/pair": {"value": key_pair()},
            "encryption/master_key": {"value": fernet_key()},
            "database/app": {"value": pg},
            "redis/app": {"value": f"redis://app:{self.app_word}@127.0.0.1:{self.redis.port}/0"},
            "api/places": {"value": self.places_key},
            "database/rotator": {"username": "rotator", "password": self.first["rotator"]},
            "redis/rotator": {"username": "default", "password": self.redis.password},
            "notify/webhook": {"value": "hook-" + secrets.token_hex(16)},
        }
        for path, document in documents.items():
            self.put(path, document)
        from coffre.fernet import FernetRing
        from coffre.keyring import Keyring

        ring = FernetRing(Keyring.from_document(documents["encryption/master_key"]))
        for number in range(20):
            self.postgres.execute("INSERT INTO notes VALUES (%s, %s)", [number, ring.encrypt(f"note {number}")])

    def _identity(self) -> None:
        client = self.server.client()
        rights = '"create", "read", "update", "patch", "delete", "list"'
        client.sys.create_or_update_policy("engine", f'path "shop/*" {{ capabilities = [{rights}] }}')
        client.sys.enable_auth_method("approle")
        client.auth.approle.create_or_update_approle("engine", token_policies=["engine"], token_ttl="10m")
        role = client.auth.approle.read_role_id("engine")["data"]["role_id"]
        secret = client.auth.approle.generate_secret_id("engine")["data"]["secret_id"]
        self.known.add(secret)
        (self.directory / "secret_id").write_text(secret)
        text = MANIFEST
        ports = {"PROBE": self.probe.port, "HOOK": self.hook.port, "MAIL": self.mail.server_address[1],
                 "POSTGRES": self.postgres.port, "REDIS": self.redis.port}  # fmt: skip
        for name, port in ports.items():
            text = text.replace(f"@{name}@", str(port))
        (self.directory / "coffre.toml").write_text(text)
        self.env = clean_environment(
            VAULT_ADDR=self.server.address, VAULT_ROLE_ID=role, VAULT_SECRET_ID_FILE=str(self.directory / "secret_id"),
            HOME=str(self.directory), COFFRE_ENV="prod", COFFRE_MANIFEST=str(self.directory / "coffre.toml"), RUST_BACKTRACE="full",
        )  # fmt: skip

    def _begin(self, name: str, *command: str) -> subprocess.Popen:
        with open(self.directory / f"{name}.out", "ab") as out:
            process = subprocess.Popen(
                [str(self.binary), *command], cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.running.append(process)
        return process

    def _program(self) -> subprocess.Popen:
        import coffre

        package = Path(coffre.__file__).resolve().parent.parent
        with open(self.directory / "program.out", "ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], cwd=self.directory, text=True, stdin=subprocess.PIPE, stdout=out, stderr=out,
                env=self.env | {"PYTHONPATH": str(package), "COFFRE_SERVICE": "api"},
            )  # fmt: skip
        self.running.append(process)
        return process

    def _agent(self) -> None:
        agent = Agent(self.binary, self.directory / "agent", self.server)
        client = self.server.client()
        client.sys.enable_secrets_engine("kv", path="atmr", options={"version": "2"})
        client.sys.create_or_update_policy("atmr-api", 'path "shop/*" { capabilities = ["read", "create", "update"] }')
        client.auth.approle.create_or_update_approle("atmr-api", token_policies=["atmr-api"], token_ttl="1h")
        agent.extra = (
            "[[template]]\ncontents = \"{{ secret('shop/data/prod/database/app', 'value') }}\"\n"
            f'destination = "{agent.run}/database.url"\n'
        )
        self.agent = agent.identify().start()

    # What people and programs do

    def put(self, path: str, document: dict) -> None:
        self.known.of(document)
        there = self.server.call("GET", f"shop/data/prod/{path}")
        version = there.json()["data"]["metadata"]["version"] if there.status_code == 200 else 0
        body = {"data": document, "options": {"cas": version}}
        assert self.server.call("POST", f"shop/data/prod/{path}", body).status_code == 200

    def coffre(self, *arguments: str, stdin: str = "", within: Path | None = None, **env: str) -> int:
        """One command to its end; what it prints is kept."""
        done = subprocess.run(
            [str(self.binary), *arguments], cwd=within or self.directory, env=self.env | env, input=stdin, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        self.output.append(f"$ {arguments[:3]} gave {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode

    def ask(self, method: str, path: str, body=None) -> dict:
        """A request whose failure is as interesting as its success. Of failures the whole answer is kept."""
        answer = self.server.call(method, path, body)
        if answer.status_code >= 400:
            self.answers.append(answer.content)
            return {}
        said = answer.json() if answer.content else {}
        self.known.of(said.get("data"))
        return said

    def status(self) -> dict[str, dict]:
        done = subprocess.run(
            [str(self.binary), "rotate", "status", "-json"], cwd=self.directory, env=self.env, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        self.output.append(done.stdout + done.stderr)
        return {line["target"]: line for line in json.loads(done.stdout)["targets"]}

    def until(self, condition, seconds: float) -> None:
        """Asks the application to look again as well."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(json.dumps(self.status(), indent=1) + "\n".join(self.output[-3:]))
            self.app.stdin.write("again\n")
            self.app.stdin.flush()
            time.sleep(0.3)

    def drive(self) -> "World":
        self.rotations()
        self.outside_keys()
        self.halts()
        self.engine_of_databases()
        self.migration()
        self.looks()
        return self

    def rotations(self) -> None:
        assert self.coffre("rotate", "enable", "-check") == 0, self.output[-1]
        assert self.coffre("rotate", "enable") == 0, self.output[-1]
        for name in TARGETS[:5]:
            self.coffre("rotate", "now", name)
        self.coffre("rotate", "undo", "jwt/secret_key")
        self.coffre("rotate", "now", "-compromised", "-yes-logout-all", "jwt/secret_key")
        self.until(lambda: self.rested(TARGETS[:5], 2), 240)
        self.coffre("rotate", "now", "redis/app")
        self.coffre("rotate", "rollback", "redis/app")
        for name in TARGETS[:5]:
            self.coffre("rotate", "now", "-compromised", "-yes-logout-all", name)
        self.until(lambda: self.rested(TARGETS[:3], 3), 240)

    def rested(self, names: tuple[str, ...], least: int) -> bool:
        """Whether all are through all their phases, and at this generation or beyond."""
        now = self.status()
        return all(now[name]["active"] >= least and now[name]["phase"] == "IDLE" for name in names)

    def outside_keys(self) -> None:
        key, bad, self.typed = odd("next"), odd("never"), odd("typed")
        self.known.add(key, bad)
        self.coffre("rotate", "now", "api/places")
        self.coffre("rotate", "provide", "api/places", self.typed)
        self.coffre("rotate", "provide", "api/places", stdin=bad)
        self.coffre("rotate", "undo", "api/places")
        self.coffre("rotate", "now", "api/places")
        self.accepted.add(percent(key))
        self.coffre("rotate", "provide", "api/places", stdin=key)
        self.coffre("rotate", "resume", "api/places")
        self.coffre("rotate", "provide", "api/places", stdin=key)
        self.coffre("rotate", "confirm-revoked", "api/places")
        time.sleep(8)
        self.coffre("rotate", "confirm-revoked", "api/places")
        self.accepted.discard(percent(self.places_key))
        self.coffre("rotate", "confirm-revoked", "api/places")

    def halts(self) -> None:
        wrong = odd("wrong")
        self.put("database/rotator", {"username": "rotator", "password": wrong})
        self.coffre("rotate", "now", "database/app")
        self.coffre("rotate", "status", "database/app")
        self.postgres.stop()
        self.coffre("rotate", "now", "-compromised", "-yes-logout-all", "database/app")
        self.postgres.start()
        self.put("database/rotator", {"username": "rotator", "password": self.first["rotator"]})
        self.coffre("rotate", "resume", "database/app")
        self.postgres.execute("REVOKE app_b FROM rotator")
        self.coffre("rotate", "now", "-compromised", "-yes-logout-all", "database/app")
        self.postgres.execute("GRANT app_b TO rotator WITH ADMIN OPTION")
        self.coffre("rotate", "resume", "database/app")
        self.redis.stop()
        self.coffre("rotate", "now", "-compromised", "-yes-logout-all", "redis/app")
        self.redis.start()
        threading.Thread(target=self._monitor, daemon=True).start()
        self.coffre("rotate", "resume", "redis/app")
        # What stands in the document is no ring, no address, and not what logs in.
        self.put("jwt/pair", {"schema": "keyring/1", "value": odd("foreign")})
        self.coffre("rotate", "now", "jwt/pair")
        self.put("redis/app", {"value": f"redis://app:{percent(wrong)}@127.0.0.1:{self.redis.port}/0"})
        self.coffre("rotate", "now", "redis/app")
        self.put("encryption/master_key", {"value": odd("no key")})
        self.coffre("rotate", "now", "encryption/master_key")
        self.coffre("rotate", "freeze", "-why=a test")
        self.coffre("rotate", "now", "jwt/secret_key")
        self.coffre("rotate", "unfreeze")

    def engine_of_databases(self) -> None:
        self.ask("POST", "sys/mounts/db", {"type": "database"})
        place = f"127.0.0.1:{self.postgres.port}/atmr?sslmode=disable"
        config = {
            "plugin_name": "postgresql-database-plugin", "connection_url": "postgresql://{{username}}:{{password}}@" + place,
            "username": "vaultadmin", "password": self.first["vaultadmin"], "allowed_roles": "*",
        }  # fmt: skip
        wrong = odd("nobody")
        self.known.add(wrong)
        self.ask("POST", "db/config/app", config | {"password": wrong})
        self.ask("POST", "db/config/app", config | {"connection_url": f"postgresql://vaultadmin:{percent(wrong)}%%@{place}"})
        assert self.ask("POST", "db/config/app", config) == {}
        self.ask("GET", "db/config/app")
        roles = {
            "good": [CREATE],
            "wrong": [CREATE, "SELECT * FROM no_such_table"],
            "nonsense": ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' NO SUCH WORD"],
            "raises": [CREATE, "DO $$BEGIN RAISE EXCEPTION 'for {{name}}'; END$$"],
            "refused": ["CREATE ROLE \"{{name}}\" SUPERUSER LOGIN PASSWORD '{{password}}'"],
        }
        for name, statements in roles.items():
            self.ask("POST", f"db/roles/{name}", {"db_name": "app", "creation_statements": statements, "default_ttl": "1h"})
            for _ in range(2):
                made = self.ask("GET", f"db/creds/{name}")
            if name == "good":
                lease = made["lease_id"]
                psycopg.connect(host="127.0.0.1", port=self.postgres.port, dbname="atmr", user=made["data"]["username"],
                                password=made["data"]["password"]).close()  # fmt: skip
        self.ask("POST", "sys/policies/password/odd", {"policy": 'length = 24\nrule "charset" { charset = "ab\'\\"\\\\;$%&é" }'})
        self.ask("POST", "db/config/app", {"password_policy": "odd"})
        self.ask("GET", "db/creds/good")
        self.ask("POST", "db/static-roles/keeper", {"db_name": "app", "username": "keeper", "rotation_period": "1h"})
        self.ask("GET", "db/static-creds/keeper")
        self.ask("POST", "db/rotate-role/keeper")
        self.ask("GET", "db/static-creds/keeper")
        self.ask("POST", "db/rotate-root/app")
        self.ask("POST", "sys/leases/renew", {"lease_id": lease, "increment": 7200})
        self.postgres.stop()
        self.ask("GET", "db/creds/good")
        self.ask("POST", "db/rotate-role/keeper")
        self.ask("POST", "db/rotate-root/app")
        self.postgres.start()
        self.ask("PUT", "sys/leases/revoke-prefix/db/creds/good", {"sync": True})
        cache = {"plugin_name": "redis-database-plugin", "host": "127.0.0.1", "port": self.redis.port, "username": "default",
                 "password": self.redis.password, "allowed_roles": "*"}  # fmt: skip
        self.ask("POST", "db/config/cache", cache | {"password": wrong})
        self.ask("POST", "db/config/cache", cache)
        for name, rules in {"cache": '["~*", "+@read"]', "bad": '["+nonsense"]'}.items():
            self.ask("POST", f"db/roles/{name}", {"db_name": "cache", "creation_statements": rules, "default_ttl": "1h"})
            made = self.ask("GET", f"db/creds/{name}")
            if made:
                redis.Redis(port=self.redis.port, **made["data"]).get("nothing")

    def migration(self) -> None:
        """A project of its own goes from its `.env` to the vault, there and back, half of it with errors; then its key rotates."""
        self.moved = self.directory / "moved"
        self.moved.mkdir()
        # No program sees this file once it is sealed; until then it is the one place that may hold these values.
        dotenv, key = self.moved / ".env", self.moved / "recovery.key"
        values = {name: odd(name.lower()).replace("'", "_").replace("\\", "_") for name in ("JWT_SECRET_KEY", "MAIL_PASSWORD", "API_TOKEN")}
        self.known.add(*values.values())
        dotenv.write_text("PORT=8080\n" + "".join(f"{name}='{value}'\n" for name, value in values.items()))
        dotenv.chmod(0o600)
        entries = "".join(f'[secret.{name}]\npath = "m/{name.lower()}"\nkind = "generic"\n' for name in ("MAIL_PASSWORD", "API_TOKEN"))
        (self.moved / "coffre.toml").write_text(
            f'app = "moved"\nenvironments = ["prod"]\n{entries}[secret.JWT_SECRET_KEY]\npath = "m/jwt"\nkind = "signing-key"\n'
            'rotation = { mode = "automatic", every = "30d", token_lifetime = "1s" }\n[config]\nnames = ["PORT"]\n'
        )
        # Environments are searched, too: the token is where `login` puts it.
        (self.moved / ".vault-token").touch(0o600)
        (self.moved / ".vault-token").write_text(self.server.root)
        person = {"within": self.moved, "HOME": str(self.moved), "VAULT_ROLE_ID": "", "VAULT_SECRET_ID_FILE": "",
                  "COFFRE_MANIFEST": str(self.moved / "coffre.toml")}  # fmt: skip
        self.steps = {}

        def migrate(step: str, *options: str) -> None:
            self.steps[step] = self.coffre("migrate", step, *options, **person)

        migrate("recovery-key", str(key))
        self.known.add(*key.read_text().split())
        migrate("init")
        self.coffre("migrate", "plan", **person, VAULT_TOKEN="hvs.nobody")
        migrate("plan")
        # Somebody was faster with one of them.
        self.ask("POST", "sys/mounts/moved", {"type": "kv", "options": {"version": "2"}})
        other = odd("theirs")
        self.ask("POST", "moved/data/prod/m/api_token", {"data": {"value": other}})
        self.known.add(other)
        migrate("apply", "-yes")
        migrate("plan", "-overwrite=API_TOKEN")
        for step in (["apply", "-yes"], ["verify"], ["rollback", "-yes"], ["plan", "-overwrite-all"], ["apply", "-yes"], ["cutover", "-yes"],
                     ["retire", "-yes", "-soak=0", f"-recovery-key={key}.pub"], ["status", "-json"], ["hygiene"]):  # fmt: skip
            migrate(*step)
        retired = dict(self.steps)
        migrate("rollback", "-yes", "-to=cutover", f"-recovery-key={key}")
        migrate("retire", "-yes", "-soak=0", f"-recovery-key={key}.pub")
        self.known.watch(self.server, ["moved/data/prod/m/jwt", "moved/data/prod/_rot/rec/m/jwt"])
        for command in (["enable"], ["now", "-migrated"], ["run", "-once"], ["status", "-json"]):
            self.steps[f"rotate {command[0]}"] = self.coffre("rotate", *command, **person)
        migrate("status", "-json")
        self.steps = retired | {f"then {name}": code for name, code in self.steps.items()}

    def looks(self) -> None:
        for name in TARGETS:
            for command in ("plan", "history", "status"):
                self.coffre("rotate", command, name)
                self.coffre("rotate", command, "-json", name)
        self.coffre("kv", "metadata", "get", "shop/prod/jwt/secret_key")
        self.coffre("kv", "get", "-field=no_such", "shop/prod/jwt/secret_key")
        self.coffre("rotate", "run", "-once", "-json")

    # What is left of it

    def places(self) -> dict[str, bytes]:
        self.known.read(self.server, "shop", "prod")
        self.processes.look()
        there = dict(self.processes.places) | self.known.documents
        there["log of PostgreSQL"] = self.postgres.log.read_bytes()
        there["log of Redis"] = self.redis.log.read_bytes()
        there["what Redis tells"] = self.redis.asked()
        there["MONITOR of Redis"] = b"".join(self.monitored)
        for name in ("prometheus", ""):
            there[f"metrics {name}"] = self.server.call("GET", f"sys/metrics?format={name}").content
        status, text = self.agent.get("/metrics")
        there["metrics of the agent"] = text.encode()
        there["health of the agent"] = self.agent.get("/health")[1].encode()
        there["what commands print"] = "\n".join(self.output).encode()
        there["answers that refuse"] = b"\n".join(self.answers)
        there["webhook"] = b"\n".join(self.hook.said)
        there["mail"] = b"".join(self.mail.said)
        # The logs, the audit log, the storage. What is left out holds secrets because somebody put them there.
        given = {"secret_id", "role_id", "database.url", "recovery.key", ".vault-token"}
        for path in self.directory.rglob("*"):
            there["names of files"] = there.get("names of files", b"") + str(path).encode() + b"\n"
            if path.is_file() and path.name not in given:
                there[str(path.relative_to(self.directory))] = path.read_bytes()
        return there

    def _monitor(self) -> None:
        """What anybody sees who may watch Redis."""
        with socket.create_connection(("127.0.0.1", self.redis.port)) as watching:
            watching.sendall(f"AUTH {self.redis.password}\r\nMONITOR\r\n".encode())
            while piece := watching.recv(65536):
                self.monitored.append(piece)


def odd(name: str) -> str:
    return f"{name}-{secrets.token_hex(6)}{ODD}{secrets.token_hex(6)}"


def percent(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def key_pair() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
