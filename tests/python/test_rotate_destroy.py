"""The end of an old encryption key: who must consent, what must hold, what is left, and what the history says of it."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile

import pytest
from cryptography.fernet import Fernet

from rotate_rig import Desk

MANIFEST = """
app = "{app}"
environments = ["prod"]
[secret.MASTER_KEY]
path = "encryption/master_key"
kind = "encryption-key"
[secret.MASTER_KEY.rotation]
mode = "automatic"
every = "90d"
{more}
"""
TARGET = "encryption/master_key"
APPROVE = ("approve", "-generation=1", TARGET)


class Keys(Desk):
    """A project with one encryption key, whose policies are those of its manifest."""

    def __init__(self, binary, server, directory, more: str):
        app = f"m{secrets.token_hex(4)}"
        super().__init__(binary, server, directory, MANIFEST.format(app=app, more=more), app)
        self.first = Fernet.generate_key().decode()
        (self.project / ".env").write_text(f"MASTER_KEY={self.first}\n")
        for step in ("plan", "apply"):
            command = [str(binary), "migrate", step, "-env=prod"]
            subprocess.run(command, env=self.env, cwd=self.project, capture_output=True, timeout=60, check=True)
        self.client = server.client()
        self.people: dict[str, str] = {}

    def person(self, name: str) -> str:
        """Somebody who may consent; the token of a login."""
        user, password = f"{name}-{self.mount}", secrets.token_urlsafe(12)
        self.client.auth.userpass.create_or_update_user(user, password, policies=f"{self.mount}-api-approve")
        auth = self.client.auth.userpass.login(user, password, use_token=False)["auth"]
        self.people[name] = auth["entity_id"]
        return auth["client_token"]

    def as_(self, token: str, *arguments: str, code: int | None = 0):
        before, self.env["VAULT_TOKEN"] = self.env["VAULT_TOKEN"], token
        try:
            return self.rotate(*arguments, code=code)
        finally:
            self.env["VAULT_TOKEN"] = before

    def until_missing(self, what: str) -> str:
        """What is still missing when nothing else is; it contains these words."""
        for _ in range(30):
            self.rotate("run", "-once", code=None)
            line = self.line(TARGET)
            assert line["halt"] is None and line["failed"] is None, line
            assert line["retiring"] or line["phase"] != "IDLE", "it was destroyed all the same"
            missing = self.missing()
            if line["phase"] == "DESTROY" and len(missing) == 1 and what in missing[0]:
                assert missing[0] in self.rotate("status", TARGET).stdout
                return missing[0]
            self.later(TARGET, hours=100)
        raise AssertionError(f"it does not come so far: {line}")

    def missing(self) -> list[str]:
        retiring = self.line(TARGET)["retiring"]
        return retiring[0]["missing"] if retiring else []

    def events(self, kind: str) -> list[dict]:
        told = json.loads(self.rotate("history", "-json", "-n=500", TARGET).stdout)
        assert told["chain_holds"]
        return [event for event in told["events"] if event["event"] == kind]

    def version(self, path: str, number: int) -> dict:
        answer = self.server.call("GET", f"{self.mount}/data/{self.environment}/{path}?version={number}")
        return {"status": answer.status_code, **(answer.json().get("data") or {})}

    def looks(self) -> dict:
        """The engine looks again, later."""
        self.later(TARGET, hours=2)
        self.rotate("run", "-once", code=None)
        return self.line(TARGET)


@pytest.fixture(scope="module")
def people(server):
    server.client().sys.enable_auth_method("userpass")
    return server


def test_nobody_consents_for_another_and_the_engine_for_nobody(binary, people, tmp_path):
    keys = Keys(binary, people, tmp_path, 'backup_retention = "7d"\napprovals = 2')
    anna, ben = keys.person("anna"), keys.person("ben")
    keys.rotate("enable", TARGET)
    keys.rotate("now", TARGET)
    keys.until_missing("0 of 2 people")
    shown = keys.as_(anna, *APPROVE).stdout
    assert "You consent" in shown
    keys.as_(anna, *APPROVE)
    assert "nobody's" in keys.rotate(*APPROVE, code=1).stderr, "root is nobody"
    folder = f"{keys.mount}/data/prod/_rot/approve/{TARGET}/1"
    text = {"schema": "rot-approval/1", "target": TARGET, "gen": 1, "entity": keys.people["ben"]}
    engine = keys.client.auth.token.create(policies=[f"{keys.mount}-api-rotate"])["auth"]["client_token"]
    reader = keys.client.auth.token.create(policies=[f"{keys.mount}-api-read"])["auth"]["client_token"]
    for token, name in [
        (anna, keys.people["ben"]), (anna, "somebody"), (engine, keys.people["ben"]), (reader, keys.people["ben"])
    ]:
        for method in ("POST", "DELETE"):
            answer = keys.server.call(method, f"{folder}/{name}", {"data": text}, token=token)
            assert answer.status_code == 403, (method, name, answer.text)
    own = {**text, "entity": keys.people["ben"]}
    assert keys.server.call("POST", f"{folder}/{keys.people['anna']}", {"data": own}, token=anna).status_code == 200
    looked = keys.looks()
    assert looked["phase"] == "DESTROY" and "0 of 2" in keys.missing()[0], "a consent says whose it is"
    keys.as_(anna, *APPROVE)
    assert keys.looks()["phase"] == "DESTROY" and "1 of 2" in keys.missing()[0]
    keys.as_(ben, "approve", "-generation=2", TARGET)
    assert keys.looks()["phase"] == "DESTROY" and "1 of 2" in keys.missing()[0], "of another generation"
    keys.as_(anna, "approve", "-withdraw", *APPROVE[1:])
    keys.as_(ben, *APPROVE)
    assert keys.looks()["phase"] == "DESTROY" and "1 of 2" in keys.missing()[0], "taken back"
    assert len(keys.get(TARGET)["keys"]) == 2
    keys.as_(anna, *APPROVE)
    line = keys.looks()
    assert (line["phase"], line["retiring"]) == ("IDLE", []), line
    assert [key["gen"] for key in keys.get(TARGET)["keys"]] == [2]
    refused = keys.as_(anna, "approve", "-generation=0", TARGET, code=1)
    assert "which old key" in refused.stderr


def everything_that_was_destroyed(keys: Keys, facts: dict) -> None:
    """What the certificate says is gone is gone: each version of the document, and of the record."""
    seen = 0
    for place, versions in (part.split(": ") for part in facts["destroyed"].split("; ")):
        assert place.startswith("prod/"), place
        for number in map(int, versions.split(", ")) if "none" not in versions else ():
            read = keys.version(place.removeprefix("prod/"), number)
            # Of the record two versions are kept: what it was when it was destroyed is not even listed any more.
            listed = "/_rot/rec/" not in place
            assert read["status"] == 404 and read.get("data") is None, read
            assert not listed or read["metadata"]["destroyed"] is True, read
            seen += 1
    assert seen >= 3, facts["destroyed"]


def test_the_end_of_a_key_is_certified_and_claims_nothing_that_nobody_knows(binary, people, tmp_path):
    keys = Keys(binary, people, tmp_path, 'backup_retention = "7d"\ndrains = [{ name = "celery queue", after = "2h" }]\napprovals = 1')
    anna = keys.person("anna")
    keys.rotate("enable", TARGET)
    keys.rotate("now", TARGET)
    keys.until_missing("0 of 1")
    glass = keys.rotate("break-glass", "-generation=1", "-why=the backup of May", TARGET)
    assert glass.stdout == keys.first + "\n", "as long as it is not destroyed"
    assert keys.events("revealed")[0]["note"] == "the backup of May"
    keys.as_(anna, *APPROVE)
    assert keys.looks()["phase"] == "IDLE"
    ring = keys.get(TARGET)
    assert ring["min_epoch"] == ring["epoch"] and [key["gen"] for key in ring["keys"]] == [2]
    (event,) = keys.events("destroyed")
    facts = event["facts"]
    assert (event["gen"], facts["approvals"], facts["drains"]) == (1, keys.people["anna"], "celery queue")
    assert facts["backups"] == f"{7 * 86_400} s since the second scan are over"
    assert facts["first_scan"].endswith(": 0 uses") and facts["second_scan"].endswith(": 0 uses")
    assert facts["decryptions"].startswith("not known: nobody counts")
    assert "copies of the server's storage" in facts["residual"]
    everything_that_was_destroyed(keys, facts)
    shown = keys.rotate("history", TARGET).stdout
    assert f"Of event {event['seq']}" in shown and keys.people["anna"] in shown and keys.first not in shown
    assert "nothing is left" in keys.rotate("break-glass", "-generation=1", "-why=the backup of May", TARGET, code=1).stderr


@pytest.fixture
def recovery():
    """A key pair of somebody who keeps it offline: runs GnuPG with it."""
    if shutil.which("gpg") is None:
        pytest.skip("GnuPG is not there: nobody opens a copy that is sealed to a recovery key")
    # A short path: GnuPG's agent listens in it.
    home = tempfile.mkdtemp(prefix="gpg")

    def gpg(*arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *arguments]
        environment = {**os.environ, "GNUPGHOME": home}
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=120, check=True).stdout

    gpg("--quick-generate-key", "Recovery <recovery@example.org>", "rsa2048", "default", "never")
    listed = gpg("--list-keys", "--with-colons").decode()
    gpg.fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    gpg("--quick-add-key", gpg.fingerprint, "rsa2048", "encr", "never")
    yield gpg
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], capture_output=True, timeout=60, check=False)
    shutil.rmtree(home, ignore_errors=True)


def test_a_copy_sealed_to_the_recovery_key_takes_the_place_of_waiting_for_backups(binary, people, tmp_path, recovery):
    keys = Keys(binary, people, tmp_path, 'escrow = "none"\napprovals = 1')
    anna = keys.person("anna")
    assert "not a recovery key" in keys.rotate("enable", "-check", TARGET, code=1).stderr
    public = base64.b64encode(recovery("--export")).decode()
    manifest = (keys.project / "coffre.toml").read_text()
    keys.manifest(manifest.replace('"none"', f'"{public}"'))
    keys.rotate("enable", TARGET)
    keys.rotate("now", TARGET)
    keys.until_missing("0 of 1")
    path = f"_rot/escrow/{TARGET}/1"
    assert keys.get(path)["recipient"] == recovery.fingerprint.lower()
    reader = keys.client.auth.token.create(policies=[f"{keys.mount}-api-read"])["auth"]["client_token"]
    assert keys.server.call("GET", f"{keys.mount}/data/prod/{path}", token=reader).status_code == 403

    keys.put(path, **{**keys.get(path), "sealed": base64.b64encode(b"opens nothing").decode()})
    keys.looks()
    keys.manifest(manifest.replace('"none"', '"no key"'))
    keys.as_(anna, *APPROVE)
    assert keys.looks()["phase"] == "DESTROY" and "sealed to the recovery key" in keys.missing()[0]
    keys.manifest(manifest.replace('"none"', f'"{public}"'))
    assert keys.looks()["phase"] == "IDLE"
    copy = keys.get(path)
    opened = recovery("--decrypt", stdin=base64.b64decode(copy["sealed"]))
    assert opened.decode() == keys.first, "years later, and without us"
    facts = keys.events("destroyed")[0]["facts"]
    assert facts["backups"] == f"escrow copy {keys.events('escrowed')[-1]['facts']['escrow']}"
    assert recovery.fingerprint.lower() in facts["backups"]
    assert len(keys.events("escrowed")) >= 2, "the copy that was exchanged was made anew"
    everything_that_was_destroyed(keys, facts)
    shown = json.dumps(keys.events("destroyed") + keys.events("escrowed"))
    assert keys.first not in shown
