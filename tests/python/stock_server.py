"""A server of another make, found on PATH, in the place of our own: everything of the client side must get on with it.

With `COFFRE_TEST_SERVER=bao` the tests of the client side stand on such a server instead of ours.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import hvac
import requests
from hvac.adapters import JSONAdapter

from coffre_server import DevServer, Server, free_port

# What tests are told to stand on: a program on PATH, or nothing for our own.
CHOSEN = os.environ.get("COFFRE_TEST_SERVER", "")
# Such a server makes a new KV mount usable a moment after it has said that it is there.
UPGRADING = "Upgrading from non-versioned to versioned data"


def programs() -> list[str]:
    """Those that this machine has."""
    return [name for name in ("bao", "vault") if shutil.which(name)]


def version(program: str) -> str:
    return subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.strip()


class Patient(JSONAdapter):
    """Tests prepare their mounts with this: it waits for a mount that upgrades itself."""

    def request(self, *arguments, **options):
        deadline = time.monotonic() + 20
        while True:
            try:
                return super().request(*arguments, **options)
            except hvac.exceptions.InvalidRequest as refusal:
                if UPGRADING not in str(refusal) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@dataclass
class StockServer(Server):
    """On raft storage, a cluster of one."""

    program: str = "bao"

    banner = "server started!"

    def command(self) -> list[str]:
        return [str(shutil.which(self.program)), "server", f"-config={self.config}"]

    def configuration(self, listener: dict) -> dict:
        folder = self.directory / "raft"
        folder.mkdir(exist_ok=True)
        audit = {"type": "file", "path": "file", "options": {"file_path": str(self.audit)}}
        return {
            "storage": {"raft": {"path": str(folder), "node_id": "one"}},
            "listener": {"tcp": listener},
            "api_addr": self.address,
            "cluster_addr": f"https://127.0.0.1:{free_port()}",
        } | ({"audit": audit} if self.program == "bao" else {"disable_mlock": True})

    def record(self) -> None:
        """What answers are audited is in the configuration."""
        if self.program != "bao":
            super().record()

    def unseal(self) -> None:
        super().unseal()
        wait_until_active(self.address, self.verify)

    def client(self, token=None, **options) -> hvac.Client:
        return super().client(token, adapter=Patient, **options)

    def call(self, method, path, body=None, token=None, **options) -> requests.Response:
        deadline = time.monotonic() + 20
        while True:
            answer = super().call(method, path, body, token, **options)
            if UPGRADING not in answer.text or time.monotonic() > deadline:
                return answer
            time.sleep(0.02)


@dataclass
class StockDevServer(DevServer):
    program: str = "bao"

    banner = "server started!"

    def command(self) -> list[str]:
        return [str(shutil.which(self.program)), *super().command()[1:]]

    def client(self, token=None) -> hvac.Client:
        return hvac.Client(url=self.address, token=self.root if token is None else token, timeout=20, adapter=Patient)


def wait_until_active(address: str, verify) -> None:
    """An unsealed node of a cluster leads it a moment later."""
    deadline = time.monotonic() + 20
    while requests.get(f"{address}/v1/sys/health", verify=verify, timeout=5).status_code != 200:
        assert time.monotonic() < deadline, f"{address} does not lead"
        time.sleep(0.02)


def make(kind: type, binary: Path, directory: Path, **how):
    """A server of this kind: our own, or the one that was chosen."""
    if not CHOSEN:
        return kind(binary, directory, **how)
    stock = {Server: StockServer, DevServer: StockDevServer}[kind]
    return stock(binary, directory, program=CHOSEN, **how)
