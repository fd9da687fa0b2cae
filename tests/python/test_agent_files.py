"""Files that the agent writes: the token on request, and files from templates, whole or not at all."""

import json
import os
import shutil
import stat
import subprocess
import time

import pytest

from agent_host import Agent, as_root, prepare, put
from coffre_server import ArgvWatch

USER, PASSWORD = "app-user-1", "p@ss/w0rd'canary\"1"


@pytest.fixture(scope="module")
def prepared(server):
    prepare(server)
    return server


@pytest.fixture
def agent(binary, prepared, tmp_path):
    put(prepared, "prod/db", username=USER, password=PASSWORD)
    with Agent(binary, tmp_path / "agent", prepared, cache='soft = "300ms"\nhard = "1h"\nnegative = "1s"').identify() as agent:
        yield agent


def template(contents: str, destination, *more: str) -> str:
    return "\n".join(["[[template]]", f"contents = '''{contents}'''", f'destination = "{destination}"', *more, ""])


URL = "{% set db = document('atmr/data/prod/db') %}postgresql://{{ db.username|percent }}:{{ db.password|percent }}@db/atmr\n"


def test_a_template_becomes_a_private_file_and_follows_the_server(agent, prepared):
    out, ran = agent.run / "database.url", agent.directory / "ran"
    agent.extra = template(URL, out, f'command = ["sh", "-c", "echo ran >> {ran}"]')
    agent.start()
    assert out.read_text() == "postgresql://app-user-1:p%40ss%2Fw0rd%27canary%221@db/atmr\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o400
    first = out.stat()
    time.sleep(1)
    assert out.stat().st_ino == first.st_ino and ran.read_text() == "ran\n", "nothing changed, so nothing is written"
    put(prepared, "prod/db", username="app-user-2", password="p2")
    agent.wait_for(lambda: "app-user-2:p2@" in out.read_text(), "new file", 30)
    agent.wait_for(lambda: ran.read_text() == "ran\n" * 2, "second run of the command", 30)
    assert sorted(path.name for path in agent.run.iterdir()) == ["agent.sock", "agent.sock.lock", "database.url"]


def test_readers_see_one_version_and_never_half_a_file(agent, prepared):
    out = agent.run / "pair"
    agent.extra = template("{% set db = document('atmr/data/prod/db') %}{{ db.username }} {{ secret('atmr/data/prod/db', 'password') }}\n", out)
    put(prepared, "prod/db", username="u0", password="p0")
    agent.start()
    seen = set()
    for number in range(1, 15):
        put(prepared, "prod/db", username=f"u{number}", password=f"p{number}")
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            text = out.read_text()
            user, password = text.split()
            assert text.endswith("\n") and user[1:] == password[1:], text
            seen.add(user)
    agent.wait_for(lambda: out.read_text() == "u14 p14\n", "last version", 30)
    assert len(seen) > 2


def test_n5_a_missing_field_writes_nothing_and_the_old_file_stays(agent, prepared):
    out = agent.run / "database.url"
    agent.extra = template(URL, out)
    agent.start()
    old = out.read_bytes()
    put(prepared, "prod/db", username="only")
    agent.wait_for(lambda: agent.health()[0] == 503, "red health", 30)
    part = agent.health()[1]["parts"][f"template {out}"]
    assert "has no field `password`" in part["error"]
    assert out.read_bytes() == old
    put(prepared, "prod/db", username="back", password="again")
    agent.wait_for(lambda: agent.health()[0] == 200, "green health", 30)
    assert "back:again@" in out.read_text()


def test_what_is_deleted_on_the_server_keeps_the_file_and_turns_health_red(agent, prepared):
    put(prepared, "prod/gone", value="x")
    out = agent.run / "gone"
    agent.extra = template("{{ secret('atmr/data/prod/gone', 'value') }}", out)
    agent.start()
    prepared.client().secrets.kv.v2.delete_latest_version_of_secret("prod/gone", mount_point="atmr")
    agent.wait_for(lambda: agent.health()[0] == 503, "red health", 30)
    assert out.read_text() == "x"
    assert "deleted" in agent.health()[1]["parts"][f"template {out}"]["error"]


