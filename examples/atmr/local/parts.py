"""The application's own processes: gunicorn, Celery workers and beat."""

import http.client
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .process import RealProcess
from .web import call


class Part(RealProcess):
    """Runs in the project; `prefix` is put before its command, such as `coffre run --`."""

    def __init__(self, name: str, project: Path, log: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()):
        super().__init__(name, project, log=log)
        self.environment, self.prefix = environment, list(prefix)

    def python(self, *arguments: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", *arguments]


class Web(Part):
    """gunicorn with the settings of `gunicorn.conf.py`."""

    def __init__(self, *arguments, port: int = 0, **options):
        super().__init__("web", *arguments, **options)
        self.port = port

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return self.python("gunicorn", "--bind", f"127.0.0.1:{self.port}", "backend.app:create_app()")

    def answers(self) -> bool:
        try:
            return call("GET", f"{self.base}/health").status == 200
        except (OSError, http.client.HTTPException):
            return False


class Worker(Part):
    def command(self) -> list[str]:
        options = ("--concurrency=1", f"--hostname={self.name}@%h", "--loglevel=INFO", "--without-mingle")
        return self.python("celery", "-A", "backend.worker", "worker", *options)

    def answers(self) -> bool:
        return " ready." in self.said()


class Beat(Part):
    def __init__(self, *arguments, schedule: Path, **options):
        super().__init__("beat", *arguments, **options)
        self.schedule = schedule

    def command(self) -> list[str]:
        files = (f"--schedule={self.schedule}", "--pidfile=")
        return self.python("celery", "-A", "backend.worker", "beat", "--loglevel=INFO", *files)

    def answers(self) -> bool:
        return "beat: Starting..." in self.said()
