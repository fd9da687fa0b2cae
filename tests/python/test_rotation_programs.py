"""What the agent and `run` say for what they do themselves: files that they make, programs that get values at their start;
and rotations that go on by that word, or wait for it and say for whom."""

import json
import re
import secrets
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agent_host import Agent, prepare, set_role
from coffre_server import clean_environment
from supervised import Small, end, wait_until

ULID = "01J00000000000000000000000"
CACHE = 'soft = "300ms"\nhard = "1h"\nnegative = "300ms"'
PATH = "redis/password"
# Leaves what it got, and stays; a value that ends in "bad" is one that it does not live with.
PROGRAM = 'echo "$$ $KEY" >> started; case "$KEY" in *bad) exit 3;; esac; trap "exit 0" TERM; while :; do sleep 0.05; done'
POLICY = """
path "atmr/data/prod/*" { capabilities = ["read"] }
path "atmr/data/prod/_rot/ack/*" { capabilities = ["create", "update"] }
path "auth/approle/role/atmr-api/secret-id" { capabilities = ["update"] }
"""


@pytest.fixture(scope="module")
def prepared(server):
    prepare(server)
    return server


@pytest.fixture(autouse=True)
def quiet(prepared):
    """Nothing was said of it."""
    answer = prepared.call("LIST", f"atmr/metadata/prod/_rot/ack/{PATH}")
    for name in answer.json()["data"]["keys"] if answer.status_code == 200 else []:
        prepared.call("DELETE", f"atmr/metadata/prod/_rot/ack/{PATH}/{name}")
    for path in (PATH, f"_rot/rec/{PATH}", f"_rot/hist/{PATH}/{time.strftime('%Y%m', time.gmtime())}"):
        prepared.call("DELETE", f"atmr/metadata/prod/{path}")


def consumers(server) -> list[dict]:
    """What is said, by everybody."""
    kv = server.client().secrets.kv.v2
    folder = f"prod/_rot/ack/{PATH}"
    answer = server.call("LIST", f"atmr/metadata/{folder}")
    names = answer.json()["data"]["keys"] if answer.status_code == 200 else []
    read = [kv.read_secret_version(f"{folder}/{name}", mount_point="atmr", raise_on_deleted_version=True) for name in names]
    return [found["data"]["data"] for found in read]


def ring(epoch: int, **states: str) -> dict:
    """A ring of keys by their names, which end with their generations."""
    keys = [{"kid": kid, "gen": int(kid[-1]), "state": state, "mat": secrets.token_urlsafe(32)} for kid, state in states.items()]
    active = next(entry for entry in keys if entry["state"] == "active")
    named = {"active": active["kid"], "value": active["mat"], "_w": ULID}
    return {"schema": "keyring/1", "target": PATH, "epoch": epoch, "keys": keys} | named


def put(server, **document) -> None:
    metadata = server.call("GET", f"atmr/metadata/prod/{PATH}")
    newest = metadata.json()["data"]["current_version"] if metadata.status_code == 200 else 0
    server.client().secrets.kv.v2.create_or_update_secret(f"prod/{PATH}", document, cas=newest, mount_point="atmr")


def credential(server, epoch: int, gen: int, value: str) -> None:
    put(server, schema="credential/1", target=PATH, epoch=epoch, gen=gen, value=value, _w=ULID)