def test_n5_a_link_that_somebody_puts_at_the_destination_is_not_followed(agent, prepared):
    out, victim = agent.run / "out", agent.directory / "victim"
    victim.write_text("precious")
    out.symlink_to(victim)
    agent.extra = template(URL, out)
    agent.start()
    assert victim.read_text() == "precious" and not out.is_symlink()
    out.unlink()
    out.symlink_to(victim)
    put(prepared, "prod/db", username="after", password="swap")
    agent.wait_for(lambda: not out.is_symlink() and "after:swap" in out.read_text(), "own file", 30)
    assert victim.read_text() == "precious"


def test_validate_sees_the_new_file_first_and_may_refuse_it(agent, prepared):
    out = agent.run / "out"
    check = agent.directory / "check"
    check.write_text('#!/bin/sh\ntest "$1" != "$2" && ! grep -q bad "$1"\n')
    check.chmod(0o755)
    agent.extra = template(URL, out, f'validate = ["{check}", "{{}}", "{out}"]')
    agent.start()
    good = out.read_bytes()
    put(prepared, "prod/db", username="bad", password="x")
    agent.wait_for(lambda: agent.health()[0] == 503, "red health", 30)
    assert out.read_bytes() == good
    assert "`validate` refused the new file" in json.dumps(agent.health()[1])
    assert len(list(agent.run.glob(".out*"))) == 0, "no temporary file stays"


def test_a_command_that_fails_or_hangs_keeps_the_new_file_and_is_tried_again(agent, prepared):
    out, flag = agent.run / "out", agent.directory / "flag"
    agent.extra = template(URL, out, f'command = ["sh", "-c", "test -e {flag} || sleep 60"]', 'timeout = "300ms"')
    agent.configure().spawn()
    agent.wait_for(lambda: "took longer than" in json.dumps(agent.health()[1]), "red health", 30)
    assert USER in out.read_text()
    flag.touch()
    agent.wait_for(lambda: agent.health()[0] == 200, "green health", 30)


def test_the_environment_is_readable_by_name_and_kept_from_commands(agent):
    out, seen = agent.run / "out", agent.directory / "seen"
    agent.env = {"FLASK_ENV": "production", "VAULT_TOKEN": "not-for-children"}
    more = f'command = ["sh", "-c", "env > {seen}"]'
    agent.extra = "[environment]\nnames = ['FLASK_ENV']\n\n" + template("{{ env('FLASK_ENV') }}", out, more)
    agent.start()
    assert out.read_text() == "production"
    assert "VAULT_TOKEN" not in seen.read_text() and "FLASK_ENV=production" in seen.read_text()


