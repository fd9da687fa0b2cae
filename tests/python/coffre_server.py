"""Starts, stops and kills real `coffre server` processes, and talks to them."""

import datetime
import ipaddress
import json
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import hvac
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BANNER = "==> Vault server started!"
START_SECONDS = 40.0
SHARES, THRESHOLD = 5, 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of the test run without anything that would steer a vault client or the application."""
    steering = ("VAULT_", "BAO_", "COFFRE_", "FLASK_", "APP_ENV", "ATMR_", "USE_VAULT", "PYTHON_DOTENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | extra


@dataclass
class Server:
    """One server on redb storage in `directory`. It starts uninitialised; `bring_up` does everything."""

    binary: Path
    directory: Path
    tls: bool = False
    authority: bool = False
    port: int = 0
    keys: list[str] = field(default_factory=list)
    root: str = ""
    process: subprocess.Popen | None = None

    banner = BANNER

    def __post_init__(self):
        self.port = self.port or free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "server.log"
        self.audit = self.directory / "audit.log"
        self.ca = self.directory / "server.pem"
        self.config = self.directory / "server.json"
        listener = {"address": f"127.0.0.1:{self.port}", "tls_disable": True}
        if self.tls:
            issue = write_chain if self.authority else write_certificate
            certificate, key = issue(self.ca)
            listener = {"address": listener["address"], "tls_cert_file": str(certificate), "tls_key_file": str(key)}
        self.config.write_text(json.dumps(self.configuration(listener)))

    # What servers of another make do otherwise.

    def configuration(self, listener: dict) -> dict:
        return {"storage": {"redb": {"path": str(self.directory / "coffre.redb")}}, "listener": {"tcp": listener}}

    def command(self) -> list[str]:
        return [str(self.binary), "server", f"-config={self.config}"]

    def record(self) -> None:
        """Every request, in a file."""
        self.client().sys.enable_audit_device("file", options={"file_path": str(self.audit)})

    # What all do.

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def verify(self):
        return str(self.ca) if self.tls else True

    def start(self) -> "Server":
        with open(self.log, "ab") as log:
            mark, env = log.tell(), clean_environment()
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        wait_for_banner(self.process, self.log, mark, self.banner)
        return self

    def bring_up(self) -> "Server":
        self.start()
        try:
            answer = self.client(token="").sys.initialize(SHARES, THRESHOLD)
            self.keys, self.root = answer["keys_base64"], answer["root_token"]
            self.unseal()
            self.record()
        except BaseException:
            self.stop()
            raise
        return self

    def unseal(self) -> None:
        client = self.client(token="")
        for key in self.keys[:THRESHOLD]:
            status = client.sys.submit_unseal_key(key)
        assert status["sealed"] is False, status

    def client(self, token: str | None = None, **options) -> hvac.Client:
        token = self.root if token is None else token
        return hvac.Client(url=self.address, token=token, verify=self.verify, timeout=20, **options)

    def call(self, method: str, path: str, body=None, token: str | None = None, **options) -> requests.Response:
        """One plain request; `path` starts below `/v1/`. Without redirects or retries, so codes are the server's own."""
        headers = {"X-Vault-Token": self.root if token is None else token} | options.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value}
        url = f"{self.address}/v1/{path}"
        return requests.request(
            method, url, json=body, headers=headers, verify=self.verify, allow_redirects=False, timeout=20, **options
        )

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.terminate()
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@dataclass
class DevServer:
    """`coffre server -dev`: unsealed, in memory, with a known root token."""

    binary: Path
    directory: Path
    root: str = "dev-root-token"

    banner = BANNER

    def command(self) -> list[str]:
        return [str(self.binary), "server", "-dev", f"-dev-root-token-id={self.root}", f"-dev-listen-address=127.0.0.1:{self.port}"]

    def start(self) -> "DevServer":
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = self.directory / "dev.log"
        with open(self.log, "wb") as log:
            env = clean_environment(HOME=str(self.directory))
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        wait_for_banner(self.process, self.log, 0, self.banner)
        return self

    def client(self, token: str | None = None) -> hvac.Client:
        return hvac.Client(url=self.address, token=self.root if token is None else token, timeout=20)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)


def wait_for_banner(process: subprocess.Popen, log: Path, mark: int, banner: str = BANNER) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        printed = log.read_bytes()[mark:].decode(errors="replace")
        if banner in printed:
            return
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode} before its banner:\n{printed}")
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"no banner within {START_SECONDS} s:\n{printed}")


def write_certificate(path: Path) -> tuple[Path, Path]:
    """A self-signed server certificate, its own trust anchor, as small teams have them. Returns certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = certificate_of(key, key, "localhost", "localhost", authority=True)
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path, write_key(path.with_name(f"{path.stem}-key.pem"), key)


def write_chain(path: Path) -> tuple[Path, Path]:
    """An authority at `path` and a server certificate that it signed, as strict clients demand. Returns the latter and its key."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    top = certificate_of(authority, authority, "test authority", "test authority", authority=True)
    path.write_bytes(top.public_bytes(serialization.Encoding.PEM))
    leaf_path = path.with_name(f"{path.stem}-leaf.pem")
    leaf = certificate_of(key, authority, "localhost", "test authority", authority=False)
    leaf_path.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    return leaf_path, write_key(path.with_name(f"{path.stem}-key.pem"), key)


def certificate_of(key, signer, subject: str, issuer: str, authority: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


def write_key(path: Path, key) -> Path:
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    path.chmod(0o600)
    return path


class ArgvWatch:
    """Collects the command lines of all processes of the machine while it is entered, to look for values afterwards."""

    def __enter__(self):
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue  # It ended meanwhile.
            time.sleep(0.005)
