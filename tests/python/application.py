"""A small application with a manifest, its secrets on a real server, and an identity: what the tests of the Python package
start from."""

import json
import os
import secrets
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from coffre_server import Server, clean_environment
from project import forms

PACKAGE = Path(os.environ.get("COFFRE_PACKAGE") or Path(__file__).resolve().parents[2] / "target/python")
MOUNT, METHOD = "atmr", "approle"

MANIFEST = """\
app = "atmr"
environments = ["dev", "prod"]

[secret.SECRET_KEY]
path = "flask/secret_key"
kind = "signing-key"

[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"

[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"
template = "postgresql://{username}:{password|pct}@{host}:{port}/{database}"

[secret.REDIS_URL]
path = "redis/creds"
kind = "redis"
local = "env"

[secret.CELERY_BROKER_URL]
template = "{REDIS_URL}/1"
"""


def fresh(name: str) -> str:
    """A value that occurs nowhere else."""
    return f"{name}-{secrets.token_hex(12)}"


@dataclass
class Application:
    """A directory with `coffre.toml` and perhaps `.env`, and the secrets of `prod` and `dev` on `server`."""

    server: Server
    directory: Path

    def __post_init__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "coffre.toml").write_text(MANIFEST)
        self.home = self.directory.parent / "home"
        self.home.mkdir(exist_ok=True)
        self.key, self.jwt, self.redis = fresh("flask"), fresh("jwt"), f"redis://:{fresh('redis')}@127.0.0.1:6379"
        self.password = fresh("p@ss/w:rd")
        self.database = {
            "username": "app_a", "password": self.password, "host": "db.internal", "port": "5433", "database": "atmr",
        }
        self.write("flask/secret_key", {"value": self.key})
        self.write("jwt/secret_key", {"value": self.jwt})
        self.write("redis/creds", {"value": self.redis})
        self.version = self.write("database/creds", self.database)
        self.role = f"app-{secrets.token_hex(4)}"
        client = self.server.client()
        client.auth.approle.create_or_update_approle(self.role, token_policies=[f"{MOUNT}-read"], token_ttl="1h")
        self.role_id = client.auth.approle.read_role_id(self.role)["data"]["role_id"]
        self.secret_id = client.auth.approle.generate_secret_id(self.role)["data"]["secret_id"]
        self._before = len(self._entries())

    def write(self, path: str, fields: dict, environment: str = "prod") -> int:
        """A new version; its number."""
        written = self.server.client().secrets.kv.v2.create_or_update_secret(
            f"{environment}/{path}", fields, mount_point=MOUNT
        )
        return written["data"]["version"]

    def environ(self, **extra: str) -> dict[str, str]:
        """What a production process of this application has in its environment."""
        identity = {"VAULT_ADDR": self.server.address, "VAULT_ROLE_ID": self.role_id, "VAULT_SECRET_ID": self.secret_id}
        if self.server.tls:
            identity["VAULT_CACERT"] = str(self.server.ca)
        return clean_environment(HOME=str(self.home), COFFRE_ENV="prod", **identity) | extra

    def open(self, **extra: str):
        """`coffre.Secrets` of this application."""
        import coffre

        return coffre.Secrets(self.environ(**extra), directory=self.directory)

    def run(self, script: str, *arguments: str, code: int | None = 0, environ: dict | None = None, **extra: str):
        """Runs a Python program in the directory, as its own process, and looks for values in what it printed to the
        standard error. Its standard output is for the test: JSON, if it is."""
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), *arguments], cwd=self.directory, capture_output=True,
            text=True, timeout=120, stdin=subprocess.DEVNULL, check=False,
            env=(self.environ() if environ is None else environ) | {"PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"} | extra,
        )
        if code is not None:
            assert done.returncode == code, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        self.assert_no_secret("standard error", done.stderr)
        return done

    def answer(self, script: str, *arguments: str, **extra):
        """The JSON that a program prints."""
        return json.loads(self.run(script, *arguments, **extra).stdout)

    def secrets(self) -> dict[str, str]:
        """Everything that must not be seen."""
        return {
            "SECRET_KEY": self.key, "JWT_SECRET_KEY": self.jwt, "REDIS_URL": self.redis, "password": self.password,
            "secret_id": self.secret_id,
        }

    def assert_no_secret(self, where: str, content: str | bytes) -> None:
        raw = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
        found = [name for name, value in self.secrets().items() if any(form in raw for form in forms(value))]
        assert found == [], f"{where} shows {found}"

    def reads(self, path: str) -> int:
        """How often the server was asked for a document since this application was made, by its audit log."""
        wanted = f"{MOUNT}/data/prod/{path}"
        return sum(
            entry["type"] == "request" and entry["request"]["path"] == wanted and entry["request"]["operation"] == "read"
            for entry in self.audit()
        )

    def logins(self) -> int:
        """How often anybody logged in since then."""
        return sum(
            entry["type"] == "request" and entry["request"]["path"] == f"auth/{METHOD}/login" for entry in self.audit()
        )

    def audit(self) -> list[dict]:
        """The entries since this application was made."""
        return [json.loads(line) for line in self._entries()[self._before :] if line.startswith("{")]

    def _entries(self) -> list[str]:
        return self.server.audit.read_text().splitlines()


def prepare(server: Server) -> Server:
    """Engine, method and policy of the application."""
    client = server.client()
    client.sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
    client.sys.enable_auth_method(METHOD)
    allow(server)
    return server


def allow(server: Server, rule: str = f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}') -> None:
    server.client().sys.create_or_update_policy(f"{MOUNT}-read", rule)
