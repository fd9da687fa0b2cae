"""Programs that the agent starts with secrets in their environment: values, restarts, ends, and what goes on without a server."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from agent_host import Agent, as_root, prepare, put
from coffre_server import ArgvWatch

FIRST, SECOND, THIRD = "canary-first-0001", "canary-second-0002", "canary-third-0003"
CACHE = 'soft = "300ms"\nhard = "1h"\nnegative = "300ms"'
# Writes one line for each start, with what it got, and stays.
WEB = 'echo "$$ $KEY ${VAULT_TOKEN-none} ${NOTIFY_SOCKET-none} $COFFRE_SOURCE" >> started; trap "exit 7" TERM; while :; do sleep 0.05; done'


@pytest.fixture(scope="module")
def prepared(server):
    prepare(server)
    return server


@pytest.fixture
def agent(binary, prepared, tmp_path):
    put(prepared, "prod/key", value=FIRST)
    env = {"VAULT_TOKEN": "not-for-programs", "NOTIFY_SOCKET": str(tmp_path / "nobody")}
    with Agent(binary, tmp_path / "agent", prepared, cache=CACHE, env=env).identify() as agent:
        yield agent


def process(agent: Agent, script: str, *more: str, name: str = "web") -> str:
    script = f"cd {agent.directory}; {script}"
    return "\n".join(["[[process]]", f'name = "{name}"', f"command = ['sh', '-c', '''{script}''']",
                      'secrets = { KEY = "atmr/data/prod/key#value" }', *more, ""])


def starts(agent: Agent) -> list[list[str]]:
    path = agent.directory / "started"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def shown(agent: Agent, name: str = "web") -> dict:
    return next(process for process in agent.health()[1]["processes"] if process["name"] == name)


def trouble(agent: Agent, part: str = "process web") -> str:
    return agent.health()[1]["parts"][part].get("error", "")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_gets_its_values_and_one_restart_for_new_ones(agent, prepared):
    agent.extra = process(agent, WEB, 'min_uptime = "1s"')
    with ArgvWatch() as argv:
        agent.start()
        agent.wait_for(lambda: len(starts(agent)) == 1, "start")
        assert starts(agent)[0][1:] == [FIRST, "none", "none", "vault"]
        assert shown(agent)["state"] == "running" and shown(agent)["pid"] == int(starts(agent)[0][0])
        put(prepared, "prod/key", value=FIRST)
        time.sleep(4)
        assert len(starts(agent)) == 1, "a new version with the same value is no change"
        put(prepared, "prod/key", value=SECOND)
        time.sleep(0.8)
        put(prepared, "prod/key", value=THIRD)
        agent.wait_for(lambda: len(starts(agent)) == 2, "restart", 30)
        time.sleep(3)
        assert [line[1] for line in starts(agent)] == [FIRST, THIRD], "changes that come together are one restart"
        assert not alive(int(starts(agent)[0][0])) and shown(agent)["starts"] == 2
        assert agent.health()[0] == 200
    seen = b"".join(argv.seen) + agent.text().encode()
    for value in (FIRST, SECOND, THIRD):
        assert value.encode() not in seen


def test_term_stops_all_within_their_grace(agent):
    stubborn = 'echo "$$ x" >> started; trap "" TERM; while :; do sleep 0.05; done'
    agent.extra = process(agent, WEB) + process(agent, stubborn, 'grace = "1s"', name="stubborn")
    agent.start()
    agent.wait_for(lambda: len(starts(agent)) == 2, "both")
    pids = [int(line[0]) for line in starts(agent)]
    began = time.monotonic()
    assert agent.stop() == 0, "whoever asks for the end of the agent gets no failure"
    assert 0.9 < time.monotonic() - began < 5
    assert not any(alive(pid) for pid in pids)
    log = agent.text()
    assert "code=7" in log and "code=137" in log, "exit codes are told"


def test_the_agent_ends_as_its_program_does(agent):
    agent.extra = process(agent, "sleep 0.5; exit 42")
    agent.configure().spawn()
    assert agent.process.wait(15) == 42


def test_a_crash_is_followed_by_a_new_start(agent):
    agent.extra = process(agent, 'echo "$$ $KEY" >> started; [ -e well ] || exit 3; exec sleep 100', 'on_crash = "backoff"')
    agent.configure().spawn()
    agent.wait_for(lambda: "started again" in trouble(agent), "red health")
    (agent.directory / "well").touch()
    agent.wait_for(lambda: agent.health()[0] == 200, "green health")
    assert len(starts(agent)) >= 2 and shown(agent)["state"] == "running"


def test_values_that_a_program_does_not_live_with_are_taken_back_once(agent, prepared):
    agent.extra = process(agent, f'echo "$$ $KEY" >> started; [ "$KEY" = {FIRST} ] || exit 3; exec sleep 100', 'min_uptime = "1s"')
    agent.start()
    time.sleep(1.2)
    put(prepared, "prod/key", value=SECOND)
    agent.wait_for(lambda: shown(agent)["reverted"], "revert", 45)
    time.sleep(2.5)
    assert [line[1] for line in starts(agent)] == [FIRST] + [SECOND] * 3 + [FIRST]
    assert "older values" in trouble(agent)


def test_a_missing_value_is_waited_for(agent, prepared):
    agent.extra = process(agent, WEB).replace("prod/key#value", "prod/later#value")
    agent.configure().spawn()
    agent.wait_for(lambda: "atmr/data/prod/later" in trouble(agent), "red health")
    assert starts(agent) == []
    put(prepared, "prod/later", value=SECOND)
    agent.wait_for(lambda: agent.health()[0] == 200, "green health")
    assert starts(agent)[0][1] == SECOND


def test_neither_a_dead_server_nor_an_expired_value_stops_a_program(binary, fresh_server, tmp_path):
    prepare(fresh_server)
    put(fresh_server, "prod/key", value=FIRST)
    cache = 'soft = "300ms"\nhard = "2s"\nnegative = "300ms"\nwait = "300ms"'
    with Agent(binary, tmp_path / "agent", fresh_server, cache=cache).identify() as agent:
        agent.extra = process(agent, WEB)
        agent.start()
        fresh_server.kill()
        agent.wait_for(lambda: "cannot be confirmed" in trouble(agent), "red health", 45)
        time.sleep(1)
        assert len(starts(agent)) == 1 and shown(agent)["state"] == "running" and alive(shown(agent)["pid"])


@pytest.mark.parametrize("first_process", [False, True], ids=["service", "container"])
def test_templates_programs_keep_their_exit_status(agent, prepared, first_process):
    if first_process and not (as_root() and shutil.which("unshare")):
        pytest.skip("a namespace of processes needs root")
    allowed = agent.directory / "allowed"
    outs = [agent.run / f"key{number}" for number in range(8)]
    template = "".join(
        "\n".join(["[[template]]", "contents = '''{{ secret('atmr/data/prod/key', 'value') }}'''", f'destination = "{out}"',
                   f"command = ['sh', '-c', '[ -e {allowed} ] || exit 9']", ""])
        for out in outs
    )
    agent.extra = process(agent, WEB, 'on_change = "none"') + template
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if first_process else []
    agent.configure().spawn(*prefix)
    for out in outs:
        agent.wait_for(lambda out=out: trouble(agent, f"template {out}") != "", "red health")
    allowed.touch()
    agent.wait_for(lambda: agent.health()[0] == 200, "green health")
    told = [line for line in agent.text().splitlines() if "but `command` failed" in line]
    assert len(told) >= 8 and all("exit status: 9" in line for line in told), told
    assert shown(agent)["state"] == "running"


def test_reading_the_configuration_anew_leaves_programs_alone(agent):
    agent.extra = process(agent, WEB)
    agent.start()
    agent.wait_for(lambda: len(starts(agent)) == 1, "start")
    agent.configure(process(agent, WEB, 'grace = "1s"'))
    agent.process.send_signal(signal.SIGHUP)
    agent.wait_for(lambda: "[[process]] stay as they were" in agent.text(), "warning")
    time.sleep(0.5)
    assert len(starts(agent)) == 1 and alive(int(starts(agent)[0][0])) and agent.health()[0] == 200


def test_a_hook_gets_the_new_values_and_output_hides_them(agent, prepared):
    hook = f"hook = ['sh', '-c', 'echo $KEY $COFFRE_PID > {agent.directory}/hooked']"
    agent.extra = process(agent, "echo I have $KEY; " + WEB, 'on_change = "hook"', hook, "redact = true")
    agent.start()
    # The agent's own log goes to the same place, and may come in between.
    agent.wait_for(lambda: "<KEY>" in agent.text(), "output")
    put(prepared, "prod/key", value=SECOND)
    hooked = agent.directory / "hooked"
    agent.wait_for(lambda: hooked.exists() and hooked.read_text() == f"{SECOND} {shown(agent)['pid']}\n", "hook", 30)
    assert len(starts(agent)) == 1 and FIRST not in agent.text()


def test_when_one_program_is_over_the_others_are_stopped(agent):
    agent.extra = process(agent, WEB) + process(agent, "while [ ! -e done ]; do sleep 0.05; done; exit 5", name="job")
    agent.start()
    agent.wait_for(lambda: len(starts(agent)) == 1, "start")
    pid = int(starts(agent)[0][0])
    (agent.directory / "done").touch()
    assert agent.process.wait(15) == 5 and not alive(pid)


def test_a_signal_in_place_of_a_restart_is_refused_with_the_reason(agent):
    agent.extra = process(agent, WEB, 'on_change = "signal:HUP"')
    checked = agent.configure().check()
    assert checked.returncode != 0 and "inherits the old ones" in checked.stderr
    agent.extra = process(agent, WEB).replace("KEY =", "LD_PRELOAD =")
    checked = agent.configure().check()
    assert checked.returncode != 0 and "steers how programs run" in checked.stderr
