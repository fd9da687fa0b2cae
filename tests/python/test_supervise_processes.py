"""Real programs under `coffre run -supervise`: gunicorn, a Celery worker, programs that misbehave, and what they leave behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from coffre_server import free_port
from supervised import SECONDS, Small, children_of, end, is_alive, living_members, state_of, wait_until


@pytest.fixture
def small(binary, tmp_path):
    return Small(binary, tmp_path / "small")


@pytest.fixture
def supervise(small):
    """Starts commands in a way that leaves nothing behind."""
    started = []

    def start(*command, **options):
        started.append(small.supervise(*command, **options))
        return started[-1]

    yield start
    for process in started:
        end(process)


def pids(small, name="pids") -> list[int]:
    file = small.directory / name
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def ready(process) -> None:
    line = process.stdout.readline()
    assert line == b"ready\n", (line, process.stderr.read())


def python(script: str):
    return (sys.executable, "-Ic", textwrap.dedent(script))


def program_of(process) -> int:
    return wait_until(lambda: children_of(process.pid), "the program")[0]


WEB = """
import os, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("began", "w").close()
        time.sleep(2)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.environ['KEY'][-7:]}".encode()]
"""


def test_gunicorn_reloads_on_hup_and_finishes_requests_on_term(small, supervise):
    (small.directory / "web.py").write_text(WEB)
    port = free_port()
    process = supervise("gunicorn", "-w2", "-b", f"127.0.0.1:{port}", "web:app", stderr=subprocess.DEVNULL)

    def get(path="/"):
        try:
            answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)
        except requests.ConnectionError:
            return None
        return answer.text.split() if answer.status_code == 200 else None

    worker, key = wait_until(get, "an answer")
    assert key == "project"
    master = program_of(process)
    before = set(wait_until(lambda: len(children_of(master)) == 2 and children_of(master), "two workers"))
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(now := set(children_of(master))) == 2 and not now & before, "new workers")
    assert program_of(process) == master, "the same master"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, "/slow")
        wait_until(lambda: (small.directory / "began").exists(), "the request has begun")
        process.send_signal(signal.SIGTERM)
        assert slow.result(), "the request was finished"
    assert process.wait(SECONDS) == 0
    assert not is_alive(master)


TASKS = """
import os, time
from pathlib import Path
from celery import Celery
app = Celery("tasks", broker="filesystem://", backend="file://" + os.path.abspath("results"))
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.worker_hijack_root_logger = False
@app.task
def work(seconds):
    Path("began").touch()
    time.sleep(seconds)
    Path("done").write_text("done")
    return "done"
