"""A copy of the sample application, the `coffre` command line in it, and searches for values where none may be."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import requests
from dotenv import dotenv_values

from coffre_server import clean_environment, free_port

SAMPLE = Path(__file__).resolve().parents[2] / "examples/atmr"
# Shorter values (a port, a flag) occur everywhere by chance.
MIN_SEARCHED = 8


@dataclass
class Project:
    """The sample in `directory`; `env` is what every command in it gets."""

    binary: Path
    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        shutil.copytree(SAMPLE, self.directory, ignore=shutil.ignore_patterns("tests", "__pycache__", "*.sqlite3"))
        self.dotenv = self.directory / ".env"
        self.state = self.directory.parent / "state"
        home = self.directory.parent / "home"
        home.mkdir(exist_ok=True)
        # Commands see the interpreter of this test run, a home of their own, and nothing that steers them by chance.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = clean_environment(HOME=str(home), XDG_STATE_HOME=str(self.state), PATH=path) | self.env
        self.expected = {name: value for name, value in dotenv_values(self.dotenv).items() if value is not None}
        document = tomllib.loads((self.directory / "coffre.toml").read_text())
        self.paths = {name: entry["path"] for name, entry in document["secret"].items() if "path" in entry}
        self.secret_names = list(document["secret"])
        self.labels = json.loads((self.directory / ".env.labels.json").read_text())["labels"]

    def secrets(self) -> dict[str, str]:
        """Name and value of everything that must never be seen, older values of duplicate keys included."""
        found = {name: self.expected[name] for name in self.labels if self.labels[name] != "config"}
        return found | {"the old OPENWEATHER_API_KEY": "sample-openweather-old-key"}

    def coffre(self, *arguments, code=0, stdin="", timeout=120, **env) -> subprocess.CompletedProcess:
        """Runs the command to its end; `code=None` accepts any exit code."""
        done = subprocess.run(
            [str(self.binary), *arguments], cwd=self.directory, env=self.env | env, input=stdin,
            capture_output=True, text=True, timeout=timeout, check=False,
        )
        if code is not None:
            assert done.returncode == code, f"coffre {arguments} gave {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        self.assert_no_secret(f"output of coffre {arguments}", done.stdout + done.stderr)
        return done

    def serve(self, *prefix: str, **env: str) -> "Serving":
        """Starts the Flask application, behind `prefix` (such as `coffre run --`)."""
        return Serving(self, prefix, self.env | env)

    def assert_no_secret(self, where: str, content: str | bytes) -> None:
        raw = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
        found = [name for name, value in self.secrets().items() if any(form in raw for form in forms(value))]
        assert found == [], f"{where} shows {found}"


def forms(value: str) -> list[bytes]:
    """The value as it may be written: plain, percent-encoded, in JSON; of several lines each one."""
    plain = [value, quote(value, safe=""), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    lines = [line for line in value.splitlines() if "-----" not in line]
    return [form.encode() for form in {*plain, *lines} if len(form) >= MIN_SEARCHED]


class Serving:
    """The running application; `base` is its address. Leave it as a context to stop it."""

    def __init__(self, project: Project, prefix: tuple[str, ...], env: dict[str, str]):
        self.project, self.port = project, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.output = project.directory.parent / f"app-{self.port}.log"
        command = [*prefix, sys.executable, "-m", "flask", "--app", "backend.app", "run", "--port", str(self.port)]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                command, cwd=project.directory, env=env, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def __enter__(self) -> "Serving":
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()}"
            try:
                requests.get(f"{self.base}/health", timeout=5)
                return self
            except requests.ConnectionError:
                time.sleep(0.05)
        self.__exit__()
        raise AssertionError(f"the application did not start:\n{self.text()}")

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def get(self, path: str, **options):
        answer = requests.get(f"{self.base}{path}", timeout=10, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def processes(self) -> list[int]:
        """All processes of the session that was started."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            if int(text.rpartition(")")[2].split()[3]) == self.process.pid:
                found.append(int(stat.parent.name))
        return found