def says(server, service: str) -> tuple | None:
    """Epoch, generation, whether it stands still: of the one consumer of that service that is there."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    found = [ack for ack in consumers(server) if ack["consumer"].split(".")[0] == service and ack["expires"] > now]
    return (found[0]["epoch"], found[0]["in_use"], found[0]["frozen"]) if len(found) == 1 else None


def heard(server, service: str, *wanted, seconds: float = 20) -> None:
    wait_until(lambda: says(server, service) == wanted, f"{service}: {wanted}", seconds)


def ends(server, service: str) -> str:
    return next(ack["expires"] for ack in consumers(server) if ack["consumer"].startswith(service))


@pytest.fixture
def agent(binary, prepared, tmp_path):
    with Agent(binary, tmp_path / "agent", prepared, cache=CACHE).identify() as agent:
        yield agent


def name(agent: Agent, file: str) -> str:
    """As people see a file among consumers: the end of its path."""
    return re.sub("[^A-Za-z0-9-]", "-", f"{agent.run}/{file}"[-40:].lstrip("/"))


def template(agent: Agent, contents: str, *more: str) -> str:
    lines = ["[[template]]", f'destination = "{agent.run}/app.conf"', f"contents = '''{contents}'''", *more, ""]
    return "\n".join(lines)


def test_a_file_has_taken_an_epoch_over_when_it_is_in_its_place_and_announced(agent, prepared):
    credential(prepared, 7, 4, "first")
    gate = agent.directory / "gate"
    script = agent.directory / "command.sh"
    script.write_text(f"#!/bin/sh\ntest -e {gate}\n")
    script.chmod(0o755)
    gate.touch()
    contents = '{{ secret("atmr/data/prod/redis/password", "value") }}'
    agent.extra = template(agent, contents, f'command = ["{script}"]')
    agent.start()
    service = name(agent, "app.conf")
    heard(prepared, service, 7, 4, False)
    gate.unlink()
    credential(prepared, 8, 5, "second")
    agent.wait_for(lambda: (agent.run / "app.conf").read_text() == "second", "the new file")
    heard(prepared, service, 7, 4, True)
    gate.touch()
    heard(prepared, service, 8, 5, False)
    before = ends(prepared, service)
    agent.stop()
    assert ends(prepared, service) < before, "nobody waits for an agent that has ended"


def test_a_file_that_gets_one_key_of_a_ring_has_not_taken_the_ring_over(agent, prepared):
    put(prepared, **ring(7, k4="active"))
    other = f'[[template]]\ndestination = "{agent.run}/ring.json"\ncontents = \'\'\'{{{{ document("atmr/data/prod/redis/password") }}}}\'\'\'\n'
    agent.extra = template(agent, '{{ secret("atmr/data/prod/redis/password", "value") }}') + other
    agent.start()
    heard(prepared, name(agent, "app.conf"), 7, 4, False)
    put(prepared, **ring(8, k4="active", k5="accept"))
    heard(prepared, name(agent, "ring.json"), 8, 4, False)
    time.sleep(1)
    assert says(prepared, name(agent, "app.conf")) == (7, 4, False), "it would refuse what the new key signs"


def process(agent: Agent, *more: str) -> str:
    script = f"cd {agent.directory}; {PROGRAM}"
    lines = ["[[process]]", 'name = "web"', f"command = ['sh', '-c', '''{script}''']"]
    return "\n".join([*lines, 'secrets = { KEY = "atmr/data/prod/redis/password#value" }', 'min_uptime = "1s"', *more, ""])


def starts(agent: Agent) -> list[str]:
    file = agent.directory / "started"
    return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def test_a_program_has_taken_an_epoch_over_when_it_lives_with_it(agent, prepared):
    credential(prepared, 7, 4, "first")
    agent.extra = process(agent)
    agent.start()
    heard(prepared, "web", 7, 4, False)
    credential(prepared, 8, 5, "second")
    heard(prepared, "web", 7, 4, True)
    agent.wait_for(lambda: starts(agent) == ["first", "second"], "the restart", 45)
    heard(prepared, "web", 8, 5, False)
    credential(prepared, 9, 6, "third-bad")
    agent.wait_for(lambda: starts(agent)[-4:] == ["third-bad", "third-bad", "third-bad", "second"], "the way back", 30)
    time.sleep(2)
    assert says(prepared, "web") == (8, 5, True), "what it went back from is not acknowledged"
    before = ends(prepared, "web")
    agent.stop()
    assert ends(prepared, "web") < before


def test_without_permission_everything_goes_on(agent, prepared):
    prepared.client().sys.create_or_update_policy("atmr-api", POLICY.replace('"create", "update"', '"read"'))
    try:
        credential(prepared, 7, 4, "first")
        agent.extra = process(agent)
        agent.start()
        credential(prepared, 8, 5, "second")
        agent.wait_for(lambda: starts(agent) == ["first", "second"], "the restart", 45)
        assert consumers(prepared) == []
        assert agent.text().count("does not allow the agent to acknowledge") == 1
    finally:
        prepared.client().sys.create_or_update_policy("atmr-api", POLICY)


def test_an_agent_that_may_not_see_the_policy_keeps_what_rotates_for_no_longer_than_any_rotation_waits(agent, prepared):
    prepared.client().sys.create_or_update_policy("atmr-api", POLICY + 'path "atmr/data/prod/_rot/policy" { capabilities = ["deny"] }')
    try:
        credential(prepared, 7, 4, "first")
        agent.extra = process(agent)
        agent.start()
        heard(prepared, "web", 7, 4, False)
        kept = {entry["path"]: entry["hard"] for entry in agent.health()[1]["entries"]}
        assert kept[f"atmr/data/prod/{PATH}"] == 60, "not the hour that it was told"
        assert "does not let the agent read _rot/policy" in agent.text()
    finally:
        prepared.client().sys.create_or_update_policy("atmr-api", POLICY)


MANIFEST = """
app = "atmr"
environments = ["dev", "prod"]

