"""The package is typed: a program written against it passes mypy in its strict mode, and a wrong one does not."""

import subprocess
import sys

from application import PACKAGE
from coffre_server import clean_environment

RIGHT = """
from __future__ import annotations

import datetime

import coffre
import coffre.aio
from coffre.rotation import Bridge, Generation, Rotator, Status


def key() -> str:
    return coffre.get_secret("JWT_SECRET_KEY") + coffre.get_secret("jwt/secret_key", "value")


def connect() -> tuple[str, str, str | None, int | None]:
    found: coffre.DatabaseCredentials = coffre.get_database_credentials()
    print(found.url(driver="postgresql+psycopg"))
    return found.username, found.password, found.host, found.port


def document() -> dict[str, str]:
    found = coffre.get_document("database/creds")
    version: int | None = found.version
    print(version, found.age)
    return dict(found.items())


def changed(change: coffre.Change) -> None:
    names: tuple[str, ...] = change.names
    print(names)


def main() -> None:
    stop = coffre.on_change(changed)
    with coffre.Secrets({"VAULT_ADDR": "unix:///run/agent.sock"}, environment="prod") as secrets:
        value: str = secrets.get_secret("JWT_SECRET_KEY")
        print(len(value), secrets.source(), secrets.health()["source"], secrets.metrics(), secrets.explain("KEY"))
    try:
        coffre.invalidate("jwt/secret_key")
    except coffre.CoffreError as error:
        kind: str = error.kind
        again: bool = error.retryable
        print(kind, again)
    meter: coffre.Meter = coffre.meter("ENCRYPTION_MASTER_KEY")
    meter.count("4c663eb1")
    stop()


class Mailbox:
    def apply(self, new: Generation) -> None:
        print(new.value or "", new.number, new.fence)

    def retire(self, old: Generation) -> None:
        print(old.until.isoformat(), old.compromised)


def rotate(own: Bridge) -> list[str]:
    with Rotator(environment="prod", role_id="r", secret_id="s") as rotator:
        rotator.bridge("mail/password", own)
        rotator.bridge("mail/other", Mailbox())
        lines: list[Status] = rotator.status()
        due: datetime.datetime | None = lines[0].next
        step = rotator.step("JWT_SECRET_KEY")
        if step.wait is not None:
            print(step.wait.why, due)
        rotator.now("JWT_SECRET_KEY", compromised=True)
        return [finding.sentence for finding in rotator.enable(check=True)]


async def later() -> str:
    async with coffre.aio.Secrets(directory=".") as secrets:
        return await secrets.get_secret("JWT_SECRET_KEY")
"""

WRONG = [
    ("coffre.get_secret(7)", "arg-type"),
    ("number: int = coffre.get_secret('A')", "assignment"),
    ("coffre.no_such_function()", "attr-defined"),
    ("coffre.Secrets(address=7)", "arg-type"),
    ("coffre.get_database_credentials().no_such", "attr-defined"),
    ("coffre.rotation.Rotator().bridge('a', 7)", "arg-type"),
    ("coffre.rotation.Rotator().now(target=7)", "arg-type"),
]


def mypy(program, directory) -> subprocess.CompletedProcess:
    (directory / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(directory / "cache"), "program.py"]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=240, check=False,
        env=clean_environment(MYPYPATH=str(PACKAGE)),
    )


def test_a_typed_program_passes(tmp_path):
    done = mypy(RIGHT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_programs_do_not(tmp_path):
    done = mypy("import coffre, coffre.rotation\n" + "\n".join(line for line, _ in WRONG) + "\n", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for number, (line, code) in enumerate(WRONG, start=2):
        assert any(f"program.py:{number}:" in told and f"[{code}]" in told for told in done.stdout.splitlines()), (line, done.stdout)
