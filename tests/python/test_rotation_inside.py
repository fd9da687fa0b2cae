"""The rotation engine inside of `coffre server`: as an identity of its own, through the kernel, beside everybody else."""

import datetime
import json
import re
import secrets
import shutil
import signal
import subprocess
import time

import hvac
import pytest

from coffre_server import Server, clean_environment
from rig import until
from rotate_rig import Desk, earlier

TARGET = "jwt/secret_key"
MANIFEST = """
app = "{app}"
environments = ["dev", "prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "30d", token_lifetime = "1h" }}
"""
STATE = re.compile(r'^vault_rotation_engine\{state="(\w+)"\} 1$', re.MULTILINE)


class Site:
    """A server whose configuration rotates the one key of a project, as an AppRole with the manifest's own policy."""

    def __init__(self, binary, directory):
        self.app = f"m{secrets.token_hex(4)}"
        self.first = secrets.token_urlsafe(32)
        self.server = Server(binary, directory / "server").bring_up()
        self.desk = Desk(binary, self.server, directory, MANIFEST.format(app=self.app), self.app)
        self.manifest = self.desk.project / "coffre.toml"
        (self.desk.project / ".env").write_text(f"JWT_SECRET_KEY={self.first}\n")
        for step in ("plan", "apply"):
            command = [str(binary), "migrate", step, "-env=prod"]
            subprocess.run(command, env=self.desk.env, cwd=self.desk.project, capture_output=True, timeout=60, check=True)
        self.policy = f"{self.app}-api-rotate"
        approle = self.server.client().auth.approle
        approle.create_or_update_approle("rotation", token_policies=[self.policy], token_ttl="1h")
        self.role_id = approle.read_role_id("rotation")["data"]["role_id"]
        self.role_file, self.secret_file = directory / "role_id", directory / "secret_id"
        self.role_file.write_text(f"{self.role_id}\n")
        self.secret_id = self.new_secret_id()
        self.secret_file.write_text(f"{self.secret_id}\n")
        self.desk.rotate("enable")

    def new_secret_id(self) -> str:
        return self.server.client().auth.approle.generate_secret_id("rotation")["data"]["secret_id"]

    def rotates(self, **changed) -> "Site":
        """Starts the server anew with the stanza."""
        stanza = {
            "manifest": str(self.manifest),
            "environment": "prod",
            "role_id_file": str(self.role_file),
            "secret_id_file": str(self.secret_file),
        } | changed
        config = json.loads(self.server.config.read_text())
        config["rotation"] = {name: value for name, value in stanza.items() if value is not None}
        config["listener"]["tcp"]["telemetry"] = {"unauthenticated_metrics_access": True}
        self.server.config.write_text(json.dumps(config))
        self.server.stop()
        return self.again()

    def again(self) -> "Site":
        self.server.start()
        self.server.unseal()
        return self

    def state(self) -> str:
        (found,) = STATE.findall(self.server.call("GET", "sys/metrics", token="").text)
        return found

    def is_in(self, state: str, seconds: float = 90) -> None:
        until(lambda: self.state() == state, seconds)

    def look(self) -> None:
        """SIGHUP: the engine reads its manifest anew, and looks at everything at once."""
        self.server.process.send_signal(signal.SIGHUP)

    def active(self) -> int:
        return self.desk.line(TARGET)["active"]

    def rotate_once(self, wanted: int, rounds: int = 100) -> None:
        """Time passes until the generation is in use, and the one before is gone."""
        for _ in range(rounds):
            line = self.desk.line(TARGET)
            assert line["halt"] is None and line["failed"] is None, line
            if line["active"] == wanted and line["phase"] == "IDLE" and not line["retiring"]:
                return
            rests = line["phase"] == "IDLE" and not line["retiring"]
            self.later(days=31 if rests else 8 if line["phase"] == "DESTROY" else 0.1)
            self.look()
            time.sleep(0.7)
        raise AssertionError(f"it does not get to {wanted}: {line}")

    def later(self, **length) -> None:
        """Time passes for the record; not for events in it, which may stand in the history already. The engine writes as
        well: whoever is slower reads again."""
        path = f"prod/_rot/rec/{TARGET}"

        def moved() -> bool:
            try:
                read = self.desk.kv.read_secret_version(path, mount_point=self.app, raise_on_deleted_version=True)["data"]
            except hvac.exceptions.InvalidPath:
                return False
            if read["data"]["phase"] == "IDLE" and not read["data"]["schedule"].get("next_due"):
                return False  # The engine has only just begun: it would count from now.
            record = earlier(read["data"], datetime.timedelta(**length)) | {"outbox": read["data"]["outbox"]}
            try:
                self.desk.kv.create_or_update_secret(path, record, cas=read["metadata"]["version"], mount_point=self.app)
            except Exception as error:  # noqa: BLE001 hvac's InvalidRequest says why in its text alone
                assert "check-and-set" in str(error), error
                return False
            return True

        until(moved)

    def log(self) -> str:
        return self.server.log.read_text()

    def entries(self) -> list[dict]:
        return [json.loads(line) for line in self.server.audit.read_text().splitlines()]

    def living_tokens(self) -> int:
        """Tokens of the engine's role."""
        client = self.server.client()
        accessors = client.list("auth/token/accessors")["data"]["keys"]
        found = [self.server.call("POST", "auth/token/lookup-accessor", {"accessor": accessor}) for accessor in accessors]
        return sum(self.policy in answer.json()["data"]["policies"] for answer in found if answer.status_code == 200)


