"""An application whose secrets rotate: a manifest, documents on a real server, and two identities, the application's and
the rotation's, with the rules that follow from the manifest."""

import os
import secrets
import textwrap
from pathlib import Path

from coffre_server import Server, clean_environment
from shop_secrets import open_secrets

MOUNT = "shop"

READ = """
path "shop/data/prod/*" { capabilities = ["read"] }
path "shop/data/prod/_rot/*" { capabilities = ["deny"] }
path "shop/data/prod/_rot/policy" { capabilities = ["read"] }
path "shop/data/prod/_rot/ack/*" { capabilities = ["create", "update"] }
"""
ROTATE = """
path "shop/data/prod/*" { capabilities = ["create", "read", "update", "patch"] }
path "shop/metadata/prod/*" { capabilities = ["create", "read", "update", "patch", "list"] }
path "shop/destroy/prod/*" { capabilities = ["update"] }
path "shop/data/prod/_rot/ack/*" { capabilities = ["create", "read", "update", "delete"] }
path "shop/metadata/prod/_rot/ack/*" { capabilities = ["create", "read", "update", "delete", "list"] }
"""


class Rotating:
    """`manifest` is TOML below the two first lines. Each instance has a server's mount of its own: use a fresh server."""

    def __init__(self, server: Server, directory: Path, manifest: str, documents: tuple[str, ...]):
        self.server, self.directory = server, directory
        self.values: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        head = 'app = "shop"\nenvironments = ["prod"]\n'
        (directory / "coffre.toml").write_text(head + textwrap.dedent(manifest))
        client = server.client()
        client.sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
        client.sys.enable_auth_method("approle")
        self.reader, self.rotator = self._role("shop-api", READ), self._role("shop-rotation", ROTATE)
        for path in documents:
            self.put(path, value=secrets.token_urlsafe(32))

    def put(self, path: str, **fields) -> None:
        self.values.update(value for value in fields.values() if isinstance(value, str) and len(value) >= 16)
        self.server.client().secrets.kv.v2.create_or_update_secret(f"prod/{path}", fields, mount_point=MOUNT)

    def document(self, path: str) -> dict:
        """As it is now; what it holds must be shown nowhere from here on."""
        v2 = self.server.client().secrets.kv.v2
        found = v2.read_secret_version(f"prod/{path}", mount_point=MOUNT, raise_on_deleted_version=True)["data"]["data"]
        materials = [entry["mat"] for entry in found.get("keys", ())] + [found.get("value")]
        self.values.update(value for value in materials if value)
        return found

    def generation(self, path: str) -> int:
        """The active one; 1 before the first rotation."""
        keys = self.document(path).get("keys", ())
        return next((entry["gen"] for entry in keys if entry["state"] == "active"), self.document(path).get("gen", 1))

    def environ(self, **extra: str) -> dict[str, str]:
        """What the application's processes get."""
        role, secret = self.reader
        return {
            "VAULT_ADDR": self.server.address, "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": secret,
            "COFFRE_MANIFEST": str(self.directory / "coffre.toml"), "COFFRE_ENV": "prod",
        } | extra

    def rotation(self, **extra: str) -> dict[str, str]:
        """What a process gets that rotates as well."""
        role, secret = self.rotator
        return self.environ() | {"VAULT_ROTATE_ROLE_ID": role, "VAULT_ROTATE_SECRET_ID": secret} | extra

    def process_environ(self, environ: dict[str, str], **extra: str) -> dict[str, str]:
        import coffre

        here, package = Path(__file__).resolve().parent, Path(coffre.__file__).resolve().parent.parent
        path = os.pathsep.join((str(package), str(here), str(self.directory)))
        return clean_environment(PYTHONPATH=path, PYTHONUNBUFFERED="1", **environ, **extra)

    def secrets(self):
        """The application's, opened in this process."""
        return open_secrets(self.environ())

    def assert_shown_nowhere(self, *texts: str) -> None:
        for text in texts:
            for value in self.values:
                assert value not in text, "a secret is shown"

    def _role(self, name: str, policy: str) -> tuple[str, str]:
        client = self.server.client()
        client.sys.create_or_update_policy(name, policy)
        client.auth.approle.create_or_update_approle(name, token_policies=[name], token_ttl="1h")
        role = client.auth.approle.read_role_id(name)["data"]["role_id"]
        secret = client.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        self.values.add(secret)
        return role, secret
