"""Starting and certainly ending a program that serves."""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 20.0
# Another process may take the port between asking for it and listening on it.
STARTS_TRIED = 5


class Missing(Exception):
    """A program is not installed. The message says what to install."""


class RealProcess:
    """One program with a directory of its own: a temporary one, removed by `close`, unless one is given. `start` and `stop`
    may alternate, on the same port and data. At the latest it ends with this process, even if that is killed."""

    # How it is asked to end, also when this process dies.
    stop_signal = signal.SIGTERM
    user: str | None = None
    environment: Mapping[str, str] | None = None
    # Where it runs; its own directory unless this is set.
    place: Path | None = None

    def __init__(self, name: str, directory: Path | None = None, port: int = 0, log: Path | None = None):
        self.name = name
        self.temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix=f"coffre-{name}-"))
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log = log or self.directory / f"{name}.log"
        self.port = port
        self.process: subprocess.Popen | None = None
        self._owner, self._mark = os.getpid(), 0
        atexit.register(_close, weakref.ref(self))

    def command(self) -> list[str]:
        """The command line for `self.port`."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it is ready for clients."""
        raise NotImplementedError

    def start(self):
        """Returns itself when it answers; AssertionError with its log otherwise."""
        fixed = bool(self.port)
        for _ in range(STARTS_TRIED):
            self.port = self.port if fixed else free_port()
            if self.launch().ready():
                return self
            if "in use" not in self.said():
                break
            # The port; or, after a kill, what the dead server's children are still leaving.
            time.sleep(0.3)
        said = self.said()
        self.close()
        raise AssertionError(f"{self.name} did not start:\n{said}")

    def launch(self):
        """Starts it, and returns itself at once."""
        with open(self.log, "ab") as log:
            self._mark = log.tell()
            # A session of its own: Ctrl-C in the terminal is for whoever started this, and stops it in order.
            self.process = subprocess.Popen(
                ends_with_us(self.command(), self.user, self.stop_signal), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.place or self.directory, env=self.environment,
            )
        return self

    def ready(self) -> bool:
        """Waits until it answers; otherwise ends it."""
        until(lambda: not self.running() or self.answers(), START_SECONDS)
        if self.running() and self.answers():
            return True
        self.kill()
        return False

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        if self.running():
            self.process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Ends it in its own way; the data stays."""
        if self.running():
            self.ask_to_stop()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self.running():
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Ends it, and removes its directory if that was temporary."""
        # A process forked from this one is not the owner.
        if os.getpid() == self._owner:
            self.stop()
            if self.temporary:
                shutil.rmtree(self.directory, ignore_errors=True)

    def text(self) -> str:
        """What it logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def said(self) -> str:
        """The same since its last start."""
        return self.log.read_bytes()[self._mark :].decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ends_with_us(command: list[str], user: str | None = None, by: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command as another user, and so that it gets a signal when this process dies, even if that is killed."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        if user:
            raise Missing("setpriv is missing: apt-get install util-linux")
        return command
    identity = pwd.getpwnam(user) if user else None
    change = ["--reuid", str(identity.pw_uid), "--regid", str(identity.pw_gid), "--clear-groups"] if identity else []
    return [setpriv, "--pdeathsig", by.name.removeprefix("SIG"), *change, *command]


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Asks again and again; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _close(reference) -> None:
    if server := reference():
        server.close()
