"""A `coffre server` of one node: TLS, redb on disk, an audit log; initialised and unsealed."""

import datetime
import ipaddress
import json
import os
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .process import Missing, RealProcess
from .web import Answer, call

ROOT = Path(__file__).resolve().parents[3]


class VaultServer(RealProcess):
    """Its only unseal key and the root token are kept beside it, as nobody should outside of a laptop."""

    def __init__(self, binary: Path, directory: Path, port: int = 0, log: Path | None = None):
        super().__init__("vault", directory, port, log)
        self.binary = binary
        self.ca = self.directory / "server.pem"
        self.kept = self.directory / "init.json"
        if not self.ca.exists():
            write_certificate(self.ca, self.directory / "server-key.pem")
        self.start()
        keys = self._keys()
        self.root = keys["root_token"]
        self.unseal()
        if "file/" not in self.api("GET", "sys/audit").body["data"]:
            options = {"file_path": str(self.directory / "audit.log")}
            self.api("PUT", "sys/audit/file", {"type": "file", "options": options})

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        listener = {"address": f"127.0.0.1:{self.port}", "tls_cert_file": str(self.ca), "tls_key_file": str(self.directory / "server-key.pem")}
        config = self.directory / "server.json"
        config.write_text(json.dumps({"storage": {"redb": {"path": str(self.directory / "storage")}}, "listener": {"tcp": listener}}))
        return [str(self.binary), "server", f"-config={config}"]

    def answers(self) -> bool:
        try:
            return self.api("GET", "sys/seal-status", token="").status == 200
        except OSError:
            return False

    def api(self, method: str, path: str, body=None, token: str | None = None) -> Answer:
        """One call; `path` is below `/v1/`."""
        token = self.root if token is None else token
        headers = {"X-Vault-Token": token} if token else {}
        return call(method, f"{self.address}/v1/{path}", body, headers, ca=str(self.ca))

    def unseal(self) -> None:
        self.api("PUT", "sys/unseal", {"key": self._keys()["keys_base64"][0]}, token="")

    def identity(self, role: str) -> dict[str, str]:
        """A fresh secret_id of the role, as the environment of a program. AssertionError if there is no such role."""
        found = self.api("GET", f"auth/approle/role/{role}/role-id")
        if found.status != 200:
            raise AssertionError(f"the vault has no role {role}; migrate first: coffre migrate plan, apply, verify")
        made = self.api("POST", f"auth/approle/role/{role}/secret-id", {})
        return {
            "VAULT_ADDR": self.address,
            "VAULT_CACERT": str(self.ca),
            "VAULT_ROLE_ID": found.body["data"]["role_id"],
            "VAULT_SECRET_ID": made.body["data"]["secret_id"],
        }

    def _keys(self) -> dict:
        if not self.kept.exists():
            made = self.api("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
            self.kept.touch(0o600)
            self.kept.write_text(json.dumps(made.body))
        return json.loads(self.kept.read_text())


def find_binary() -> Path:
    """COFFRE_BIN, else `coffre` on PATH, else the repository's own build. `Missing` if there is none."""
    builds = [ROOT / "target/release/coffre", ROOT / "target/debug/coffre"]
    given = os.environ.get("COFFRE_BIN") or shutil.which("coffre") or next((b for b in builds if b.is_file()), None)
    if not given:
        raise Missing("coffre is not on PATH; install it, or set COFFRE_BIN")
    return Path(given).resolve()


def write_certificate(path: Path, key_path: Path) -> None:
    """A self-signed certificate of this machine, its own trust anchor."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=30))
    builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    key_path.touch(0o600)
    form = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
