"""A host with `coffre agent`: its configuration, its process, its socket, and programs that ask it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import hvac
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from coffre_server import Server, clean_environment

ROLE = "atmr-api"
POLICY = """
path "atmr/data/prod/*" { capabilities = ["read"] }
path "atmr/data/prod/_rot/ack/*" { capabilities = ["create", "update"] }
path "auth/approle/role/atmr-api/secret-id" { capabilities = ["update"] }
"""
START_SECONDS = 30.0


def prepare(server: Server, **role) -> None:
    """A KV 2 mount `atmr`, an AppRole and its policy, as the migration makes them."""
    client = server.client()
    client.sys.enable_secrets_engine("kv", path="atmr", options={"version": "2"})
    client.sys.create_or_update_policy(ROLE, POLICY)
    client.sys.enable_auth_method("approle")
    set_role(server, **role)


def set_role(server: Server, **role) -> None:
    settings = {"token_policies": [ROLE], "token_ttl": "1h", "token_max_ttl": "2h"} | role
    assert server.call("POST", f"auth/approle/role/{ROLE}", settings).status_code == 204


def put(server: Server, path: str, **data: str) -> None:
    server.client().secrets.kv.v2.create_or_update_secret(path, data, mount_point="atmr")


@dataclass
class Agent:
    """One agent. `extra` is appended to its configuration."""

    binary: Path
    directory: Path
    server: Server
    extra: str = ""
    auth: str = ""
    cache: str = 'soft = "1s"\nhard = "1h"\nnegative = "1s"'
    address: str = ""
    listen: str = ""
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    def __post_init__(self):
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.run = self.directory / "run"
        self.run.mkdir(exist_ok=True, mode=0o755)
        self.socket = self.run / "agent.sock"
        self.log = self.directory / "agent.log"
        self.config = self.directory / "agent.toml"
        self.role_id = self.directory / "role_id"
        self.secret_id = self.directory / "secret_id"

    def identify(self) -> "Agent":
        """Puts role_id and a plain secret_id where the agent reads them."""
        approle = self.server.client().auth.approle
        self.role_id.write_text(approle.read_role_id(ROLE)["data"]["role_id"] + "\n")
        self.secret_id.write_text(approle.generate_secret_id(ROLE)["data"]["secret_id"] + "\n")
        return self

    def configure(self, extra: str | None = None) -> "Agent":
        self.extra = self.extra if extra is None else extra
        auth = self.auth or f'method = "approle"\nrole_id_file = "{self.role_id}"\nsecret_id_file = "{self.secret_id}"'
        self.config.write_text(
            f'[server]\naddress = "{self.address or self.server.address}"\ntimeout = "3s"\n\n[auto_auth]\n{auth}\n\n'
            f'[listener]\nsocket = "{self.socket}"\ntimeout = "3s"\n{self.listen}\n\n[cache]\n{self.cache}\n\n{self.extra}\n'
        )
        return self

    def check(self) -> subprocess.CompletedProcess:
        command = [str(self.binary), "agent", f"-config={self.config}", "-check"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env=clean_environment(), check=False)

    def spawn(self, *prefix: str) -> "Agent":
        command = [*prefix, str(self.binary), "agent", f"-config={self.config}", "-log-level=debug"]
        with open(self.log, "ab") as log:
            env = clean_environment() | self.env
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        return self

    def start(self, *prefix: str) -> "Agent":
        """Until the agent says that everything is well."""
        self.configure().spawn(*prefix)
        self.wait_for(lambda: self.health()[0] == 200, "health")
        return self

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, condition, what: str, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is None or self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()}"
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException, requests.RequestException):
                pass
            time.sleep(0.02)
        raise AssertionError(f"no {what} within {seconds} s:\n{self.text()}")

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """One plain request over the socket, with the header that the agent wants unless told otherwise."""
        sent = {"X-Vault-Request": "true"} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = UnixConnection(str(self.socket))
        connection.request(method, path, headers={name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        body = answer.data.decode()
        connection.close()
        return answer.status, body

    def data(self, path: str) -> dict:
        status, body = self.get(f"/v1/atmr/data/{path}")
        assert status == 200, body
        return json.loads(body)["data"]["data"]

    def health(self) -> tuple[int, dict]:
        status, body = self.get("/health")
        return status, json.loads(body)

    def hvac(self) -> hvac.Client:
        session = requests.Session()
        session.mount("http://", UnixAdapter(str(self.socket)))
        return hvac.Client(url="http://agent", session=session, token="")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(15)

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_) -> None:
        """Politely first: one that is killed leaves its programs behind."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class UnixConnection(HTTPConnection):
    """HTTP over the agent's socket."""

    def __init__(self, path: str, **_):
        super().__init__("agent", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


class UnixPool(HTTPConnectionPool):
    def __init__(self, path: str):
        super().__init__("agent")
        self.path = path

    def _new_conn(self):
        return UnixConnection(self.path)


class UnixAdapter(HTTPAdapter):
    """For requests, and so for hvac."""

    def __init__(self, path: str):
        super().__init__()
        self.pool = UnixPool(path)

    def get_connection_with_tls_context(self, *_, **__):
        return self.pool

    def get_connection(self, *_, **__):
        return self.pool


def audit_reads(server: Server, path: str) -> int:
    """How often the server was asked for a path."""
    lines = server.audit.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    reads = [entry["request"] for entry in entries if entry.get("type") == "request" and entry["request"].get("operation") == "read"]
    return sum(request["path"] == path for request in reads)


def in_memory(pid: int, value: str) -> int:
    """How often a value stands in the readable memory of a process. Root alone may look."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            begin, end = (int(number, 16) for number in span.split("-"))
            if "r" not in rights or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            try:
                memory.seek(begin)
                found += memory.read(end - begin).count(value.encode())
            except (OSError, OverflowError):
                continue  # A mapping that went away, or that is no memory.
    return found


def as_root() -> bool:
    return os.geteuid() == 0
