"""Small projects whose values come from a file, and processes that are started in them in every way that `run` knows."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from coffre_server import clean_environment

MANIFEST = 'app = "small"\nenvironments = ["dev", "prod"]\n\n[secret.KEY]\npath = "small/key"\nkind = "password"\n'
SECONDS = 40.0


def shown(returncode: int) -> int:
    """An exit status as a shell shows it."""
    return 128 - returncode if returncode < 0 else returncode


@dataclass
class Small:
    """A directory with a manifest and an `.env`, in development: no server is needed."""

    binary: Path
    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "coffre.toml").write_text(MANIFEST)
        (self.directory / ".env").write_text("KEY=a-value-of-the-small-project\n")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        home = {"HOME": str(self.directory), "COFFRE_ENV": "dev", "PATH": path}
        # Markers of the machine that runs the tests must not turn this into production.
        kept = {name: value for name, value in clean_environment().items() if name not in ("INVOCATION_ID", "KUBERNETES_SERVICE_HOST")}
        self.env = kept | home | self.env

    def start(self, *command, **options) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(list(map(str, command)), cwd=self.directory, env=self.env, **pipes | options)

    def run(self, *flags, command=(), **options) -> subprocess.CompletedProcess:
        """`coffre run` to its end."""
        whole = [str(self.binary), "run", *flags, "--", *map(str, command)]
        return subprocess.run(whole, cwd=self.directory, env=self.env, capture_output=True, text=True, timeout=60, check=False, **options)

    def supervise(self, *command, flags=(), **options) -> subprocess.Popen:
        """`coffre run -supervise`, in a session of its own: without a terminal."""
        return self.start(self.binary, "run", "-supervise", *flags, "--", *command, **{"start_new_session": True} | options)


def wait_until(condition, what: str, seconds: float = SECONDS):
    """What the condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"within {seconds} s: not {what}")


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass
    return found


def state_of(pid: int) -> str:
    """`R`, `S`, `T`, `Z` or, if there is no such process, nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z")


def living_members(group: int) -> list[int]:
    """Processes of a group that run; one that is dead and waits for its parent to look does not count."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            members.append(int(stat.parent.name))
    return members


def end(process: subprocess.Popen) -> None:
    """Cleans up after a test that failed."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
