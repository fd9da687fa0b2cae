"""The directory in which everything runs: a copy of the project, and what the servers keep."""

import importlib.util
import json
import os
import shutil
import stat
from pathlib import Path

from dotenv import dotenv_values
from sqlalchemy import make_url

from .process import free_port

SAMPLE = Path(__file__).resolve().parent.parent
PACKAGE = SAMPLE.parents[1] / "target/python"
COPIED = ("backend", "vault", "coffre.toml", "gunicorn.conf.py")
# Nothing of the caller's may decide where secrets come from.
STEERING = ("VAULT_", "BAO_", "COFFRE_", "FLASK_", "APP_ENV", "ATMR_", "USE_VAULT", "PYTHON_DOTENV", "CELERY_", "GUNICORN_")


class Stage:
    """Made on first use; later runs find the same ports, data and project in it."""

    def __init__(self, directory: Path):
        # Others may pass through, as PostgreSQL's own user must; what is in it they cannot list.
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)
        self.directory = directory
        self.project = directory / "atmr"
        self.dotenv = self.project / ".env"
        self.ports = self._ports()
        if not self.project.exists():
            self._copy_project()
        self.logs = self._new_logs()

    def others_may_pass(self) -> bool:
        """Whether another user, such as PostgreSQL's, reaches this directory."""
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in (self.directory, *self.directory.parents))

    def url(self, name: str):
        """A URL of the original `.env`, of which the servers here are made."""
        kept = self.directory / "before.env"
        return make_url(dotenv_values(kept)[name])

    def environment(self, package: bool = True, **extra: str) -> dict[str, str]:
        """For the application's processes; without `package` they do not see the repository's own build of `coffre`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
        kept |= {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if package and importlib.util.find_spec("coffre") is None and PACKAGE.exists():
            kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PACKAGE), kept.get("PYTHONPATH"))))
        return kept | extra

    def _ports(self) -> dict[str, int]:
        file = self.directory / "ports.json"
        if not file.exists():
            file.write_text(json.dumps({name: free_port() for name in ("postgres", "redis", "vault", "web")}))
        return json.loads(file.read_text())

    def _copy_project(self) -> None:
        made = self.directory / "atmr.new"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(0o700)
        for name in COPIED:
            source = SAMPLE / name
            if source.is_dir():
                shutil.copytree(source, made / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, made / name)
        content = (SAMPLE / ".env").read_bytes()
        for usual, name in (("5432", "postgres"), ("6379", "redis")):
            content = content.replace(f"127.0.0.1:{usual}".encode(), f"127.0.0.1:{self.ports[name]}".encode())
        for file in (made / ".env", self.directory / "before.env"):
            file.touch(0o600)
            file.write_bytes(content)
        made.rename(self.project)

    def _new_logs(self) -> Path:
        """One directory for each run."""
        number = 1 + sum(1 for _ in self.directory.glob("logs/*"))
        logs = self.directory / "logs" / f"{number:03}"
        logs.mkdir(parents=True, mode=0o700)
        return logs
