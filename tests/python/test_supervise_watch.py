"""`coffre run -watch` against a real server: what changes in the vault restarts the program, once, and nothing else does."""

import json
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coffre_server import Server, clean_environment
from stock_server import make
from supervised import SECONDS, Small, end, is_alive, wait_until

MANIFEST = """
app = "small"
environments = ["dev", "prod"]

[secret.KEY]
path = "small/key"
kind = "password"

[secret.OTHER]
path = "small/other"
kind = "password"
"""
# Each start leaves a line: process, fingerprint-free marks of the values (their last four characters), time.
PROGRAM = """
import json, os, signal, sys, time
keys = [os.environ[name][-4:] for name in ("KEY", "OTHER")]
with open("starts.jsonl", "a") as file:
    print(json.dumps({"pid": os.getpid(), "keys": keys, "env": sorted(os.environ), "at": time.monotonic()}), file=file)
if keys[0] == "BAD!":
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    time.sleep(60)
"""


class Watched:
    """A project of one server, and one program that runs in it."""

    def __init__(self, binary, server, directory: Path, mount: str):
        self.server, self.mount = server, mount
        self.small = Small(binary, directory)
        (directory / "coffre.toml").write_text(MANIFEST.replace('"small"', f'"{mount}"', 1))
        (directory / ".env").unlink()
        (directory / "program.py").write_text(PROGRAM)
        client = server.client()
        client.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
        rules = [f'path "{mount}/data/prod/*" {{ capabilities = ["read"] }}']
        client.sys.create_or_update_policy(mount, "\n".join(rules))
        client.auth.approle.create_or_update_approle(mount, token_policies=[mount], token_ttl="1h")
        self.small.env |= {
            "COFFRE_ENV": "prod",
            "VAULT_ADDR": server.address,
            "VAULT_ROLE_ID": client.auth.approle.read_role_id(mount)["data"]["role_id"],
            "VAULT_SECRET_ID": client.auth.approle.generate_secret_id(mount)["data"]["secret_id"],
        }
        self.secrets = set()
        self.put("small/key", "0001")
        self.put("small/other", "0001")
        self.process = None

    def put(self, path, mark):
        value = f"{secrets.token_hex(12)}{mark}"
        self.secrets.add(value)
        self.write(path, value)
        return value

    def write(self, path, value):
        self.server.client().secrets.kv.v2.create_or_update_secret(f"prod/{path}", {"value": value}, mount_point=self.mount)

    def start(self, *flags):
        self.log = (self.small.directory / "run.log").open("ab")
        command = [self.small.binary, "run", "-watch", "-interval=200ms", *flags, "--", sys.executable, "-I", "program.py"]
        self.process = self.small.start(*command, stdout=self.log, stderr=self.log, start_new_session=True)
        self.starts(1)
        return self

    def started(self) -> list[dict]:
        file = self.small.directory / "starts.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def starts(self, many: int, seconds=SECONDS) -> list[dict]:
        wait_until(lambda: len(self.started()) >= many, f"{many} starts: {self.started()}\n{self.said()}", seconds)
        assert len(self.started()) == many
        return self.started()

    def quiet(self, many: int, seconds: float) -> None:
        """No further start within this time."""
        time.sleep(seconds)
        assert len(self.started()) == many, self.said()

    def said(self) -> str:
        log = self.small.directory / "run.log"
        return log.read_text() if log.exists() else ""

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def close(self):
        if self.process:
            end(self.process)
            self.log.close()
        for value in self.secrets:
            assert value not in self.said() and value[:16] not in self.said(), "a value in the output"


@pytest.fixture(scope="module")
def vault(server):
    server.client().sys.enable_auth_method("approle")
    return server


@pytest.fixture
def watched(binary, vault, tmp_path):
    made = Watched(binary, vault, tmp_path / "small", f"m{secrets.token_hex(4)}")
    yield made
    made.close()


def test_a_new_value_restarts_once_with_it(watched):
    watched.start()
    first = watched.started()[0]
    assert not [name for name in first["env"] if name.startswith("VAULT_")]
    watched.put("small/key", "0002")
    starts = watched.starts(2)
    assert starts[1]["keys"] == ["0002", "0001"] and starts[1]["pid"] != first["pid"]
    assert not is_alive(first["pid"])
    watched.quiet(2, 3)
    assert "changed in the vault: KEY\n" in watched.said()
    assert watched.stop() == 0


def test_changes_within_the_window_are_one_restart(watched):
    watched.start()
    watched.put("small/key", "0002")
    time.sleep(1)
    watched.put("small/other", "0003")
    assert watched.starts(2)[1]["keys"] == ["0002", "0003"]
    watched.quiet(2, 3)
    assert watched.stop() == 0


