"""The client side against every Vault-compatible server that this machine has: our own in its development mode, and `bao` and
`vault` where they are on PATH. Migration, `coffre run`, the Python package, rotation under the policies that follow from the
manifest, over nothing but Vault's API. With COFFRE_TEST_SERVER the other tests of the
client side stand on such a server, too (`stock_server.py`)."""

import json
import os
import shutil
import subprocess
import sys
import time

import hvac
import pytest
import requests

from application import PACKAGE
from coffre_server import clean_environment, free_port
from stock_server import Patient

ROOT = "root-of-any-server"
MANIFEST = """\
app = "shop"
environments = ["dev", "prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
[secret.MAIL_PASSWORD]
path = "mail/password"
"""
VALUES = {"JWT_SECRET_KEY": "any-server-jwt-5c0d77e1", "MAIL_PASSWORD": "any-server-mail $#' 9b"}
ROTATING = """\
app = "shop"
environments = ["dev", "prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
rotation = { mode = "automatic", every = "30d", token_lifetime = "500ms" }
[rotation]
soft_ttl = "1s"
max_stale = "5s"
clock_allowance = "500ms"
poll = "1s"
destroy_hold = "500ms"
grace = "500ms"
"""


def known(name: str):
    """Another server's program; a visible skip where it is not there."""
    return pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not on PATH"))


PROGRAMS = ["coffre", known("bao"), known("vault")]


@pytest.fixture(params=PROGRAMS)
def any_server(request, binary, tmp_path):
    program = str(binary) if request.param == "coffre" else shutil.which(request.param)
    port = free_port()
    command = [program, "server", "-dev", f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{port}"]
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path / "server.log", "wb") as log:
        env = clean_environment(HOME=str(tmp_path))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    try:
        answered_by(time.monotonic() + 30, f"{address}/v1/sys/health")
        yield address
    finally:
        process.kill()
        process.wait(15)


def answered_by(deadline, url):
    while True:
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, f"no answer from {url}"
        time.sleep(0.05)