@pytest.fixture
def site(binary, tmp_path):
    site = Site(binary, tmp_path)
    yield site
    site.server.stop()


def test_it_rotates_by_itself_as_somebody_with_rights_and_a_line_in_the_audit_log(site):
    site.rotates()
    site.is_in("running")
    site.rotate_once(2)
    document = site.desk.get(TARGET)
    assert document["value"] != site.first
    history = site.desk.rotate("history", TARGET).stdout
    assert "promoted" in history.lower(), history

    record = f"{site.app}/data/prod/_rot/rec/{TARGET}"
    ours = [e for e in site.entries() if e["type"] == "request" and e["request"].get("path") == record]
    engine = [e for e in ours if site.policy in e["auth"].get("policies", [])]
    assert {"read", "update"} <= {e["request"]["operation"] for e in engine}, "reads and writes"
    for entry in engine:
        assert sorted(entry["auth"]["policies"]) == ["default", site.policy], "no rights but the manifest's"
        assert entry["auth"]["metadata"]["role_name"] == "rotation"
        assert not entry["request"].get("remote_address"), "it has no address"
    shown = [site.first, document["value"], site.secret_id]
    for text in (site.log(), site.server.audit.read_text(), site.server.call("GET", "sys/metrics", token="").text):
        assert not [value for value in shown if value in text], "a secret is shown"
    events = site.server.call("GET", "sys/metrics", token="").text
    assert "# TYPE vault_rotation_events_total counter" in events


def test_sealing_stops_it_and_unsealing_goes_on(site):
    site.rotates()
    site.is_in("running")
    site.later(days=31)
    site.look()
    until(lambda: site.desk.line(TARGET)["phase"] == "PUBLISH")
    assert site.server.call("POST", "sys/seal").status_code == 204
    assert site.state() == "waiting"
    size = site.server.audit.stat().st_size
    site.look()
    time.sleep(3)
    assert site.server.audit.stat().st_size == size, "a sealed server is not asked"
    site.server.unseal()
    site.is_in("running")
    assert site.desk.line(TARGET)["phase"] == "PUBLISH"
    site.rotate_once(2)


