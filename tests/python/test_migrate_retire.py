"""After verification: switching over, retiring the files, the queue of what must be rotated, and the way back to any point."""

import hashlib
import hmac
import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import time

import pytest
from dotenv import dotenv_values

from test_migrate import dump, migrate, plan_and_apply, project, vault  # noqa: F401 (fixtures)


@pytest.fixture
def key(project):  # noqa: F811
    path = project.directory.parent / "recovery.key"
    migrate(project, "recovery-key", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path


def status(project):  # noqa: F811
    return json.loads(migrate(project, "status", "--json").stdout)


def retire(project, key, code=0, **options):  # noqa: F811
    return migrate(project, "retire", "-yes", "-soak=0", f"-recovery-key={key}.pub", code=code, **options)


def tags(values, nonce):
    return {name: hmac.new(nonce.encode(), value.encode(), hashlib.sha256).hexdigest() for name, value in values.items()}


def assert_a_program_sees_the_same(project):  # noqa: F811
    nonce = secrets.token_hex(16)
    program = (
        "import hashlib, hmac, json, os, sys\n"
        "print(json.dumps({n: hmac.new(sys.argv[1].encode(), v.encode(), hashlib.sha256).hexdigest() for n, v in os.environ.items()}))"
    )
    seen = json.loads(project.coffre("run", "--", sys.executable, "-c", program, nonce).stdout)
    wanted = tags({name: project.expected[name] for name in project.secret_names}, nonce)
    assert {name: seen.get(name) for name in wanted} == wanted


def test_the_whole_way_and_back(project, vault, key):  # noqa: F811
    project.dotenv.chmod(0o640)
    original, before = project.dotenv.read_bytes(), dump(vault)
    assert migrate(project, "hygiene", code=None).returncode == 1, "the .env holds secrets"
    plan_and_apply(project)
    refused = retire(project, key, code=None)
    assert refused.returncode != 0 and "cutover" in refused.stderr and project.dotenv.read_bytes() == original
    migrate(project, "cutover", "-yes")
    manifest = vault.client().secrets.kv.v2.read_secret_version("dev/_manifest", mount_point="atmr")["data"]["data"]
    assert manifest["documents"]["flask/secret_key"] == 1 and manifest["plan"]
    soaking = migrate(project, "retire", "-yes", f"-recovery-key={key}.pub", code=None)
    assert soaking.returncode != 0 and "604800" in soaking.stderr and project.dotenv.read_bytes() == original

    done = retire(project, key)
    project.assert_no_secret("output of retire", done.stdout + done.stderr)
    stub = project.dotenv.read_bytes()
    assert stub != original and stat.S_IMODE(project.dotenv.stat().st_mode) == 0o640
    for path in [project.dotenv, *project.state.rglob("*")]:
        if path.is_file():
            project.assert_no_secret(str(path), path.read_bytes())
    config = {name: value for name, value in project.expected.items() if project.labels[name] == "config"}
    assert dotenv_values(project.dotenv) == config, "settings stay, secrets are gone"
    assert_a_program_sees_the_same(project)
    assert migrate(project, "hygiene").returncode == 0
    assert retire(project, key).stdout.startswith("Retired before")
    state = status(project)
    assert state["runs"][-1]["state"] == "retired" and not state["complete"]
    waiting = [item["name"] for item in state["to_rotate"]]
    assert set(waiting) >= {"SECRET_KEY", "JWT_SECRET_KEY"} and all(i["reason"] == "migration" for i in state["to_rotate"])
    migrate(project, "rotated", *waiting)
    assert status(project)["complete"]

    keyless = migrate(project, "rollback", "-yes", code=None)
    assert keyless.returncode != 0 and "-recovery-key" in keyless.stderr and project.dotenv.read_bytes() == stub
    migrate(project, "rollback", "-yes", "-to=cutover", f"-recovery-key={key}")
    assert project.dotenv.read_bytes() == original and stat.S_IMODE(project.dotenv.stat().st_mode) == 0o640
    assert status(project)["runs"][-1]["state"] == "switched-over"
    migrate(project, "rollback", "-yes", "-to=applied")
    assert "atmr/dev/_manifest" not in dump(vault)["documents"] and "atmr/dev/flask/secret_key" in dump(vault)["documents"]
    # Forth again, and all the way back.
    migrate(project, "cutover", "-yes")
    retire(project, key)
    migrate(project, "rollback", "-yes", f"-recovery-key={key}")
    assert project.dotenv.read_bytes() == original and dump(vault) == before


def test_what_was_rotated_since_is_not_rolled_back(project, vault, key):  # noqa: F811
    plan_and_apply(project)
    migrate(project, "cutover", "-yes")
    retire(project, key)
    vault.client().secrets.kv.v2.create_or_update_secret("dev/flask/secret_key", {"value": "rotated"}, mount_point="atmr")
    undone = migrate(project, "rollback", "-yes", f"-recovery-key={key}")
    assert "SECRET_KEY: rotated since" in undone.stderr and "flask/secret_key" in undone.stderr
    data = vault.client().secrets.kv.v2.read_secret_version("dev/flask/secret_key", mount_point="atmr")["data"]["data"]
    assert data == {"value": "rotated"}


@pytest.mark.parametrize("step", ["cutover", "retire", "rollback"])
def test_killed_at_any_moment(project, vault, key, step):  # noqa: F811
    """SIGKILL at moments spread over the step; the same command then ends as if nothing had happened."""
    original, before = project.dotenv.read_bytes(), dump(vault)
    options = {
        "cutover": ["-yes"],
        "retire": ["-yes", "-soak=0", f"-recovery-key={key}.pub"],
        "rollback": ["-yes", f"-recovery-key={key}"],
    }
    earlier = {"cutover": [], "retire": ["cutover"], "rollback": ["cutover", "retire"]}[step]
    parts, whole, final = 6, None, None
    for part in range(parts + 1):
        plan_and_apply(project)
        for name in earlier:
            migrate(project, name, *options[name])
        began = time.monotonic()
        if part == 0:
            migrate(project, step, *options[step])
            whole = time.monotonic() - began
        else:
            command = [str(project.binary), "migrate", step, *options[step]]
            process = subprocess.Popen(
                command, cwd=project.directory, env=project.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(whole * part / (parts + 1))
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(0.3)
            again = migrate(project, step, *options[step], code=None)
            assert again.returncode == 0 or "nothing to roll back" in again.stderr, again.stderr
        state = (project.dotenv.read_bytes(), sorted(dump(vault)["documents"]))
        final = final or state
        assert state == final, f"killed after {part}/{parts + 1} of {whole:.2f} s"
        assert not list(project.directory.glob(".*coffre-new")), "nothing half-written is left"
        if step != "rollback":
            migrate(project, "rollback", *options["rollback"])
        assert project.dotenv.read_bytes() == original and dump(vault) == before


def git(directory, *arguments):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, env=env, check=True, capture_output=True)


def test_what_is_in_git_history_is_rotated_first(project, vault):  # noqa: F811
    now = project.dotenv.read_bytes()
    git(project.directory, "init")
    value = project.expected["MAIL_PASSWORD"]
    project.dotenv.write_text(f'OLD_NAME="{value}"\nOTHER=unrelated\n')
    git(project.directory, "add", "-f", ".env")
    git(project.directory, "commit", "-m", "oops")
    git(project.directory, "rm", "--cached", ".env")
    git(project.directory, "commit", "-m", "gone, they think")
    project.dotenv.write_bytes(now)
    project.dotenv.chmod(0o600)
    plan_and_apply(project)
    queue = [(item["name"], item["exposure"]) for item in status(project)["to_rotate"]]
    assert queue[0] == ("MAIL_PASSWORD", "git")
    assert {exposure for _, exposure in queue[1:]} == {"file"}


def test_another_dialect_must_be_decided(project, vault):  # noqa: F811
    (project.directory / "compose.yaml").write_text("services:\n  web:\n    env_file: .env\n")
    project.dotenv.write_bytes(project.dotenv.read_bytes() + b"\nEXTRA_PASSWORD=pa$$word-of-old\n")
    migrate(project, "init")
    asked = migrate(project, "plan", code=None)
    assert asked.returncode == 1 and "EXTRA_PASSWORD" in asked.stderr and "service web, compose.yaml:3" in asked.stderr
    migrate(project, "apply", "-yes", code=1)
    accepted = [word for word in asked.stderr.split() if word.isupper() and word in dotenv_values(project.dotenv)]
    migrate(project, "plan", *[f"-accept={name}" for name in set(accepted)])
    migrate(project, "apply", "-yes")
    migrate(project, "verify")


def test_the_applications_own_interpreter_is_asked(project, vault):  # noqa: F811
    planned = json.loads(migrate(project, "plan", f"-oracle={sys.executable}", "--json").stdout)
    assert planned["oracle"].startswith("python-dotenv ") and planned["questions"] == []
    nobody = migrate(project, "plan", "-oracle=/nowhere/python", code=None)
    assert nobody.returncode == 1 and "/nowhere/python" in nobody.stderr


def test_bad_files_are_named_by_file_and_line(project, vault):  # noqa: F811
    for content, place in [
        (b"A_KEY=x\nB_KEY=\xff\xfe\n", "line 2"),
        (b"A_KEY=x\nB_KEY='half of a val", ".env:2"),
        (b"A_KEY=x\n\nB_KEY=a\x00b\n", ".env:3"),
    ]:
        project.dotenv.write_bytes(content)
        named = migrate(project, "plan", code=None)
        assert ".env" in named.stderr and place in named.stderr, named.stderr
