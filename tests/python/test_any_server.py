"""The client side against every Vault-compatible server that this machine has: our own in its development mode, and `bao` and
`vault` where they are on PATH. Migration, `coffre run` and the Python package, over nothing but Vault's API."""

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
PROGRAMS = ["coffre", *(name for name in ("bao", "vault") if shutil.which(name))]


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
