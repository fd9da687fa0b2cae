"""The matrix of exit codes and signals: what `coffre run` ends with is what the command itself would have ended with, whether it
replaces itself or stays, at a terminal or not, as the first process of a container or not. The count is printed."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from supervised import SECONDS, Small, children_of, end, shown, wait_until

CODES = [0, 1, 2, 42, 124, 125, 126, 127, 128, 255]
# What no process sees; what says that the supervisor itself is at fault; what is about its own writes. The C library keeps 32 and 33.
NOT_PASSED = {"KILL": 9, "STOP": 19, "ILL": 4, "TRAP": 5, "BUS": 7, "FPE": 8, "SEGV": 11, "SYS": 31, "PIPE": 13}
SIGNALS = [number for number in range(1, 65) if number not in (*NOT_PASSED.values(), 32, 33)]
# The supervisor's own children and sockets cause these; programs ignore them unless they say otherwise.
OWN = [17, 23]
WAITER = ("sh", "-c", "echo ready; exec sleep 60")
MODES = {"direct": (), "exec": ("run", "--"), "supervised": ("run", "-supervise", "--")}
AT_ONCE = 6
JOBS = Path(__file__).with_name("job_control.py")


def may_unshare() -> bool:
    tried = subprocess.run(["unshare", "-fp", "--mount-proc", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture
def small(binary, tmp_path):
    return Small(binary, tmp_path / "small")


@pytest.fixture(scope="module")
def count(request):
    """Rows of the matrix that held, by column."""
    counted = {}
    yield counted
    rows = ", ".join(f"{column} {rows}" for column, rows in counted.items())
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nexit codes and signals: {sum(counted.values())} rows ({rows})")


def prefix(small, mode) -> list[str]:
    return [str(small.binary), *MODES[mode]] if mode != "direct" else []


def in_parallel(row, cases) -> list:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(row, cases))


def after_signal(process, target: int, number: int) -> int:
    """Waits until the program is ready, sends the signal; what does not end by it is ended by TERM."""
    assert process.stdout.readline() == b"ready\n", process.stderr.read()
    os.kill(target, number)
    try:
        return process.wait(0.4)
    except subprocess.TimeoutExpired:
        for following in (signal.SIGCONT, signal.SIGTERM):
            os.kill(target, following)
        return process.wait(SECONDS)


def signalled(small, mode, number) -> int:
    process = small.start(*prefix(small, mode), *WAITER, process_group=0)
    try:
        return shown(after_signal(process, process.pid, number))
    finally:
        end(process)


@pytest.mark.parametrize("mode", ["exec", "supervised"])
def test_exit_codes(small, count, mode):
    def row(code):
        return small.start(*prefix(small, mode), "sh", "-c", f"exit {code}").wait(SECONDS)

    assert in_parallel(row, CODES) == CODES
    count[f"codes/{mode}"] = len(CODES)


@pytest.mark.parametrize("mode", ["exec", "supervised"])
def test_signals_without_a_terminal(small, count, mode):
    def row(number):
        return number, signalled(small, "direct", number), signalled(small, mode, number)

    rows = in_parallel(row, SIGNALS)
    assert [row for row in rows if row[1] != row[2]] == []
    assert {direct for _, direct, _ in rows} >= {129, 130, 131, 138, 143, 162}
    count[f"signals/{mode}"] = len(rows)


def test_a_child_that_dies_by_its_own_signal(small, count):
    """Also by those that are not passed on, but for those that only stop it."""

    def row(number):
        script = f"import os,signal;signal.signal({number},signal.SIG_DFL) if {number}!=9 else 0;os.kill(os.getpid(),{number});os._exit(7)"
        return number, small.run("-supervise", command=(sys.executable, "-Ic", script)).returncode

    numbers = [number for number in range(1, 65) if number not in (19, 20, 21, 22, 32, 33)]
    rows = in_parallel(row, numbers)
    harmless = (*OWN, signal.SIGCONT, signal.SIGWINCH)
    assert rows == [(number, 7 if number in harmless else 128 + number) for number in numbers]
    count["own signal"] = len(rows)


class AsFirst:
    """A command as the first process of its own namespace, as in a container."""

    def __init__(self, small, mode, *command):
        whole = ["unshare", "-fp", "--mount-proc", "--kill-child", *prefix(small, mode), *command]
        self.process = small.start(*whole, start_new_session=True)

    def pid(self) -> int:
        return wait_until(lambda: children_of(self.process.pid), "the first process")[0]


@pytest.mark.skipif(not may_unshare(), reason="no new PID namespaces here: only the subreaper is tested")
class TestAsPid1:
    @pytest.mark.parametrize("mode", ["exec", "supervised"])
    def test_exit_codes(self, small, count, mode):
        def row(code):
            return AsFirst(small, mode, "sh", "-c", f"exit {code}").process.wait(SECONDS)

        assert in_parallel(row, CODES) == CODES
        count[f"codes/{mode}/PID 1"] = len(CODES)

    def test_signals(self, small, count):
        """The kernel discards signals for a first process that does not listen; the supervisor does."""

        def row(number):
            first = AsFirst(small, "supervised", *WAITER)
            try:
                # unshare passes on how the supervisor ended.
                return number, signalled(small, "direct", number), shown(after_signal(first.process, first.pid(), number))
            finally:
                end(first.process)

        rows = in_parallel(row, SIGNALS)
        assert [row for row in rows if row[1] != row[2]] == []
        count["signals/supervised/PID 1"] = len(rows)

    @pytest.mark.parametrize("mode", ["exec", "supervised"])
    def test_waiting_for_the_server_can_be_ended(self, small, count, mode):
        small.env |= {"COFFRE_ENV": "prod", "VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "t", "COFFRE_WAIT": "60s"}
        first = AsFirst(small, mode, *WAITER)
        try:
            assert b"waiting up to" in first.process.stderr.readline()
            os.kill(first.pid(), signal.SIGTERM)
            assert first.process.wait(5) == 143
        finally:
            end(first.process)
        count[f"start-up/{mode}/PID 1"] = 1

    def test_orphans_are_reaped(self, small):
        script = "for i in $(seq 20); do (sh -c 'exit 3' &) ; done; sleep 0.5; echo ready; exec sleep 60"
        first = AsFirst(small, "supervised", "sh", "-c", script)
        try:
            assert first.process.stdout.readline() == b"ready\n"
            pid = first.pid()
            assert len(children_of(pid)) == 1, "the program alone is left"
            os.kill(pid, signal.SIGTERM)
            assert first.process.wait(5) == 143
        finally:
            end(first.process)


class Terminal:
    """A command in the foreground of a terminal, started by something that does job control as a shell does."""

    def __init__(self, small, *command):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(small.directory)
            os.execvpe(sys.executable, [sys.executable, str(JOBS), *map(str, command)], small.env)
        self.seen = b""

    def until(self, pattern: bytes, seconds=SECONDS) -> re.Match:
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern} in {self.seen}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 4096)
                except OSError:
                    raise AssertionError(f"no {pattern} in {self.seen}") from None
        return found

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def job(self) -> int:
        return int(self.until(rb"JOB (\d+)\r?\n")[1])

    def status(self) -> int:
        return shown(int(self.until(rb"END (-?\d+)\r?\n")[1]))

    def close(self) -> None:
        os.close(self.master)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminals(small):
    opened = []

    def open_one(mode, *command):
        opened.append(Terminal(small, *prefix(small, mode), *command))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("mode", ["exec", "supervised"])
class TestAtATerminal:
    def test_exit_codes(self, terminals, count, mode):
        for code in CODES:
            assert terminals(mode, "sh", "-c", f"exit {code}").status() == code
        count[f"codes/{mode}/tty"] = len(CODES)

    def test_signals_that_are_sent(self, terminals, count, mode):
        # The six that a terminal sends are typed below.
        sent = [number for number in SIGNALS if number not in (2, 3, 20, 21, 22, 28, *OWN)]

        def row(number):
            ended = []
            for how in ("direct", mode):
                terminal = terminals(how, *WAITER)
                pid = terminal.job()
                terminal.until(b"ready")
                os.kill(pid, number)
                if number == signal.SIGCONT:
                    os.kill(pid, signal.SIGTERM)
                ended.append(terminal.status())
            return number, *ended

        rows = in_parallel(row, sent)
        assert [row for row in rows if row[1] != row[2]] == []
        count[f"signals/{mode}/tty"] = len(rows)

    @pytest.mark.parametrize(("key", "number"), [(b"\x03", 2), (b"\x1c", 3)])
    def test_keys_arrive_once(self, terminals, count, mode, key, number):
        program = (
            "import signal,sys,time\n"
            f"got=[]\nsignal.signal({number},lambda n,f:(got.append(n),print('got',len(got),flush=True)))\n"
            "print('ready',flush=True)\ntime.sleep(1)\nsys.exit(40+len(got))"
        )
        terminal = terminals(mode, sys.executable, "-c", program)
        terminal.until(b"ready")
        terminal.type(key)
        assert terminal.status() == 41, "once, not twice"
        terminal = terminals(mode, *WAITER)
        terminal.until(b"ready")
        terminal.type(key)
        assert terminal.status() == 128 + number
        count[f"keys/{mode}/tty"] = count.get(f"keys/{mode}/tty", 0) + 2

    def test_suspend_and_resume(self, terminals, count, mode):
        terminal = terminals(mode, sys.executable, "-c", "import time;print('ready',flush=True);time.sleep(1);print('on',flush=True)")
        terminal.until(b"ready")
        terminal.type(b"\x1a")
        terminal.until(b"STOPPED")
        terminal.until(b"on")
        assert terminal.status() == 0
        count[f"keys/{mode}/tty"] = count.get(f"keys/{mode}/tty", 0) + 1

    def test_the_program_reads_the_terminal(self, terminals, count, mode):
        terminal = terminals(mode, "sh", "-c", "echo ready; read line; test \"$line\" = hello && exit 33")
        terminal.until(b"ready")
        terminal.type(b"hello\n")
        assert terminal.status() == 33
        count[f"keys/{mode}/tty"] = count.get(f"keys/{mode}/tty", 0) + 1


@pytest.mark.parametrize(("ignored", "flags"), [("HUP", ("-supervise",)), ("INT", ("-supervise",)), ("HUP", ())])
def test_what_was_ignored_stays_ignored(small, count, ignored, flags):
    """`nohup coffre run …` and `coffre run … &` in a script mean what they mean for any command."""
    command = f"trap '' {ignored}; exec \"$0\" run {' '.join(flags)} -- sh -c 'echo ready; exec sleep 60'"
    process = small.start("sh", "-c", command, small.binary, process_group=0)
    try:
        assert shown(after_signal(process, process.pid, signal.Signals[f"SIG{ignored}"])) == 143
    finally:
        end(process)
    count["ignored"] = count.get("ignored", 0) + 1


def test_our_own_failures_are_told_apart(small, count):
    (small.directory / "plain.txt").write_text("no program\n")
    for flags in ((), ("-supervise",)):
        for command, code in ((("nowhere-to-be-found",), 127), (("./plain.txt",), 126), ((".",), 126)):
            done = small.run(*flags, command=command)
            assert done.returncode == code, done.stderr
            assert "cannot start" in done.stderr
        assert small.run(*flags, command=()).returncode == 125
        assert small.run(*flags, "-no-such-flag", command=("true",)).returncode == 125
        assert small.run(*flags, "-manifest=none.toml", command=("true",)).returncode == 125
    assert small.run("-watch", "-on-change=signal:HUP", command=("true",)).returncode == 125
    assert small.run("-timeout=300ms", command=("sleep", "60")).returncode == 124
    count["own failures"] = 14