def test_a_stop_ends_its_token_and_a_kill_in_the_middle_is_gone_on_with(site):
    site.rotates()
    site.is_in("running")
    assert site.living_tokens() == 1
    site.server.stop()
    site.again()
    site.is_in("running")
    assert site.living_tokens() == 1, "the token of the engine before was revoked"
    for wanted, moments in ((2, (0.05, 0.2, 0.5)), (3, (0.1, 0.3, 0.8))):
        for moment in moments:
            site.later(days=31 if site.desk.line(TARGET)["phase"] == "IDLE" else 0.1)
            site.look()
            time.sleep(moment)
            site.server.kill()
            site.again()
            site.is_in("running")
        site.rotate_once(wanted)
        document = site.desk.get(TARGET)
        assert [entry["gen"] for entry in document["keys"] if entry["state"] == "active"] == [wanted]
    assert "does not hold" not in site.desk.rotate("history", TARGET).stdout


def test_an_identity_that_is_refused_is_named_and_the_server_serves(site):
    site.secret_file.unlink()
    site.rotates()
    site.is_in("refused")
    assert f"cannot read {site.secret_file}" in site.log()
    assert site.server.client().sys.read_health_status(method="GET")["sealed"] is False

    logins = lambda: sum(  # noqa: E731
        e["type"] == "request" and e["request"].get("path") == "auth/approle/login" for e in site.entries()
    )
    assert logins() == 0
    site.secret_file.write_text(secrets.token_hex(16))
    until(lambda: "the rotation engine cannot log in" in site.log(), 45)
    assert "secret_id_file" in site.log()
    time.sleep(12)
    assert logins() == 1, "what was refused is not tried again before the file changes"
    assert site.state() == "refused"

    site.secret_file.write_text(site.secret_id)
    site.is_in("running")
    site.rotate_once(2)


def test_a_token_from_a_file_that_ends_is_named_and_replaced(site):
    def token(**options) -> str:
        created = site.server.client().auth.token.create(policies=[site.policy], no_default_policy=True, **options)
        return created["auth"]["client_token"]

    file = site.secret_file.with_name("token")
    first = token()
    file.write_text(first)
    site.rotates(token_file=str(file), role_id_file=None, secret_id_file=None)
    site.is_in("running")
    site.server.client().auth.token.revoke(first)
    site.look()
    site.is_in("refused")
    assert f"the token of the rotation engine in {file} is not accepted" in site.log()
    file.write_text(token())
    site.is_in("running")
    site.rotate_once(2)
    assert site.log().count("the identity of the rotation engine is refused") == 1, "it is said once"
    file.write_text(site.server.root)
    site.server.stop()
    site.again()
    site.is_in("running")
    assert "has a root token" in site.log()
    assert site.server.root not in site.log()


def test_a_manifest_that_cannot_be_used_is_named_and_read_again(site):
    good = site.manifest.read_text()
    site.manifest.write_text(good.replace("30d", "often"))
    site.rotates()
    site.is_in("broken")
    assert str(site.manifest) in site.log()
    site.manifest.write_text(good)
    site.look()
    site.is_in("running")
    site.manifest.write_text("nonsense")
    site.look()
    until(lambda: "what was loaded before goes on" in site.log(), 30)
    assert site.state() == "running"
    site.manifest.write_text(good)
    site.rotate_once(2)


def test_without_the_right_nothing_happens_and_the_right_is_named(site):
    site.rotates()
    site.is_in("running")
    text = site.server.client().sys.read_policy(site.policy)["data"]["rules"]
    site.server.client().sys.create_or_update_policy(site.policy, 'path "none" { capabilities = ["read"] }')
    site.look()
    until(lambda: "permission denied" in site.log(), 30)
    assert f"{site.app}/data/prod/_rot/policy" in site.log()
    site.server.client().sys.create_or_update_policy(site.policy, text)
    site.look()
    site.is_in("running")
    site.rotate_once(2)