def test_the_same_value_restarts_nothing(watched):
    value = watched.put("small/key", "0002")
    watched.start()
    for _ in range(3):
        watched.write("small/key", value)
        time.sleep(0.4)
    # Its token ends, and it logs in again: nothing to restart for either.
    client = watched.server.client()
    for accessor in client.auth.token.list_accessors()["data"]["keys"]:
        found = client.auth.token.lookup_accessor(accessor)["data"]
        if watched.mount in found["policies"]:
            client.auth.token.revoke_accessor(accessor)
    watched.quiet(1, 3)
    watched.put("small/key", "0004")
    assert watched.starts(2)[1]["keys"][0] == "0004", "it looks with a new login"
    assert watched.stop() == 0


def test_a_value_that_comes_back_in_time_restarts_nothing(watched):
    value = watched.put("small/key", "0002")
    watched.start()
    watched.put("small/key", "0003")
    time.sleep(0.8)
    watched.write("small/key", value)
    watched.quiet(1, 3)
    assert watched.stop() == 0


def test_a_server_that_is_down_stops_nothing(binary, tmp_path):
    server = make(Server, binary, tmp_path / "server").bring_up()
    try:
        server.client().sys.enable_auth_method("approle")
        watched = Watched(binary, server, tmp_path / "small", "small")
        watched.start()
        server.kill()
        wait_until(lambda: "cannot tell whether values have changed" in watched.said(), "the failure is told")
        watched.quiet(1, 1)
        server.start()
        time.sleep(1)  # sealed: neither answers
        assert watched.said().count("cannot tell whether") <= 2, watched.said()
        server.unseal()
        wait_until(lambda: "the vault answers again" in watched.said(), "it answers again")
        watched.quiet(1, 1)
        watched.put("small/key", "0002")
        assert watched.starts(2)[1]["keys"][0] == "0002"
        server.kill()
        assert watched.stop() == 0, "it ends also without a server"
    finally:
        watched.close()
        server.stop()


def test_what_is_taken_away_stops_nothing(watched):
    watched.start()
    watched.server.client().secrets.kv.v2.delete_metadata_and_all_versions("prod/small/key", mount_point=watched.mount)
    wait_until(lambda: "KEY" in watched.said(), "the missing document is told")
    watched.quiet(1, 2)
    assert watched.stop() == 0


def test_values_that_kill_are_reverted_once(watched):
    watched.start("-min-uptime=2s")
    watched.put("small/key", "BAD!")
    starts = watched.starts(5, 30)
    assert [start["keys"][0] for start in starts] == ["0001", "BAD!", "BAD!", "BAD!", "0001"]
    assert "DOES NOT LIVE WITH THE NEW VALUES" in watched.said()
    watched.quiet(5, 3)
    watched.put("small/key", "0003")
    assert watched.starts(6)[5]["keys"][0] == "0003"
    assert watched.stop() == 0


@pytest.mark.parametrize(("flags", "hooks"), [(("-on-change=none",), 0), (("-on-change=hook", "-hook=./hook.sh"), 1)])
def test_changes_may_be_told_or_handed_to_a_hook(watched, flags, hooks):
    hook = watched.small.directory / "hook.sh"
    hook.write_text('#!/bin/sh\nprintf "%s %s\\n" "$COFFRE_PID" "$KEY" >> hooked.txt\n')
    hook.chmod(0o755)
    watched.start(*flags)
    value = watched.put("small/key", "0002")
    wait_until(lambda: "changed in the vault: KEY" in watched.said(), "the change is told")
    watched.quiet(1, 3)
    hooked = watched.small.directory / "hooked.txt"
    lines = hooked.read_text().splitlines() if hooked.exists() else []
    assert lines == [f"{watched.started()[0]['pid']} {value}"] * hooks
    assert watched.stop() == 0


def test_term_during_a_restart_ends_it(watched):
    stubborn = PROGRAM.replace("lambda *_: sys.exit(0)", "lambda *_: (time.sleep(3), sys.exit(0))")
    (watched.small.directory / "program.py").write_text(stubborn)
    watched.start()
    watched.put("small/key", "0002")
    wait_until(lambda: "is restarted" in watched.said(), "the restart")
    assert watched.stop() == 0
    assert len(watched.started()) == 1, "the wish to end wins over the restart"


