"""`coffre run -redact`: what the program prints does not show its values, in any of the usual forms, and arrives otherwise unchanged."""

import base64
import hashlib
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from urllib.parse import quote, quote_plus

import pytest

from supervised import SECONDS, Small, end

VALUE = "pa55 w0rd/with'every\"thïng%$\\"


@pytest.fixture
def small(binary, tmp_path):
    small = Small(binary, tmp_path / "small")
    (small.directory / "coffre.toml").write_text(
        'app = "small"\nenvironments = ["dev"]\n[secret.KEY]\npath = "a/key"\nkind = "password"\n[secret.PIN]\npath = "a/pin"\nkind = "password"\n'
    )
    # Single-quoted, as dotenv reads it: only the quote and the backslash are escaped.
    escaped = VALUE.replace("\\", "\\\\").replace("'", "\\'")
    (small.directory / ".env").write_text(f"KEY='{escaped}'\nPIN=4711\n")
    return small


def printed(small, script, *flags) -> subprocess.CompletedProcess:
    return small.run("-redact", *flags, command=(sys.executable, "-Ic", script))


def test_all_forms(small):
    assert printed(small, f"import os; assert os.environ['KEY'] == {VALUE!r}").returncode == 0
    forms = [
        VALUE, json.dumps(VALUE), json.dumps(VALUE, ensure_ascii=False), quote(VALUE, safe=""), quote_plus(VALUE), shlex.quote(VALUE),
        *(base64.b64encode(before + VALUE.encode() + b"after").decode() for before in (b"", b"x", b"xy")),
        *(base64.urlsafe_b64encode(before + VALUE.encode() + b"after").decode() for before in (b"", b"x", b"xy")),
    ]
    for stream in ("stdout", "stderr"):
        script = f"import sys; [print('<<', form, '>>', file=sys.{stream}) for form in {forms!r}]"
        done = printed(small, script)
        shown = getattr(done, stream)
        lines = [line for line in shown.splitlines() if line.startswith("<<")]
        assert len(lines) == len(forms) and all("<KEY>" in line for line in lines), shown
        for part in ("w0rd", "every", base64.b64encode(VALUE.encode()).decode()[4:16]):
            assert part not in shown, part
    assert "too short to be hidden in its output: PIN" in done.stderr


def test_other_bytes_arrive_as_they_are(small):
    """All byte values, more than fits into a pipe, and in the order in which they were written."""
    script = "import os,sys; [os.write(1, bytes((i * j) % 256 for j in range(1000))) for i in range(500)]; os._exit(9)"
    command = [small.binary, "run", "-redact", "--", sys.executable, "-Ic", script]
    done = subprocess.run(command, cwd=small.directory, env=small.env, capture_output=True, timeout=SECONDS, check=False)
    expected = b"".join(bytes((i * j) % 256 for j in range(1000)) for i in range(500))
    assert done.returncode == 9
    assert hashlib.sha256(done.stdout).hexdigest() == hashlib.sha256(expected).hexdigest()


def test_a_value_in_pieces(small):
    script = f"import os,time; value={VALUE!r}.encode(); [(os.write(1, value[i:i+1]), time.sleep(0.005)) for i in range(len(value))]"
    assert printed(small, script).stdout == "<KEY>"


def test_output_arrives_while_the_program_runs(small):
    process = small.supervise(sys.executable, "-Ic", "print('Password: pa55', end='', flush=True); import time; time.sleep(60)", flags=("-redact",))
    try:
        began = time.monotonic()
        assert process.stdout.read(14) == b"Password: pa55", "also if it might be the beginning of a value"
        assert time.monotonic() - began < 10
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143
    finally:
        end(process)


def test_a_reader_that_leaves_ends_the_program_as_always(small):
    command = f"{shlex.quote(str(small.binary))} run -redact -- sh -c 'while echo line; do :; done; exit 7' 2>/dev/null | head -n1"
    done = subprocess.run(["sh", "-c", command], cwd=small.directory, env=small.env, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout == b"line\n"


def test_a_terminal_is_left_alone(small):
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(small.directory)
        script = "import os,sys; print(sys.stdout.isatty(), os.environ['KEY'])"
        os.execvpe(str(small.binary), [str(small.binary), "run", "-redact", "--", sys.executable, "-Ic", script], small.env)
    seen = b""
    try:
        while chunk := os.read(master, 4096):
            seen += chunk
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(master)
    assert f"True {VALUE}".encode() in seen