"""


@pytest.fixture
def worker(small, supervise):
    (small.directory / "tasks.py").write_text(TASKS)
    for name in ("queue", "results", "control"):
        (small.directory / name).mkdir()

    def start(seconds, *flags):
        command = ("celery", "-A", "tasks", "worker", "-c1", "-P", "prefork", "--without-gossip", "--without-mingle")
        send = [sys.executable, "-c", f"import tasks; tasks.work.delay({seconds})"]
        subprocess.run(send, cwd=small.directory, env=small.env, check=True, timeout=60)
        with open(small.directory / "worker.log", "wb") as log:
            process = supervise(*command, flags=flags, stdout=log, stderr=log)
        wait_until(lambda: (small.directory / "began").exists(), "the task has begun", 40)
        return process

    return start


def test_a_celery_worker_finishes_its_task_on_term(small, worker):
    """Warm shutdown: the signal goes to the worker alone, whose pool processes would die of it."""
    process = worker(4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert (small.directory / "done").read_text() == "done"


def test_a_celery_worker_that_takes_too_long_is_killed(small, worker):
    process = worker(60, "-grace=2s")
    group = os.getpgid(program_of(process))
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 137
    assert 1.5 < time.monotonic() - began < 8
    assert not (small.directory / "done").exists()
    wait_until(lambda: not living_members(group), "nobody of the group lives", 30)


def test_term_to_all_processes_would_lose_the_task(small, worker):
    """What `-signal-group` is for, and why it is not the default."""
    process = worker(8, "-signal-group")
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    assert not (small.directory / "done").exists()


def test_a_program_that_ignores_term_is_killed(supervise):
    process = supervise("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done", flags=("-grace=500ms",))
    ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 137
    assert b"is killed" in process.stderr.read()


def test_another_stop_signal(supervise):
    process = supervise(
        *python("""
            import signal, sys, time
            signal.signal(signal.SIGQUIT, lambda *_: sys.exit(77))
            print("ready", flush=True)
            time.sleep(60)
        """),
        flags=("-stop-signal=QUIT",),
    )
    ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 77


def test_what_is_left_of_the_group_is_ended(small, supervise):
    script = "sh -c 'trap \"\" TERM; echo $$ >> pids; while :; do sleep 0.1; done' & sh -c 'echo $$ >> pids; sleep 100' & sleep 0.5; exit 5"
    process = supervise("sh", "-c", script, flags=("-grace=1s",))
    assert process.wait(SECONDS) == 5
    left = pids(small)
    assert len(left) == 2 and not [pid for pid in left if is_alive(pid)]


def test_a_tree_of_processes_is_ended(small, supervise):
    """A program whose children have children, all of them deaf: nobody of its group survives it."""
    script = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(6):
            os.fork()
        with open("pids", "a") as file:
            print(os.getpid(), file=file, flush=True)
        time.sleep(100)
    """
    process = supervise(*python(script), flags=("-grace=500ms",))
    forked = wait_until(lambda: len(found := pids(small)) == 64 and found, "64 processes", 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 137
    wait_until(lambda: not [pid for pid in forked if is_alive(pid)], "all of them gone", 30)


def test_what_left_the_group_on_purpose_is_let_go(small, supervise):
    """A daemon has a session of its own. It is reaped while the program runs, and not killed with it."""
    process = supervise("sh", "-c", "setsid sh -c 'echo $$ > pids; sleep 100' & sleep 0.5; exit 0")
    assert process.wait(SECONDS) == 0
    [daemon] = pids(small)
    assert is_alive(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_thousand_orphans_leave_no_zombie(supervise):
    script = "i=0; while [ $i -lt 1000 ]; do (true & ) ; i=$((i+1)); done; echo ready; exec sleep 100"
    process = supervise("sh", "-c", script)
    ready(process)
    program = program_of(process)
    wait_until(lambda: children_of(process.pid) == [program], "no child but the program", 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143


def test_a_program_that_closes_its_streams(supervise):
    process = supervise("sh", "-c", "exec 0<&- 1>&- 2>&-; sleep 0.5; exit 21")
    assert process.stdout.read() == b"", "closed"
    assert process.wait(5) == 21


def test_nobody_reads_what_we_say(small):
    """Standard error is a pipe whose reader is gone: that must not end the program."""
    reader, writer = os.pipe()
    process = small.supervise("sh", "-c", "trap '' PIPE; sleep 0.5; exit 22", stderr=writer)
    os.close(writer)
    os.close(reader)
    try:
        assert process.wait(5) == 22
    finally:
        end(process)


def test_signals_during_start_up_are_not_lost(small):
    """The signal may come at any moment after the start of the process: either it ends by it, or the program gets it."""
    ended = {}
    for at in range(40):
        process = small.supervise("sh", "-c", "trap 'exit 44' TERM; while :; do sleep 0.01; done", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(at * 0.002)
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(10)
        finally:
            end(process)
        ended[status] = ended.get(status, 0) + 1
    # Before our handlers, while values are read or before the shell's own handler: by the signal. After that: the program's answer.
    assert set(ended) <= {-15, 143, 44}, ended


def test_if_the_supervisor_is_killed_the_program_goes_on(supervise):
    """Documented: nobody can act after SIGKILL. The program is neither stopped nor restarted; whoever started us ends both (a
    container, a systemd unit)."""
    process = supervise("sh", "-c", "echo ready; exec sleep 100")
    ready(process)
    program = program_of(process)
    process.kill()
    assert process.wait(5) == -9
    time.sleep(0.3)
    assert is_alive(program)
    os.kill(program, signal.SIGKILL)


def test_crashes_are_started_again_when_asked(small, supervise):
    script = "echo $$ >> pids; n=$(wc -l < pids); [ $n -lt 3 ] && exit 9; [ $n -eq 3 ] && kill -SEGV $$; exit 0"
    process = supervise("sh", "-c", script, flags=("-on-crash=backoff",))
    assert process.wait(30) == 0
    assert len(pids(small)) == 4
    said = process.stderr.read()
    assert b"ended with 9; it is started again in 1 s" in said and b"ended by SEGV; it is started again in 4 s" in said


def test_the_program_has_no_core_file(small):
    done = small.run("-supervise", command=("sh", "-c", "ulimit -c; ulimit -Hc"))
    assert done.stdout.split() == ["0", "0"]


def test_a_script_is_run_by_a_shell_only_when_asked(small):
    for flags in ((), ("-supervise",)):
        done = small.run("-shell", *flags, command=("echo $1-$KEY | tr a-z A-Z; exit 3", "argument"))
        assert (done.returncode, done.stdout) == (3, "ARGUMENT-A-VALUE-OF-THE-SMALL-PROJECT\n")
        done = small.run(*flags, command=("echo", "$KEY"))
        assert done.stdout == "$KEY\n"


def test_the_deadline_counts_from_the_start_and_gives_124(small, supervise):
    began = time.monotonic()
    process = supervise("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", flags=("-timeout=1s", "-grace=500ms"))
    assert process.wait(10) == 124
    assert 1.2 < time.monotonic() - began < 5
    small.env |= {"COFFRE_ENV": "prod", "VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "t"}
    done = small.run("-timeout=1s", command=("true",))
    assert done.returncode == 124, done.stderr
    assert "time was up" in done.stderr


def test_a_stopped_program_can_be_resumed_and_ended(supervise):
    process = supervise("sh", "-c", "echo ready; exec sleep 100")
    ready(process)
    program = program_of(process)
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: state_of(program) == "T", "stopped")
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: state_of(program) == "S", "going on")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143


def test_the_parent_of_orphans_is_the_supervisor(small, supervise):
    """Also where it is not the first process: PR_SET_CHILD_SUBREAPER."""
    process = supervise("sh", "-c", "(sh -c 'echo $$ > pids; exec sleep 100' &); sleep 0.3; echo ready; exec sleep 100")
    ready(process)
    [orphan] = pids(small)
    stat = Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143
    assert not is_alive(orphan)
