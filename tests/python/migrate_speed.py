"""How long it takes to move many secrets into a fresh server and to read them back: `migrate_speed.py [COFFRE] [MANY]`.

The target is 1,000 secrets, migrated and verified, in 2 seconds (release build)."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from coffre_server import Server, clean_environment  # noqa: E402


def measure(binary, many=1000):
    """Seconds of each step against a server of the same binary; every secret in a document of its own."""
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        server = Server(binary, directory / "server").bring_up()
        try:
            work = directory / "app"
            work.mkdir()
            names = [f"K{number}_TOKEN" for number in range(many)]
            (work / ".env").write_text("".join(f"{name}={secrets.token_hex(16)}\n" for name in names))
            entries = "".join(f'[secret.{name}]\npath = "many/{name.lower()}"\n' for name in names)
            (work / "coffre.toml").write_text(f'app = "speed"\nenvironments = ["prod"]\n{entries}')
            env = clean_environment(
                HOME=str(directory), XDG_STATE_HOME=str(directory / "state"), PATH=os.environ["PATH"],
                VAULT_ADDR=server.address, VAULT_TOKEN=server.root,
            )
            taken = {}
            for step in ["plan", "apply", "verify"]:
                began = time.monotonic()
                options = ["-yes"] if step == "apply" else []
                subprocess.run([str(binary), "migrate", step, *options], cwd=work, env=env, check=True, capture_output=True)
                taken[step] = round(time.monotonic() - began, 3)
            taken["migrated and verified"] = round(taken["apply"] + taken["verify"], 3)
            return taken
        finally:
            server.stop()


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    chosen = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else root / "target/release/coffre"
    print(json.dumps(measure(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else 1000)))