@pytest.mark.parametrize(
    ("inside", "line", "why"),
    [
        ('manifest = "m"\nenvironment = "prod"', 5, "needs an identity"),
        ('manifest = "m"\nenvironment = "prod"\nrole_id_file = "r"', 5, "needs an identity"),
        ('environment = "prod"\ntoken_file = "t"', 5, "needs `manifest`"),
        ('manifest = "m"\nenvironment = 7\ntoken_file = "t"', 7, "`environment` must be"),
        ('manifest = "m"\nenvironment = "prod"\ntoken_file = "t"\n}\nrotation {\n', 10, "already at"),
    ],
)
def test_a_stanza_that_is_wrong_is_refused_with_its_line(binary, tmp_path, inside, line, why):
    config = tmp_path / "server.hcl"
    config.write_text(f'storage "inmem" {{}}\nlistener "tcp" {{\n  tls_disable = true\n}}\nrotation {{\n{inside}\n}}\n')
    command = [str(binary), "server", f"-config={config}"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"{config}:{line}: " in done.stderr and why in done.stderr, done.stderr


def test_a_storage_that_was_restored_is_noticed_by_what_lies_outside_of_it(site):
    seen = site.secret_file.with_name("seen.json")
    site.rotates(state_file=str(seen))
    site.is_in("running")
    site.rotate_once(2)
    site.server.stop()
    store = site.server.directory / "coffre.redb"
    older = store.with_suffix(".older")
    shutil.copytree(store, older)
    site.again().is_in("running")
    site.rotate_once(3)
    epoch, value = site.desk.get(TARGET)["epoch"], site.desk.get(TARGET)["value"]
    assert json.loads(seen.read_text())["seen"][f"inside {site.app}/prod"] == {TARGET: epoch}
    assert seen.stat().st_mode & 0o777 == 0o600 and value not in seen.read_text()

    site.server.stop()
    shutil.rmtree(store)
    shutil.copytree(older, store)
    site.again().is_in("running")
    halt = until(lambda: site.desk.line(TARGET)["halt"], 30)
    assert "epoch" in halt["why"] and "epoch-reset" in halt["advice"], halt
    site.desk.rotate("resume", "-epoch-reset", TARGET, code=None)
    until(lambda: site.desk.get(TARGET)["epoch"] > epoch and site.desk.line(TARGET)["halt"] is None, 60)

    site.server.stop()
    seen.write_text("nonsense")
    site.again().is_in("broken")
    assert f"the state file {seen} is damaged" in site.log()
    assert seen.read_text() == "nonsense"


def test_the_service_takes_what_it_rotated_off_the_queue_of_a_migration(site):
    def waiting() -> str:
        command = [str(site.desk.binary), "migrate", "status", "-env=prod"]
        return subprocess.run(
            command, env=site.desk.env, cwd=site.desk.project, capture_output=True, text=True, timeout=60, check=False
        ).stdout

    assert "JWT_SECRET_KEY" in waiting()
    site.manifest.write_text(site.manifest.read_text() + '[rotation]\npoll = "1s"\n')
    state, log = site.secret_file.with_name("seen.json"), site.secret_file.with_name("run.log")
    command = [str(site.desk.binary), "rotate", "run", f"-state-file={state}"]
    with log.open("wb") as out:
        service = subprocess.Popen(command, env=site.desk.env, cwd=site.desk.project, stdout=out, stderr=out)
    try:
        until(lambda: site.desk.exists(f"_rot/rec/{TARGET}"), 30)
        # Until the promotion, which counts as after the migration, and no further. `status` would settle the queue itself.
        for _ in range(20):
            record = site.desk.get(f"_rot/rec/{TARGET}")
            if record["active"] == 2:
                break
            site.later(days=31 if record["phase"] == "IDLE" else 0.1)
            time.sleep(2)
        until(lambda: "JWT_SECRET_KEY was rotated" in log.read_text() or "variable=\"JWT_SECRET_KEY\"" in log.read_text(), 90)
        assert "JWT_SECRET_KEY" not in waiting()
    finally:
        service.terminate()
        assert service.wait(30) == 0
    assert json.loads(state.read_text())["seen"] == {f"{site.server.address} {site.app}/prod": {TARGET: site.desk.get(TARGET)["epoch"]}}
