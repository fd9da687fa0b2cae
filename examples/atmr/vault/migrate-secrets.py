#!/usr/bin/env python3
"""Moves the secrets of `.env` into the vault: `coffre migrate`, run from the project's directory.

    vault/migrate-secrets.py                       plan, apply, verify; stops at the first that fails
    vault/migrate-secrets.py -yes                  the same without a question before anything is written
    vault/migrate-secrets.py -environment=prod     options are passed on to each step
    vault/migrate-secrets.py status                one step: init, plan, apply, verify, rollback, status

Needs VAULT_ADDR and a token or AppRole, as `coffre` does. COFFRE_BIN names the binary if it is not on PATH.
No value is printed, and `.env` is left as it is.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("plan", "apply", "verify")


def runs(arguments: list[str]) -> list[list[str]]:
    """The command lines behind `coffre migrate`."""
    if arguments and not arguments[0].startswith("-"):
        return [arguments]
    # Only `apply` asks.
    shared = [option for option in arguments if option.lstrip("-") != "yes"]
    return [[step, *(arguments if step == "apply" else shared)] for step in STEPS]


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    binary = os.environ.get("COFFRE_BIN") or shutil.which("coffre")
    binary = binary and os.path.abspath(binary)
    if not binary:
        print("coffre is not on PATH; install it or set COFFRE_BIN", file=sys.stderr)
        return 127
    for run in runs(arguments):
        code = subprocess.run([binary, "migrate", *run], cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
