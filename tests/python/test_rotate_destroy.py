"""The end of an old encryption key: who must consent, what must hold, what is left, and what the history says of it."""

import secrets
import subprocess

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
backup_retention = "7d"
approvals = 2
"""
TARGET = "encryption/master_key"
APPROVE = ("approve", "-generation=1", TARGET)


class Keys(Desk):
    """A project with one encryption key, whose policies are those of its manifest."""

    def __init__(self, binary, server, directory):
        app = f"m{secrets.token_hex(4)}"
        super().__init__(binary, server, directory, MANIFEST.format(app=app), app)
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

    def until_destruction(self) -> str:
        """What is missing when everything but consent is there."""
        self.rotate("enable", TARGET)
        self.rotate("now", TARGET)
        for _ in range(30):
            self.rotate("run", "-once", code=None)
            line = self.line(TARGET)
            assert line["halt"] is None and line["failed"] is None, line
            assert line["retiring"] or line["phase"] != "IDLE", "it was destroyed without consent"
            missing = self.missing()
            if line["phase"] == "DESTROY" and len(missing) == 1:
                return missing[0]
            self.later(TARGET, hours=100)
        raise AssertionError(f"it does not come so far: {line}")

    def missing(self) -> list[str]:
        path = f"{self.environment}/_rot/rec/{TARGET}"
        read = self.kv.read_secret_version(path, mount_point=self.mount, raise_on_deleted_version=True)
        return read["data"]["data"]["work"].get("missing", [])

    def looks(self) -> dict:
        """The engine looks again, later."""
        self.later(TARGET, hours=2)
        self.rotate("run", "-once", code=None)
        return self.line(TARGET)


@pytest.fixture(scope="module")
def people(server):
    server.client().sys.enable_auth_method("userpass")
    return server


@pytest.fixture
def keys(binary, people, tmp_path):
    return Keys(binary, people, tmp_path)


def test_nobody_consents_for_another_and_the_engine_for_nobody(keys):
    anna, ben = keys.person("anna"), keys.person("ben")
    assert "0 of 2 people" in keys.until_destruction()
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
