"""The sample application with everything real: its `.env` is migrated, it answers from the vault, and it comes back."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from coffre_server import ArgvWatch, free_port
from real_process import until
from sample_play import PACKAGE, Sample, call

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("postgres", "redis_server")]

# What the application ends with, and what `coffre run` ends with, when they must not start.
CONFIG_EXIT, UNAVAILABLE = 78, 125
ALL = ["health", "earlier", "login", "notes", "session", "cache", "task", "beat"]


@pytest.fixture(params=["coffre run", "the package"])
def sample(request, binary):
    """Once with `coffre run` before each process, once with the application that reads the vault by itself."""
    if request.param == "the package" and not PACKAGE.exists():
        pytest.skip("the Python package is not built: cargo xtask package")
    sample = Sample(binary, *(["--behind-run"] if request.param == "coffre run" else []))
    yield sample
    sample.close()


def test_the_whole_migration(sample):
    """From `.env` into the vault and back, twice: each time the same checks, and the same bytes in every process."""
    away = sample.directory / "before.env"
    with sample.play("--source=dotenv") as play:
        assert play.source == sample.named("dotenv")
        assert play.check() == [name for name in ALL if name != "earlier"]
        count = play.assert_has_the_bytes_of_dotenv()
        untouched = sample.dotenv.read_bytes()
        (sample.project / "coffre.toml").unlink()
        with ArgvWatch() as watch:
            for step in (["init"], ["plan"], ["apply", "-yes"], ["verify"]):
                play.coffre("migrate", *step)
        assert sample.shown_in(b"\n".join(watch.seen)) == [], "a command line shows values"
        assert play.check() == ALL, "it runs on meanwhile"
    assert sample.dotenv.read_bytes() == untouched == away.read_bytes()

    sample.dotenv.unlink()
    with sample.play("--source=vault") as play:
        assert play.source == sample.named("vault")
        assert play.check() == ALL
        assert play.assert_has_the_bytes_of_dotenv() == count
        assert_no_process_shows_values(sample, play)

    sample.dotenv.write_bytes(untouched)
    with sample.play("--use-vault=false") as play:
        assert play.source == sample.named("dotenv (USE_VAULT=false)")
        assert play.check() == ALL
        assert play.assert_has_the_bytes_of_dotenv() == count
        for part in ("web", "worker-1", "worker-2", "beat"):
            assert "USE_VAULT=false" in log(play, part), f"{part} warns"
        play.coffre("migrate", "rollback", "-yes")
        assert "atmr/" not in play.vault("GET", "sys/mounts").body["data"]
        assert play.check() == ALL

    with sample.play("--source=dotenv") as play:
        assert play.source == sample.named("dotenv")
        assert play.check() == ALL
        assert play.assert_has_the_bytes_of_dotenv() == count
    looked = sample.assert_no_value_in_any_file()
    print(f"{count} values the same in 4 runs, 4 x {len(ALL)} checks, no value in {looked} files")


@pytest.fixture
def migrated(sample):
    """Its secrets are in the vault, under the paths of prod; `.env` is still there."""
    with sample.play("--source=dotenv") as play:
        for step in (["plan"], ["apply", "-yes"], ["verify"]):
            play.coffre("migrate", *step)
        play.check()
    return sample


def test_a_bad_day(migrated):
    """The vault is sealed, then killed: what runs goes on, what starts is refused, and nobody opens `.env`."""
    sample = migrated
    # So short that the outage is noticed at once.
    with sample.play("--source=vault", "--soft-ttl=1s") as play:
        env = play.environment() | {"COFFRE_SOFT_TTL": "1s"}
        with Gunicorn(play, "outage", env) as web:
            before = web.health()
            assert (before["source"], before["secrets"]["status"]) == (sample.named("vault"), "ok")
            assert play.vault("PUT", "sys/seal").status == 204
            assert play.check() == ALL
            os.kill(play.status["pids"]["vault"], signal.SIGKILL)
            assert until(lambda: "vault ended" in play.said(), 30)
            for _ in range(3):
                assert play.check() == ALL
                assert web.health()["source"] == sample.named("vault")
            if not sample.behind_run:
                assert until(lambda: web.health()["secrets"]["status"] == "degraded", 20), "it says that it lives from its cache"
                assert play.checks.get("/health")["secrets"]["breaker"] is not None
            play.assert_has_the_bytes_of_dotenv()
        assert sample.dotenv.exists() and web.dotenv_files() == []

        for environment, settings in (("prod", {}), ("staging", {}), ("prod", {"FLASK_ENV": "development"})):
            with Gunicorn(play, "refused", env | {"COFFRE_ENV": environment, "COFFRE_WAIT": "1s"} | settings) as web:
                assert web.process.wait(60) == (UNAVAILABLE if sample.behind_run else CONFIG_EXIT), web.text()
            assert play.status["vault"]["address"] in web.text(), web.text()
            assert web.dotenv_files() == []
            assert sample.shown_in(web.text().encode()) == []

        # The same eyes do see it where it is allowed.
        with Gunicorn(play, "fallback", env | {"COFFRE_ENV": "dev"}) as web:
            assert web.health()["source"] == sample.named("dotenv (vault unavailable)")
        assert str(sample.dotenv) in web.dotenv_files() or ".env" in web.dotenv_files()
    sample.assert_no_value_in_any_file()


class Gunicorn:
    """The web part once more, beside the one of the script, and watched by strace."""

    def __init__(self, play, name, env):
        if not shutil.which("strace"):
            pytest.skip("strace is not installed: apt-get install strace")
        self.play, self.port = play, free_port()
        self.output, self.trace = (play.sample.directory / f"{name}.{kind}" for kind in ("out", "trace"))
        prefix = [str(play.sample.binary), "run", "--"] if play.sample.behind_run else []
        strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=%file", "-o", str(self.trace)]
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "backend.app:create_app()"]
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(
                [*strace, *prefix, *command], cwd=play.sample.project, env=env, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            # strace hands nothing on: the signal is for gunicorn, its only child.
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
                for child in file.read().split():
                    os.kill(int(child), signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise

    def health(self):
        found = []

        def answered():
            assert self.process.poll() is None, self.text()
            try:
                found.append(call("GET", f"http://127.0.0.1:{self.port}/health"))
            except OSError:
                return False
            return found[-1].status == 200

        assert until(answered, 60), self.text()
        return found[-1].body

    def text(self):
        return self.output.read_text(errors="replace")

    def dotenv_files(self):
        """Every `.env` or `.flaskenv` that a system call named, whatever came of it."""
        trace = self.trace.read_text(errors="replace")
        assert "execve(" in trace and trace.count("openat(") > 5, "it saw the start"
        return sorted(set(re.findall(r'"([^"]*\.(?:flask)?env(?:\.[a-z]+)?)"', trace)))


def assert_no_process_shows_values(sample, play):
    """Neither command lines nor, where the application reads the vault by itself, environments."""
    processes = play.processes()
    assert len(processes) > 10, "gunicorn and the workers have children"
    for pid, line in processes.items():
        assert sample.shown_in(line) == [], line
        with open(f"/proc/{pid}/environ", "rb") as environment:
            assert sample.behind_run or sample.shown_in(environment.read()) == [], line


def log(play, part):
    with open(f"{play.status['logs']}/{part}.log", encoding="utf-8", errors="replace") as file:
        return file.read()
