"""The sample application with everything real, started by its own script; and searches for values where none may be."""

import contextlib
import hashlib
import hmac
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from dotenv import dotenv_values

from coffre_server import clean_environment
from project import MIN_SEARCHED, SAMPLE, forms
from real_process import until

sys.path.insert(0, str(SAMPLE))
from local.checks import Checks  # noqa: E402
from local.stage import PACKAGE  # noqa: E402
from local.web import call  # noqa: E402

START_SECONDS = 120
STOP_SECONDS = 60
# Where values are meant to be: the file that is migrated, what the servers are made of, and what the checks remember.
HOLDERS = ("before.env", "redis.conf", "admin-password", "checks.json", "init.json", "server-key.pem")


class Sample:
    """One directory for all runs of the script, outside of pytest's, which PostgreSQL's user cannot reach."""

    def __init__(self, binary: Path, *options: str):
        """`options` go with each run of the script."""
        self.binary, self.options = binary, options
        self.directory = Path(tempfile.mkdtemp(prefix="coffre-sample-"))
        self.project, self.dotenv = self.directory / "atmr", self.directory / "atmr/.env"
        home = self.directory / "home"
        home.mkdir()
        path = f"{Path(sys.executable).parent}:{clean_environment()['PATH']}"
        self.env = clean_environment(HOME=str(home), XDG_STATE_HOME=str(home / "state"), COFFRE_BIN=str(binary), PATH=path)

    @property
    def behind_run(self) -> bool:
        return "--behind-run" in self.options

    def named(self, source: str) -> str:
        """As the application calls a source of secrets."""
        return f"coffre run ({source})" if self.behind_run else source

    @contextlib.contextmanager
    def play(self, *options: str):
        """`run-all` with the options, once everything answers; stopped with Ctrl-C."""
        output = self.directory / "run-all.out"
        with open(output, "ab") as out:
            mark = out.tell()
            command = [sys.executable, str(SAMPLE / "run-all"), f"--state={self.directory}", "--fingerprints", "--beat-seconds=1",
                       *self.options, *options]
            process = subprocess.Popen(command, env=self.env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        said = lambda: output.read_bytes()[mark:].decode()  # noqa: E731
        try:
            assert until(lambda: "Ctrl-C stops" in said() or process.poll() is not None, START_SECONDS), said()
            assert process.poll() is None, said()
            yield Play(self, said)
            assert process.poll() is None, said()
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(STOP_SECONDS)
        assert code == 0 and "7 processes stopped" in said(), said()

    def values(self) -> dict[str, str]:
        """As python-dotenv reads the file that was there at first."""
        return {name: value for name, value in dotenv_values(self.directory / "before.env").items() if value is not None}

    def secrets(self) -> dict[str, str]:
        labels = json.loads((SAMPLE / ".env.labels.json").read_text())["labels"]
        found = {name: value for name, value in self.values().items() if labels[name] != "config"}
        return found | {"the old OPENWEATHER_API_KEY": "sample-openweather-old-key"}

    def shown_in(self, content: bytes) -> list[str]:
        return [name for name, value in self.secrets().items() if any(form in content for form in forms(value))]

    def assert_no_value_in_any_file(self) -> int:
        """Logs, audit, journals, databases, status files: everything but the few that hold values by design."""
        looked = 0
        for file in sorted(self.directory.rglob("*")):
            if not file.is_file() or file.name in HOLDERS or file.name.startswith(".env") or file == self.binary:
                continue
            assert self.shown_in(file.read_bytes()) == [], f"{file} shows values"
            looked += 1
        assert len(self.secrets()) >= 14 and all(len(v) >= MIN_SEARCHED for v in self.secrets().values())
        return looked

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Play:
    """A running script; `status` is what it wrote about itself."""

    def __init__(self, sample: Sample, said):
        self.sample, self.said = sample, said
        self.status = json.loads((sample.directory / "status.json").read_text())
        self.checks = Checks(self.status["base"], sample.directory / "checks.json")
        self.init = json.loads(Path(self.status["vault"]["init"]).read_text())

    @property
    def source(self) -> str:
        return self.checks.get("/health")["source"]

    def check(self) -> list[str]:
        """Everything that the script can ask; the names of the checks."""
        return [name for name, _ in self.checks.run()]

    def assert_has_the_bytes_of_dotenv(self) -> int:
        """In the web processes and in the workers, by fingerprints under fresh nonces; how many values that were."""
        nonce = secrets.token_hex(16)
        expected = {
            name: hmac.new(nonce.encode(), value.encode(), hashlib.sha256).hexdigest() for name, value in self.sample.values().items()
        }
        path = f"?nonce={nonce}"
        seen = [self.checks.get(f"/config/fingerprints{path}")["secrets"] for _ in range(6)]
        seen += [self.checks.job(f"/jobs/fingerprints{path}") for _ in range(4)]
        needed = set(self.sample.secrets()) & set(expected)
        for prints in seen:
            assert needed <= set(prints), needed - set(prints)
            assert prints == {name: expected[name] for name in prints}, "other bytes"
        return len(needed)

    def coffre(self, *arguments: str, code: int = 0, **env: str) -> str:
        """A command of the operator, in the project and with the root token; what it printed."""
        vault = {"VAULT_ADDR": self.status["vault"]["address"], "VAULT_CACERT": self.status["vault"]["ca"],
                 "VAULT_TOKEN": self.init["root_token"], "COFFRE_ENV": "prod"}
        done = subprocess.run(
            [str(self.sample.binary), *arguments], cwd=self.sample.project, env=self.sample.env | vault | env,
            capture_output=True, text=True, timeout=120, check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"coffre {arguments} gave {done.returncode}, not {code}\n{said}"
        assert self.sample.shown_in(said.encode()) == [], f"coffre {arguments} shows values"
        return said

    def environment(self) -> dict[str, str]:
        """Of one more process of the application, with an identity of its own."""
        role_id = self.vault("GET", "auth/approle/role/atmr-api/role-id").body["data"]["role_id"]
        secret_id = self.vault("POST", "auth/approle/role/atmr-api/secret-id", {}).body["data"]["secret_id"]
        env = self.sample.env | {"COFFRE_ENV": "prod", "PYTHONUNBUFFERED": "1"}
        env |= {"VAULT_ADDR": self.status["vault"]["address"], "VAULT_CACERT": self.status["vault"]["ca"]}
        env |= {"VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id}
        return env if self.sample.behind_run else env | {"PYTHONPATH": str(PACKAGE)}

    def vault(self, method: str, path: str, body=None):
        headers = {"X-Vault-Token": self.init["root_token"]}
        return call(method, f"{self.status['vault']['address']}/v1/{path}", body, headers, ca=self.status["vault"]["ca"])

    def processes(self) -> dict[int, bytes]:
        """Number and command line of everything that the script started, and of what that started."""
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(stat.parent.name))
        found, left = {}, list(self.status["pids"].values())
        while left:
            pid = left.pop()
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
            left += children.get(pid, [])
        return found
