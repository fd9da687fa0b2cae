"""Runs the conformance script of one client library against a fresh TLS server on redb: `run.py node|go|java|rust`.

The script in the client's own language finds the server in VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN and UNSEAL_KEYS, and
prints its count as the last line, which is also the last line here.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/python"))

from coffre_server import Server, clean_environment  # noqa: E402

BUILDS = REPOSITORY / "target/clients"
COMMANDS = {
    "go": [["go", "run", "."]],
    "node": [["npm", "ci", "--silent", "--no-audit", "--no-fund"], ["node", "main.js"]],
    "java": [["mvn", "-q", "-B", f"-DbuildDirectory={BUILDS / 'java'}", "compile", "exec:java"]],
    "rust": [["cargo", "run", "--quiet", "--locked"]],
}


def main() -> int:
    name = sys.argv[1]
    binary = Path(os.environ.get("COFFRE_BIN") or REPOSITORY / "target/debug/coffre")
    with tempfile.TemporaryDirectory() as directory:
        server = Server(binary, Path(directory), tls=True, authority=True).bring_up()
        try:
            environment = clean_environment(
                VAULT_ADDR=server.address,
                VAULT_CACERT=str(server.ca),
                VAULT_TOKEN=server.root,
                UNSEAL_KEYS=",".join(server.keys),
                CARGO_TARGET_DIR=str(BUILDS / "rust"),
            )
            for command in COMMANDS[name]:
                ended = subprocess.run(command, cwd=place(name), env=environment, stdin=subprocess.DEVNULL, timeout=900)
                if ended.returncode != 0:
                    return ended.returncode
        finally:
            server.stop()
    return 0


def place(name: str) -> Path:
    """Where the script runs. npm installs beside what it runs, so that one runs from a copy among the builds."""
    if name != "node":
        return HERE / name
    copy = BUILDS / name
    shutil.copytree(HERE / name, copy, dirs_exist_ok=True)
    return copy


if __name__ == "__main__":
    sys.exit(main())
