"""`coffre rotate` as a person uses it, on a machine whose clock a test moves."""

import datetime
import json
import re
import subprocess
from pathlib import Path

from coffre_server import clean_environment

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


class Desk:
    """A project with its manifest, an environment of a mount of its own, and the command line that looks after it."""

    def __init__(self, binary: Path, server, directory: Path, manifest: str, mount: str, environment: str = "prod"):
        self.binary, self.server, self.mount, self.environment = binary, server, mount, environment
        self.project = directory / "project"
        self.project.mkdir(parents=True)
        (self.project / "coffre.toml").write_text(manifest)
        self.env = clean_environment(
            VAULT_ADDR=server.address, VAULT_TOKEN=server.root, HOME=str(directory), COFFRE_ENV=environment, NO_COLOR="1"
        )
        self.kv = server.client().secrets.kv.v2
        server.client().sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})

    def manifest(self, text: str) -> None:
        (self.project / "coffre.toml").write_text(text)

    def rotate(self, *arguments: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess:
        command = [str(self.binary), "rotate", *arguments]
        done = subprocess.run(
            command, env=self.env, cwd=self.project, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        assert code in (None, done.returncode), f"rotate {arguments} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def put(self, path: str, **fields) -> None:
        self.kv.create_or_update_secret(f"{self.environment}/{path}", fields, mount_point=self.mount)

    def get(self, path: str, version: int | None = None) -> dict:
        read = self.kv.read_secret_version(
            f"{self.environment}/{path}", version=version, mount_point=self.mount, raise_on_deleted_version=True
        )
        return read["data"]["data"]

    def exists(self, path: str) -> bool:
        return self.server.call("GET", f"{self.mount}/data/{self.environment}/{path}").status_code == 200

    def line(self, target: str) -> dict:
        """Where a target stands, as scripts read it."""
        (found,) = json.loads(self.rotate("status", "-json", target, code=None).stdout)["targets"]
        return found

    def later(self, *targets: str, **length: float) -> None:
        """Time passes: everything that the records remember happened longer ago."""
        back = datetime.timedelta(**length)
        for target in targets:
            path = f"{self.environment}/_rot/rec/{target}"
            read = self.kv.read_secret_version(path, mount_point=self.mount, raise_on_deleted_version=True)["data"]
            record, version = earlier(read["data"], back), read["metadata"]["version"]
            self.kv.create_or_update_secret(path, record, cas=version, mount_point=self.mount)

    def rest(self, target: str, rounds: int = 12, **length: float) -> dict:
        """`run -once`, as cron calls it, until the target rests; between the calls time passes."""
        for _ in range(rounds):
            self.rotate("run", "-once", code=None)
            line = self.line(target)
            assert line["halt"] is None and line["failed"] is None, line
            if line["phase"] == "IDLE" and not line["retiring"]:
                return line
            self.later(target, **(length or {"hours": 2}))
        raise AssertionError(f"it does not come to rest: {line}")


def earlier(value, back: datetime.timedelta):
    """The same with all times moved back: RFC 3339, and what is called `clean-since`, in seconds."""
    match value:
        case dict():
            return {
                name: part - int(back.total_seconds()) if name == "clean-since" else earlier(part, back)
                for name, part in value.items()
            }
        case list():
            return [earlier(part, back) for part in value]
        case str() if TIME.match(value):
            moved = datetime.datetime.fromisoformat(value) - back
            return moved.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case _:
            return value
