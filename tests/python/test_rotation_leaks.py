"""No log, journal, metric, document of the bookkeeping, notice, command line, environment, file name or core holds a secret,
in any form, whatever went well or wrong with rotation and with the users of databases (delivery, test 11).

`test_the_search_finds_what_is_there` plants a value in each kind of place and sees that the search that found nothing finds it.
"""

import base64
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_host import Agent, prepare
from coffre_server import Server, clean_environment
from leak_world import ODD, TARGETS, World
from leaks import forms, found
from real_process import Missing


@pytest.fixture(scope="module")
def world(binary, tmp_path_factory):
    try:
        world = World(binary, tmp_path_factory.mktemp("leaks") / "world")
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        yield world.start().drive()
    finally:
        world.stop()


@pytest.mark.timeout(900)
def test_what_was_driven_is_what_was_meant(world):
    """Otherwise the search below would prove little: every kind went through, stood still, and was taken back."""
    world.places()
    printed = "\n".join(world.output)
    events = world.hook.said
    for word in ("started", "promoted", "retired", "destroyed", "halted", "undo", "rollback"):
        assert any(f"coffre-event: {word}\n".encode() in said.lower() for said in events), word
    for name in TARGETS:
        assert f"_rot/hist/{name}/" in " ".join(world.known.documents), name
        # The document of the pair is spoilt in the end, so that nothing of it is quoted.
        assert name == "jwt/pair" or world.status()[name]["active"] >= 2, name
    assert "stands still in" in printed and "the value never goes on the command line" in printed
    assert {"plan", "apply", "verify", "cutover", "retire"} <= set(world.steps) and set(world.steps.values()) == {0}, world.steps
    journals = list((world.moved / ".local/state/coffre").rglob("*"))
    assert any(path.is_file() and path.stat().st_size > 1000 for path in journals), journals
    assert len(world.answers) >= 8 and len(world.known.values) > 50
    assert any(ODD in value for value in world.known.values), "some value is written differently in each form"


@pytest.mark.timeout(900)
def test_no_place_holds_a_secret(world):
    places = world.places()
    for name in ("log of PostgreSQL", "log of Redis", "engine.out", "program.out", "agent/agent.log", "server/audit.log",
                 "webhook", "mail", "metrics prometheus", "MONITOR of Redis", "what commands print", "answers that refuse"):  # fmt: skip
        assert len(places[name]) > 500, f"{name} says nothing"
    assert found(places, world.known.values) == []
    printed = {name: content for name, content in places.items() if not name.startswith("cmdline")}
    assert found(printed, [world.typed]) == [], "what was typed by mistake is not repeated"


@pytest.mark.timeout(900)
def test_the_search_finds_what_is_there(world):
    """A value in each kind of place, in each form by turns, is found where it was put and nowhere else."""
    made = iter(f"planted-{number}-{secrets.token_hex(8)}{ODD}" for number in range(100))
    planted: dict[str, str] = {}

    def plant(place: str, put) -> None:
        value = planted[place] = next(made)
        kinds = sorted(forms(value))
        kind = kinds[len(planted) % len(kinds)]
        put(value, sorted(forms(value)[kind])[0])

    def into(name: str):
        def put(_, form: bytes) -> None:
            with open(world.directory / name, "ab") as file:
                file.write(form)

        return put

    def append(to: list):
        return lambda _, form: to.append(form)

    for name in ("engine.out", "program.out", "agent/agent.log", "server/server.log", "server/audit.log", "server/coffre.redb/coffre.lock",
                 "moved/.local/state/coffre/planted"):  # fmt: skip
        plant(name, into(name))
    plant("webhook", append(world.hook.said))
    plant("mail", append(world.mail.said))
    plant("log of PostgreSQL", lambda value, _: world.postgres.execute("SELECT %s::text", [value]))
    plant("what Redis tells", lambda value, _: redis_say(world, value))
    plant("prod/_rot/ack/api/places/planted.by", lambda value, _: write(world, "_rot/ack/api/places/planted.by", value))
    plant("prod/_rot/hist/api/places/planted", lambda value, _: write(world, "_rot/hist/api/places/planted", value))
    plant("metadata of prod/api/places", lambda value, _: mirror(world, value))
    plant("what commands print", lambda value, _: world.output.append(value))
    plant("answers that refuse", lambda value, _: world.answers.append(json.dumps(value).encode()))
    plant("names of files", lambda _, __: None)
    (world.directory / planted["names of files"].replace("/", "")).touch()
    planted["names of files"] = planted["names of files"].replace("/", "")
    sleeping = "import time; time.sleep(60)"
    plant("cmdline", lambda value, _: started.append(subprocess.Popen([sys.executable, "-c", sleeping, value])))
    plant("environ", lambda _, form: started.append(subprocess.Popen([sys.executable, "-c", sleeping], env={b"X": form})))
    started_names = {"cmdline": 0, "environ": 1}
    try:
        time.sleep(0.5)
        places = world.places()
        for place, value in planted.items():
            where = {hit[0] for hit in found(places, [value])}
            if place in started_names:
                assert where == {f"{place} of {started[started_names[place]].pid}"}, place
            elif place == "what Redis tells":
                assert where == {place, "MONITOR of Redis"}
            else:
                assert where == {place}, place
    finally:
        for process in started:
            process.kill()
            process.wait()
        started.clear()


