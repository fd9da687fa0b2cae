"""The sample application under load while everything rotates on a compressed clock: nothing valid is refused, nothing that is
not valid is accepted, no request fails, nothing is left behind. `COFFRE_ROTATIONS` says how often each target rotates."""

import json
import os
import subprocess
import sys

import pytest

from coffre_server import clean_environment
from project import SAMPLE
from sample_play import PACKAGE

TIMES = int(os.environ.get("COFFRE_ROTATIONS", "2"))
SECONDS = 300 + 60 * TIMES

pytestmark = [pytest.mark.timeout(SECONDS + 300), pytest.mark.usefixtures("postgres", "redis_server")]


def test_everything_rotates_while_the_sample_serves(binary, tmp_path):
    if not PACKAGE.exists():
        pytest.skip("the Python package is not built: cargo xtask package")
    env = clean_environment(HOME=str(tmp_path), COFFRE_BIN=str(binary))
    command = [sys.executable, "-m", "local.rotation", f"--times={TIMES}", f"--timeout={SECONDS}", "--json"]
    done = subprocess.run(command, cwd=SAMPLE, env=env, capture_output=True, text=True, timeout=SECONDS + 280, check=False)
    assert done.stdout, done.stderr
    seen = json.loads(done.stdout)
    assert seen["violations"] == [], seen
    assert done.returncode == 0, done.stderr
    assert (seen["failed"], seen["invalid_that_should_be_valid"], seen["valid_that_should_not_be"], seen["roles_left"]) == (0, 0, 0, 0)
    assert len(seen["targets"]) == 6 and all(row["rotations"] >= TIMES for row in seen["targets"]), seen["targets"]
    # It did look: at requests, at what is refused, at what a key before had encrypted.
    assert seen["requests"] > 100 and seen["accepted"] > 10 and seen["refused"] > 5 and seen["notes_opened"] > 10, seen
    print(json.dumps({**seen, "violations": 0}))
