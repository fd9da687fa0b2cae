"""What the real servers of the tests share: a directory of their own, a free port, an end that is certain."""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from coffre_server import free_port

START_SECONDS = 60.0
STOP_SECONDS = 20.0
# Another process may take the port between asking for it and listening on it.
STARTS_TRIED = 5


class Missing(Exception):
    """The server's programs are not installed. The message says what to install."""


class RealProcess:
    """One server in a temporary directory. `start` and `stop` may alternate, on the same port and data; `close` removes
    everything and happens at the latest when the test run ends."""

    stop_signal = 15
    user: str | None = None

    def __init__(self, name: str):
        self.name = name
        self.directory = Path(tempfile.mkdtemp(prefix=f"coffre-{name}-"))
        self.log = self.directory / f"{name}.log"
        self.port = 0
        self.process: subprocess.Popen | None = None
        self._owner = os.getpid()
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
            if self._started():
                return self
            if "in use" not in self.text():
                break
            # The port; or, after a kill, what the dead server's children are still leaving.
            time.sleep(0.3)
        text = self.text()
        self.close()
        raise AssertionError(f"{self.name} did not start:\n{text}")

    def stop(self) -> None:
        """Ends it in its own way; the data stays."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Ends it and removes its directory."""
        # A process forked from this one is not the owner.
        if os.getpid() == self._owner:
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)

    def text(self) -> str:
        """What it logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _started(self) -> bool:
        with open(self.log, "ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": self.directory}
            # A session of its own: Ctrl-C in the terminal is for the test run, which then stops it in order.
            self.process = subprocess.Popen(ends_with_us(self.command(), self.user), start_new_session=True, **options)
        ready = until(lambda: self.process.poll() is not None or self.answers(), START_SECONDS)
        if ready and self.process.poll() is None:
            return True
        self.kill()
        return False


def ends_with_us(command: list[str], user: str | None) -> list[str]:
    """The command as another user, and so that it dies with this process even if that is killed."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        if user:
            raise Missing("setpriv is missing: apt-get install util-linux")
        return command
    identity = pwd.getpwnam(user) if user else None
    change = ["--reuid", str(identity.pw_uid), "--regid", str(identity.pw_gid), "--clear-groups"] if identity else []
    return [setpriv, "--pdeathsig", "KILL", *change, *command]


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