started: list[subprocess.Popen] = []


def redis_say(world, value: str) -> None:
    with world.redis.client() as client:
        client.set("planted", value)


def write(world, path: str, value: str) -> None:
    body = {"data": {"note": value}}
    assert world.server.call("POST", f"shop/data/prod/{path}", body).status_code == 200


def mirror(world, value: str) -> None:
    body = {"custom_metadata": {"note": base64.b64encode(value.encode()).decode()}}
    assert world.server.call("POST", "shop/metadata/prod/api/places", body).status_code == 204


def test_every_form_is_found_and_nothing_else():
    value = f"one/secret{ODD}value"
    for kind, needles in forms(value).items():
        for needle in needles:
            assert (("x", f"{value[:4]}…", kind)) in found({"x": b"before " + needle + b" after"}, [value]), kind
    for shift in range(3):
        whole = base64.b64encode(b"-" * shift + value.encode() + b"after")
        assert found({"x": whole}, [value]) == [("x", f"{value[:4]}…", "base64")]
    assert found({"x": b"another/secret" * 100}, [value]) == []


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT], ids=["segv", "abrt"])
def test_no_process_that_holds_secrets_leaves_a_core(binary, tmp_path, number):
    """Server, rotation engine and agent, killed by a signal that writes a core where cores are allowed, leave none; a program
    beside them does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0 or Path("/proc/sys/kernel/core_pattern").read_text().startswith("|"):
        pytest.skip("this system keeps cores from tests")
    for name in ("beside", "engine", "agent"):
        (tmp_path / name).mkdir()
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    before = os.getcwd()
    os.chdir(tmp_path / "beside")
    try:
        beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        server = Server(binary, tmp_path / "server").bring_up()
        prepare(server)
        server.client().sys.enable_secrets_engine("kv", path="shop", options={"version": "2"})
        (tmp_path / "coffre.toml").write_text('app = "shop"\nenvironments = ["dev", "prod"]\n')
        env = clean_environment(VAULT_ADDR=server.address, VAULT_TOKEN=server.root, COFFRE_ENV="prod", HOME=str(tmp_path))
        command = [str(binary), "rotate", "run", f"-manifest={tmp_path}/coffre.toml"]
        engine = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert b"at work" in engine.stderr.readline()
        agent = Agent(binary, tmp_path / "agent", server).identify().start()
        for process in (engine, agent.process, server.process, beside):
            if process is not beside:
                limits = Path(f"/proc/{process.pid}/limits").read_text()
                line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
                assert line.split()[4:6] == ["0", "0"], line
            # The handler for overflown stacks takes the first SIGSEGV that nothing caused, and restores the usual way.
            process.send_signal(number)
            time.sleep(0.5)
            process.send_signal(number)
            assert process.wait(20) == -number
    finally:
        os.chdir(before)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip().split("/")[-1].split("%")[0]
    cores = [path for path in tmp_path.rglob(f"{pattern}*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    assert len(cores) == 1, "the program beside them alone, which shows that cores are written here"
    assert found({"core": cores[0].read_bytes()}, [server.root]) == []