def test_hup_reads_configuration_and_templates_anew_and_takes_no_half_file(agent):
    out, source = agent.run / "out", agent.directory / "t.j2"
    source.write_text("one {{ secret('atmr/data/prod/db', 'username') }}")
    agent.extra = f'[[template]]\nsource = "{source}"\ndestination = "{out}"\n'
    agent.start()
    assert out.read_text() == f"one {USER}"
    whole = agent.config.read_text()
    agent.config.write_text(whole[: len(whole) // 2])
    agent.process.send_signal(1)
    agent.wait_for(lambda: "not reloaded; the agent goes on as before" in agent.text(), "refusal", 30)
    source.write_text("two {{ secret('atmr/data/prod/db', 'username') }}")
    agent.config.write_text(whole)
    agent.process.send_signal(1)
    agent.wait_for(lambda: out.read_text() == f"two {USER}", "new template", 30)
    assert agent.stop() == 0


def test_check_says_file_line_and_what_to_write(agent):
    agent.extra = template("{{ secret('a/b' }}", agent.run / "out")
    done = agent.configure().check()
    assert done.returncode == 1 and f"contents for {agent.run}/out:1: syntax error" in done.stderr
    agent.configure("[[sink]]\nfile = '/run/x'\nmodus = '0400'\n")
    line = agent.config.read_text().splitlines().index("modus = '0400'") + 1
    done = agent.check()
    assert done.returncode == 1 and f"{agent.config}:{line}: `modus` is not known in [[sink]]" in done.stderr
    done = agent.configure("").check()
    assert done.returncode == 0 and "sound" in done.stdout, done.stderr
    agent.config.unlink()
    assert "cannot read the configuration" in agent.check().stderr


def test_a_disk_is_a_warning_or_an_error_as_configured(agent):
    if subprocess.run(["stat", "-f", "-c", "%T", agent.run], capture_output=True, text=True, check=True).stdout.strip() in ("tmpfs", "ramfs"):
        pytest.skip("the test directory is in memory")
    agent.extra = template(URL, agent.run / "out")
    assert "is on a disk" in agent.configure().check().stderr
    agent.extra = template(URL, agent.run / "out", "require_tmpfs = true")
    done = agent.configure().check()
    assert done.returncode == 1 and "require_tmpfs" in done.stderr


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(agent):
    out = agent.directory / "later" / "out"
    agent.extra = template(URL, out)
    agent.configure().spawn()
    agent.wait_for(lambda: "its folder cannot be opened" in json.dumps(agent.health()[1]), "red health", 30)
    out.parent.mkdir()
    agent.wait_for(lambda: agent.health()[0] == 200, "green health", 30)


@pytest.mark.parametrize("wrap", [False, True])
def test_the_token_on_request_plain_or_wrapped(agent, prepared, wrap):
    out = agent.run / "token"
    agent.extra = f'[[sink]]\nfile = "{out}"\n' + ('wrap_ttl = "5m"\n' if wrap else "")
    agent.start()
    assert stat.S_IMODE(out.stat().st_mode) == 0o400
    content = out.read_text()
    if wrap:
        info = json.loads(content)
        assert info["creation_path"] == "sys/wrapping/wrap" and info["ttl"] == 300
        content = prepared.client(token=info["token"]).sys.unwrap()["data"]["token"]
    found = prepared.client(token=content).auth.token.lookup_self()["data"]
    assert found["meta"]["role_name"] == "atmr-api"
    assert content not in agent.text()


def test_without_a_sink_no_file_holds_the_token(agent):
    agent.start()
    files = [path for path in agent.directory.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["agent.log", "agent.sock.lock", "agent.toml", "role_id", "secret_id"]
    assert not any(b"hvs." in path.read_bytes() for path in files)


@pytest.mark.skipif(not as_root() or not shutil.which("setpriv"), reason="only root gives files away (setpriv)")
def test_owner_and_group_are_set_before_the_file_appears(agent):
    out = agent.run / "out"
    agent.extra = template(URL, out, 'user = "nobody"\ngroup = 65534\nmode = "0440"')
    agent.start()
    about = out.stat()
    assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (65534, 65534, 0o440)


def test_no_value_in_logs_arguments_or_cores(agent, prepared):
    out = agent.run / "out"
    agent.extra = template(URL, out, 'command = ["true"]') + f'\n[[sink]]\nfile = "{agent.run}/token"\n'
    with ArgvWatch() as watch:
        agent.start()
        agent.get("/v1/atmr/data/prod/db")
        put(prepared, "prod/db", username="only-" + USER)
        agent.wait_for(lambda: agent.health()[0] == 503, "red health", 30)
    told = agent.text() + json.dumps(agent.health()[1]) + agent.get("/metrics")[1]
    token, secret_id = (agent.run / "token").read_text(), agent.secret_id.read_text().strip()
    for value in (PASSWORD, "p%40ss", USER, token, secret_id):
        assert value not in told
        assert not any(value.encode() in line for line in watch.seen)
    limits = open(f"/proc/{agent.process.pid}/limits").read() if os.geteuid() == 0 else "Max core file size 0 0"
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