def test_migration_launcher_and_package(any_server, binary, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "coffre.toml").write_text(MANIFEST)
    quoted = {name: value.replace("'", "\\'") for name, value in VALUES.items()}
    (project / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in quoted.items()))
    base = {"VAULT_ADDR": any_server, "COFFRE_ENV": "prod", "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}

    def coffre(*arguments, **env):
        environment = clean_environment(**base, **env)
        done = subprocess.run([binary, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for step in (["plan"], ["apply", "-yes"], ["verify"]):
        coffre("migrate", *step, VAULT_TOKEN=ROOT)
    (project / ".env").unlink()
    client = hvac.Client(url=any_server, token=ROOT)
    identity = {
        "VAULT_ROLE_ID": client.auth.approle.read_role_id("shop-api")["data"]["role_id"],
        "VAULT_SECRET_ID": client.auth.approle.generate_secret_id("shop-api")["data"]["secret_id"],
    }
    shown = "import os; print(os.environ['JWT_SECRET_KEY'], os.environ['MAIL_PASSWORD'], sep='\\n')"
    assert coffre("run", "--", sys.executable, "-c", shown, **identity).splitlines() == list(VALUES.values())
    if (PACKAGE / "coffre").exists():
        read = "import coffre; print(coffre.source(), coffre.get_secret('JWT_SECRET_KEY'), coffre.get_secret('mail/password', 'value'), sep='\\n')"
        env = clean_environment(**base, **identity, PYTHONPATH=os.fspath(PACKAGE))
        done = subprocess.run([sys.executable, "-c", read], cwd=project, env=env, capture_output=True, text=True, check=False)
        assert done.stdout.splitlines() == ["vault", *VALUES.values()], done.stderr
    (project / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in quoted.items()))
    coffre("migrate", "rollback", "-yes", VAULT_TOKEN=ROOT)
    assert "shop/" not in client.sys.list_mounted_secrets_engines()["data"]


class Shop:
    """The application of `ROTATING`, moved into the vault; root, the application and the rotation have tokens of their own."""

    def __init__(self, address: str, binary, directory):
        self.address, self.binary, self.directory = address, binary, directory
        self.root = hvac.Client(url=address, token=ROOT, timeout=20, adapter=Patient)
        (directory / "coffre.toml").write_text(ROTATING)
        (directory / ".env").write_text("JWT_SECRET_KEY='the-first-key-of-all-5c0d77e1'\n")
        for step in (["plan"], ["apply", "-yes"]):
            self.coffre("migrate", *step)
        read = self.root.auth.approle
        self.identity = {
            "VAULT_ROLE_ID": read.read_role_id("shop-api")["data"]["role_id"],
            "VAULT_SECRET_ID": read.generate_secret_id("shop-api")["data"]["secret_id"],
        }
        self.rotator = self.root.auth.token.create(policies=["shop-api-rotate"], no_parent=True)["auth"]["client_token"]

    def environ(self, **extra: str) -> dict[str, str]:
        return {"VAULT_ADDR": self.address, "COFFRE_ENV": "prod", "COFFRE_MANIFEST": str(self.directory / "coffre.toml")} | extra

    def coffre(self, *arguments: str, token: str = ROOT, code: int = 0) -> str:
        env = clean_environment(**self.environ(VAULT_TOKEN=token), XDG_STATE_HOME=str(self.directory), HOME=str(self.directory))
        done = subprocess.run(
            [self.binary, *arguments], cwd=self.directory, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout

    def document(self, path: str) -> dict:
        return self.root.secrets.kv.v2.read_secret_version(f"prod/{path}", mount_point="shop", raise_on_deleted_version=True)["data"]["data"]

    def acks(self, path: str) -> list[dict]:
        try:
            names = self.root.secrets.kv.v2.list_secrets(f"prod/_rot/ack/{path}", mount_point="shop")["data"]["keys"]
        except hvac.exceptions.InvalidPath:
            return []
        return [self.document(f"_rot/ack/{path}/{name}") for name in names]


@pytest.fixture
def shop(any_server, binary, tmp_path):
    return Shop(any_server, binary, tmp_path)


def test_a_key_rotates_under_the_policies_of_the_manifest_while_a_process_acknowledges(shop):
    coffre = pytest.importorskip("coffre")
    shop.coffre("rotate", "enable", "jwt/secret_key", token=shop.rotator)
    with coffre.Secrets(shop.environ(**shop.identity)) as store:
        assert store.get_secret("JWT_SECRET_KEY") == "the-first-key-of-all-5c0d77e1"
        shop.coffre("rotate", "now", "jwt/secret_key", token=shop.rotator)
        deadline = time.monotonic() + 200
        while True:
            shop.coffre("rotate", "run", "-once", token=shop.rotator)
            (line,) = json.loads(shop.coffre("rotate", "status", "-json", "jwt/secret_key", token=shop.rotator))["targets"]
            if line["phase"] == "IDLE" and line["active"] == 2 and not line["retiring"]:
                break
            assert line["halt"] is None and time.monotonic() < deadline, line
            time.sleep(0.2)
        document = shop.document("jwt/secret_key")
        store.refresh("jwt/secret_key")
        assert store.get_secret("JWT_SECRET_KEY") == document["value"] != "the-first-key-of-all-5c0d77e1"
        (said,) = shop.acks("jwt/secret_key")
        assert (said["epoch"], said["in_use"]) == (document["epoch"], 2)
    assert "promoted" in shop.coffre("rotate", "history", "jwt/secret_key", token=shop.rotator)
    v2 = shop.root.secrets.kv.v2
    record = v2.read_secret_metadata("prod/jwt/secret_key", mount_point="shop")["data"]
    assert record["custom_metadata"]["rot.phase"] == "IDLE" and record["cas_required"]
    written = v2.read_secret_metadata("prod/_rot/rec/jwt/secret_key", mount_point="shop")["data"]["current_version"]
    shop.coffre("rotate", "run", "-once", token=shop.rotator)
    again = v2.read_secret_metadata("prod/_rot/rec/jwt/secret_key", mount_point="shop")["data"]["current_version"]
    assert again == written, "a record at rest is written again"
    application = hvac.Client(url=shop.address)
    application.auth.approle.login(shop.identity["VAULT_ROLE_ID"], shop.identity["VAULT_SECRET_ID"])
    for path in ("rec/jwt/secret_key", "freeze"):
        with pytest.raises(hvac.exceptions.Forbidden):
            application.secrets.kv.v2.read_secret_version(f"prod/_rot/{path}", mount_point="shop", raise_on_deleted_version=True)
