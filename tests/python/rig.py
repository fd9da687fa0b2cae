"""A vault with the secrets of a small application, which tests of the Python package change under its feet."""

import os
import secrets
import textwrap
import time
from pathlib import Path
from urllib.parse import urlsplit

from coffre_server import Server, clean_environment

MANIFEST = """
app = "shop"
environments = ["dev", "staging", "prod"]

[secret.SECRET_KEY]
path = "flask/secret_key"
kind = "signing-key"

[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"

[secret.APP_ENCRYPTION_KEY_B64]
path = "encryption/master_key"
kind = "encryption-key"

[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"

[secret.REDIS_URL]
path = "redis/creds"
kind = "redis"

[secret.CELERY_BROKER_URL]
template = "{REDIS_URL}/1"

[secret.CELERY_RESULT_BACKEND]
template = "{REDIS_URL}/2"
"""


class Rig:
    """The documents of one application below `shop/prod/`, and an AppRole that may read them."""

    def __init__(self, server: Server, directory: Path, environment: str = "prod"):
        self.server, self.directory, self.environment = server, directory, environment
        self.values: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "coffre.toml").write_text(textwrap.dedent(MANIFEST))
        self._prepare()

    def put(self, path: str, **fields) -> int:
        """Writes a version; its number. Texts in it are looked for in outputs later."""
        self.remember(fields)
        v2 = self.server.client().secrets.kv.v2
        return v2.create_or_update_secret(f"{self.environment}/{path}", fields, mount_point="shop")["data"]["version"]

    def put_database(self, url: str) -> None:
        parts = urlsplit(url)
        self.put("database/creds", value=url)
        self.values.add(parts.password)

    def put_redis(self, url: str) -> None:
        """`url` without a database."""
        self.put("redis/creds", value=url)
        self.values.add(urlsplit(url).password)

    def remember(self, fields: dict) -> None:
        for name, value in fields.items():
            if name in ("value", "mat", "password"):
                self.values.add(value)
            elif name == "keys":
                [self.remember(entry) for entry in value]

    def environ(self, **extra: str) -> dict[str, str]:
        """What the application's process gets."""
        identity = {"VAULT_ADDR": self.server.address, "VAULT_ROLE_ID": self.role_id, "VAULT_SECRET_ID": self.secret_id}
        if self.server.tls:
            identity["VAULT_CACERT"] = str(self.server.ca)
        return {"COFFRE_ENV": self.environment, "COFFRE_MANIFEST": str(self.directory / "coffre.toml")} | identity | extra

    def process_environ(self, **extra: str) -> dict[str, str]:
        """The same for a process of its own, which also finds the package and the modules of the tests."""
        here = Path(__file__).resolve().parent
        import coffre

        package = Path(coffre.__file__).resolve().parent.parent
        path = os.pathsep.join((str(package), str(here), str(self.directory)))
        return clean_environment(PYTHONPATH=path, PYTHONUNBUFFERED="1", **self.environ(), **extra)

    def assert_shown_nowhere(self, *texts: str) -> None:
        for text in texts:
            for value in self.values:
                assert value not in text, "a secret is shown"

    def _prepare(self) -> None:
        client, name = self.server.client(), f"shop-{self.environment}-{secrets.token_hex(4)}"
        if "shop/" not in client.sys.list_mounted_secrets_engines()["data"]:
            client.sys.enable_secrets_engine("kv", path="shop", options={"version": "2"})
        if "approle/" not in client.sys.list_auth_methods()["data"]:
            client.sys.enable_auth_method("approle")
        client.sys.create_or_update_policy(name, f'path "shop/data/{self.environment}/*" {{ capabilities = ["read"] }}')
        client.auth.approle.create_or_update_approle(name, token_policies=[name], token_ttl="1h")
        self.role_id = client.auth.approle.read_role_id(name)["data"]["role_id"]
        self.secret_id = client.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        self.values.add(self.secret_id)


def until(condition, seconds: float = 60.0, pause: float = 0.05):
    """Waits for something to be true, and gives it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(pause)
    return found