[secret.KEY]
path = "redis/password"
kind = "external"
rotation = { mode = "manual", every = "90d" }

[rotation]
soft_ttl = "10s"
max_stale = "1m"

[rotation.consumers.web]
secrets = ["KEY"]
frozen = true
acknowledges = true
"""


class Run:
    """One program under `run`, and the operator's command beside it."""

    def __init__(self, binary, server, directory: Path):
        self.binary, self.server = binary, server
        self.small = Small(binary, directory)
        (directory / "coffre.toml").write_text(MANIFEST)
        (directory / ".env").unlink()
        client = server.client()
        set_role(server)
        self.small.env |= {
            "COFFRE_ENV": "prod",
            "COFFRE_SERVICE": "web",
            "VAULT_ADDR": server.address,
            "VAULT_ROLE_ID": client.auth.approle.read_role_id("atmr-api")["data"]["role_id"],
            "VAULT_SECRET_ID": client.auth.approle.generate_secret_id("atmr-api")["data"]["secret_id"],
        }
        self.process = None

    def start(self, *flags: str) -> "Run":
        self.log = (self.small.directory / "run.log").open("ab")
        command = [self.binary, "run", *flags, "--", "sh", "-c", PROGRAM]
        self.process = self.small.start(*command, stdout=self.log, stderr=self.log, start_new_session=True)
        return self

    def starts(self) -> list[str]:
        file = self.small.directory / "started"
        return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []

    def rotate(self, *args: str, given: str | None = None) -> subprocess.CompletedProcess:
        env = clean_environment() | {"VAULT_ADDR": self.server.address, "VAULT_TOKEN": self.server.root, "COFFRE_ENV": "prod"}
        env |= {"COFFRE_STATE": str(self.small.directory / "state")}
        command = [str(self.binary), "rotate", *args]
        directory = self.small.directory
        return subprocess.run(command, cwd=directory, env=env, input=given, capture_output=True, text=True, timeout=60, check=False)

    def status(self) -> dict:
        return json.loads(self.rotate("status", "-json", "KEY").stdout)["targets"][0]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15)
        self.log.close()
        return code


@pytest.fixture
def run(binary, prepared, tmp_path):
    made = Run(binary, prepared, tmp_path / "project")
    yield made
    if made.process:
        end(made.process)


def test_a_program_that_stands_still_holds_a_rotation_up_by_name_until_it_is_started_anew(run, prepared):
    prepared.client().secrets.kv.v2.create_or_update_secret(f"prod/{PATH}", {"value": "first"}, mount_point="atmr")
    run.start("-supervise")
    heard(prepared, "web", 0, 0, True)
    given = run.rotate("provide", "KEY", given="second")
    assert given.returncode == 0, given.stderr + given.stdout
    heard(prepared, "web", 0, 0, True)
    stands = run.status()
    assert [name.split(".")[0] for name in stands["consumers"]] == ["web"] and stands["retiring"], stands
    assert "web." in run.rotate("status").stdout
    before = ends(prepared, "web")
    assert run.stop() == 0
    assert ends(prepared, "web") < before, "it said that it is over"
    run.start("-supervise")
    wait_until(lambda: run.starts() == ["first", "second"], "the new start")
    wait_until(lambda: (says(prepared, "web") or (0,))[0] > 0, "the word of the new one")
    began = time.monotonic()
    assert run.rotate("run", "-once").returncode == 0
    assert run.status()["consumers"] == [] and time.monotonic() - began < 60, "by its word, long before time alone would do"


def test_run_watch_acknowledges_after_the_restart_and_the_rotation_goes_on(run, prepared):
    prepared.client().secrets.kv.v2.create_or_update_secret(f"prod/{PATH}", {"value": "first"}, mount_point="atmr")
    run.start("-watch", "-interval=200ms", "-min-uptime=1s")
    heard(prepared, "web", 0, 0, False)
    assert run.rotate("provide", "KEY", given="second").returncode == 0
    wait_until(lambda: run.starts() == ["first", "second"], "the restart", 45)
    wait_until(lambda: (says(prepared, "web") or (0,))[0] > 0, "its word", 45)
    epoch, in_use, frozen = says(prepared, "web")
    assert epoch > 0 and in_use > 0 and not frozen
    # A key that does not work for the program is not acknowledged.
    credential(prepared, epoch + 1, in_use + 1, "third-bad")
    wait_until(lambda: run.starts()[-4:] == ["third-bad"] * 3 + ["second"], "the way back", 30)
    time.sleep(1)
    assert says(prepared, "web") == (epoch, in_use, True)