def manifest_policy(watched) -> str:
    """The policy that `migrate apply` gives the application."""
    project, v2 = watched.small.directory / "migrated", watched.server.client().secrets.kv.v2
    project.mkdir()
    (project / "coffre.toml").write_text((watched.small.directory / "coffre.toml").read_text())
    lines = []
    for name, path in (("KEY", "small/key"), ("OTHER", "small/other")):
        found = v2.read_secret_version(f"prod/{path}", mount_point=watched.mount, raise_on_deleted_version=True)
        lines.append(f"{name}={found['data']['data']['value']}")
    (project / ".env").write_text("\n".join(lines) + "\n")
    env = clean_environment(VAULT_ADDR=watched.server.address, VAULT_TOKEN=watched.server.root, HOME=str(project))
    for step in ("plan", "apply"):
        command = [str(watched.small.binary), "migrate", step, "-env=prod"]
        done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return f"{watched.mount}-api-read"


def fleet(watched, many, *flags, writes=True):
    """More instances of the same program; each in a directory of its own."""
    if writes:
        policy = manifest_policy(watched)
        watched.server.client().auth.approle.create_or_update_approle(watched.mount, token_policies=[policy], token_ttl="1h")
    started = []
    for at in range(many):
        directory = watched.small.directory / f"instance-{at}"
        directory.mkdir()
        (directory / "program.py").write_text(PROGRAM)
        command = [
            watched.small.binary, "run", "-watch", "-interval=200ms", "-manifest=../coffre.toml", "-min-uptime=1s", *flags,
            "--", sys.executable, "-I", "program.py",
        ]
        log = (directory / "log").open("wb")
        started.append(subprocess.Popen(command, cwd=directory, env=watched.small.env, stdout=log, stderr=log, start_new_session=True))
        log.close()

    def starts():
        files = [watched.small.directory / f"instance-{at}/starts.jsonl" for at in range(many)]
        return [[json.loads(line) for line in file.read_text().splitlines()] if file.exists() else [] for file in files]

    return started, starts


def test_a_fleet_restarts_one_after_the_other(watched):
    processes, starts = fleet(watched, 3, "-max-unavailable=1", "-rollout=web")
    try:
        wait_until(lambda: all(len(of) == 1 for of in starts()), "three starts")
        watched.put("small/key", "0002")
        wait_until(lambda: all(len(of) == 2 for of in starts()), f"three restarts: {starts()}", 60)
        times = sorted(of[1]["at"] for of in starts())
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        assert all(gap >= 0.95 for gap in gaps), f"each waits until the one before it has been up for 1 s: {gaps}"
        assert all(of[1]["keys"][0] == "0002" for of in starts())
        v2 = watched.server.client().secrets.kv.v2

        def document():
            found = v2.read_secret_version("prod/_rot/rollout/web", mount_point=watched.mount, raise_on_deleted_version=True)
            return found["data"]["data"]

        wait_until(lambda: document() == {"holding": {}, "waiting": {}}, "all slots are given back")
        # Somebody else, who does not answer any more, holds the slot: nobody restarts until its time has passed.
        long_ago, soon = int(time.time()) - 58, int(time.time()) + 3600
        v2.create_or_update_secret("prod/_rot/rollout/web", {"holding": {"dead/1": soon}, "waiting": {}}, mount_point=watched.mount)
        watched.put("small/key", "0003")
        time.sleep(5)
        assert all(len(of) == 2 for of in starts())
        v2.create_or_update_secret("prod/_rot/rollout/web", {"holding": {"dead/1": long_ago}, "waiting": {}}, mount_point=watched.mount)
        wait_until(lambda: all(len(of) == 3 for of in starts()), "its slot is taken away after the allowance of 60 s", 60)
    finally:
        for process in processes:
            end(process)


def test_slots_that_the_policy_does_not_allow_are_told_and_do_without(watched):
    processes, starts = fleet(watched, 1, "-max-unavailable=1", writes=False)
    try:
        wait_until(lambda: len(starts()[0]) == 1, "a start")
        watched.put("small/key", "0002")
        wait_until(lambda: len(starts()[0]) == 2, "a restart")
        assert "-max-unavailable has no effect" in (watched.small.directory / "instance-0/log").read_text()
    finally:
        for process in processes:
            end(process)


def test_nothing_is_watched_where_the_vault_is_not_the_source(watched):
    watched.small.env |= {"USE_VAULT": "false"}
    done = watched.small.run("-watch", command=("sh", "-c", "exit 9"))
    assert done.returncode == 9
    assert "nothing is watched" in done.stderr


def test_no_restart_without_the_vault_at_start(watched):
    watched.small.env |= {"VAULT_ADDR": "http://127.0.0.1:9", "COFFRE_WAIT": "300ms"}
    done = watched.small.run("-watch", command=("true",))
    assert done.returncode == 125, done.stderr
