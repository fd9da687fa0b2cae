"""An application's own rotation, which the engine calls: a user of a real Redis whose passwords the application's code adds
and removes, and a signing key that it keeps a list of. Calls are repeated, fail, hang and are killed."""

import copy
import os
import pickle
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import redis

from coffre.rotation import Generation, NeedsPerson, Overtaken, Refused, RotationError, Rotator
from rig import until
from rotating import Rotating

MAIL, JWT = "mail/password", "jwt/secret_key"
MANIFEST = f"""
[secret.MAIL_PASSWORD]
path = "{MAIL}"
kind = "password"
rotation = {{ mode = "automatic", every = "30d", bridge = true, grace = "1s" }}

[secret.JWT_SECRET_KEY]
path = "{JWT}"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "30d", token_lifetime = "1s", bridge = true }}

[secret.PLAIN_KEY]
path = "plain/key"
kind = "external"
rotation = {{ mode = "manual", every = "90d" }}

[rotation]
soft_ttl = "1s"
max_stale = "1100ms"
clock_allowance = "500ms"
action_timeout = "2s"
claim = "4s"
poll = "500ms"
destroy_hold = "1s"
limits = {{ promotions_per_hour = 1000, at_once = 2 }}
"""


class Mailbox:
    """Adds and removes passwords of a Redis user; a repetition changes nothing."""

    def __init__(self, client: redis.Redis, user: str):
        self.client, self.user, self.calls = client, user, []

    def apply(self, new: Generation) -> None:
        self.calls.append(("apply", new.number, new.fence))
        self.client.execute_command("ACL", "SETUSER", self.user, f">{new.value}")

    def retire(self, old: Generation) -> None:
        self.calls.append(("retire", old.number, old.fence))
        try:
            self.client.execute_command("ACL", "SETUSER", self.user, f"<{old.value}")
        except redis.ResponseError as error:
            assert "not" in str(error).lower()


class Fails:
    """Raises what it is told to, then does nothing at all."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), []

    def apply(self, new):
        self.calls.append(("apply", new.number, new.value))
        self.raised(new)

    def retire(self, old):
        self.calls.append(("retire", old.number, old.value))

    def raised(self, new):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error(f"cannot do it with {new.value}") if isinstance(error, type) else error


@pytest.fixture
def shop(fresh_server, tmp_path):
    return Rotating(fresh_server, tmp_path / "shop", MANIFEST, (MAIL, JWT, "plain/key"))


@pytest.fixture
def rotator(shop):
    with Rotator(shop.rotation()) as rotator:
        rotator.publish_policy()
        yield rotator


@pytest.fixture
def user(shop, redis_server):
    name = f"mail-{secrets.token_hex(4)}"
    password = shop.document(MAIL)["value"]
    redis_server.client().execute_command("ACL", "SETUSER", name, "on", f">{password}", "+ping")
    yield name
    redis_server.client().execute_command("ACL", "DELUSER", name)


def accepts(redis_server, user, password) -> bool:
    try:
        with redis.Redis(host="127.0.0.1", port=redis_server.port, username=user, password=password) as client:
            return client.ping()
    except redis.AuthenticationError:
        return False


def line(rotator, target):
    return next(found for found in rotator.status() if found.target == target)


def driven(rotator, target, phase, seconds=40):
    def there():
        rotator.drive(target)
        return line(rotator, target).phase == phase

    until(there, seconds, 0.2)


def test_a_password_goes_through_all_phases_and_one_that_holds_is_always_accepted(shop, rotator, redis_server, user):
    mailbox = Mailbox(redis_server.client(), user)
    rotator.bridge(MAIL, mailbox)
    assert rotator.enable([MAIL]) == []
    old = shop.document(MAIL)["value"]
    rotator.now(MAIL)

    def over():
        rotator.step(MAIL)
        now = shop.document(MAIL)["value"]
        assert accepts(redis_server, user, now), "what the vault says is accepted"
        assert now == old or accepts(redis_server, user, old) or line(rotator, MAIL).retiring == ()\
            or line(rotator, MAIL).retiring[0].phase != "DRAIN"
        return now != old and line(rotator, MAIL).phase == "IDLE" and not line(rotator, MAIL).retiring

    until(over, 60, 0.1)
    assert [call[:2] for call in mailbox.calls] == [("apply", 2), ("retire", 1)]
    assert not accepts(redis_server, user, old)
    fences = [call[2] for call in mailbox.calls]
    assert fences == sorted(fences)
    shop.assert_shown_nowhere(repr(rotator.history(MAIL, 100)), repr(rotator.status()))


def test_the_engine_without_the_code_leaves_it_alone(shop, rotator):
    rotator.enable([MAIL])
    rotator.now(MAIL)
    steps, wait = rotator.drive(MAIL)
    assert steps == 0 and "the application rotates it" in wait.why
    assert rotator.tick().failed == {} and line(rotator, MAIL).halt is None
    rotator.bridge(MAIL, Fails())
    driven(rotator, MAIL, "IDLE")
    assert shop.generation(MAIL) == 2


def test_what_is_taken_back_is_retired_too(shop, rotator, redis_server, user):
    mailbox = Mailbox(redis_server.client(), user)
    rotator.bridge("JWT_SECRET_KEY", mailbox)
    before = shop.document(JWT)["value"]
    rotator.now(JWT)
    rotator.drive(JWT)
    assert line(rotator, JWT).phase == "PUBLISH"
    new = next(entry["mat"] for entry in shop.document(JWT)["keys"] if entry["mat"] != before)
    assert accepts(redis_server, user, new)
    rotator.undo(JWT)
    rotator.drive(JWT)
    assert not accepts(redis_server, user, new) and shop.document(JWT)["value"] == before
    assert [call[:2] for call in mailbox.calls] == [("apply", 2), ("retire", 2)]


def test_a_compromised_key_is_retired_at_once(shop, rotator):
    seen = []

    class Watches(Fails):
        def retire(self, old):
            seen.append((old.number, old.value, old.compromised))

    rotator.bridge(JWT, Watches())
    before = shop.document(JWT)["value"]
    rotator.now(JWT, compromised=True)
    until(lambda: (rotator.drive(JWT), seen)[1], 30, 0.2)
    assert seen[0] == (1, before, True)
    assert before not in {entry["mat"] for entry in shop.document(JWT)["keys"]}


@pytest.mark.parametrize("error", [ValueError, OSError("connection reset"), KeyError])
def test_any_trouble_is_tried_again_with_the_same_value_and_its_text_is_kept_nowhere(shop, rotator, caplog, error):
    bridge = Fails(error)
    rotator.bridge(MAIL, bridge)
    rotator.now(MAIL)
    _, wait = rotator.drive(MAIL)
    assert wait.until is not None
    shop.values.update(call[2] for call in bridge.calls)
    until(lambda: (rotator.drive(MAIL), len(bridge.calls) > 1)[1], 30, 0.5)
    assert bridge.calls[0] == bridge.calls[1], "the same generation and value"
    told = repr(rotator.history(MAIL, 100)) + repr(rotator.status()) + caplog.text
    shop.assert_shown_nowhere(told)
    assert "connection reset" not in told


def test_a_refused_value_is_replaced_and_taken_back(shop, rotator):
    bridge = Fails(Refused)
    rotator.bridge(MAIL, bridge)
    rotator.now(MAIL)
    until(lambda: (rotator.drive(MAIL), any(call[:2] == ("apply", 3) for call in bridge.calls))[1], 60, 0.5)
    assert [call[:2] for call in bridge.calls][:3] == [("apply", 2), ("retire", 2), ("apply", 3)]
    assert len({call[2] for call in bridge.calls if call[0] == "apply"}) == 2


def test_a_person_is_asked_in_the_applications_words_unless_they_hold_the_value(shop, rotator):
    bridge = Fails(NeedsPerson("the mail provider wants its terms accepted."), NeedsPerson, Overtaken)
    rotator.bridge(MAIL, bridge)
    rotator.now(MAIL)
    rotator.drive(MAIL)
    halt = line(rotator, MAIL).halt
    assert "NeedsPerson" in halt.why and "wants its terms accepted" in halt.why + halt.advice
    rotator.resume(MAIL)
    rotator.drive(MAIL)
    halt = line(rotator, MAIL).halt
    assert "NeedsPerson" in halt.why
    shop.values.update(call[2] for call in bridge.calls)
    shop.assert_shown_nowhere(repr(halt), repr(rotator.history(MAIL, 100)))


def test_a_call_that_hangs_is_given_up_and_not_made_twice_at_once(shop, rotator):
    inside, most, free = [], [], threading.Event()

    class Hangs(Fails):
        def apply(self, new):
            inside.append(1)
            most.append(len(inside))
            free.wait(30)
            inside.pop()

    rotator.bridge(MAIL, Hangs())
    rotator.now(MAIL)
    began = time.monotonic()
    rotator.drive(MAIL)
    assert time.monotonic() - began < 15 and line(rotator, MAIL).phase == "APPLY"
    until(lambda: (rotator.drive(MAIL), time.monotonic() - began > 12)[1], 30, 0.5)
    assert most == [1], "the call before still ran"
    free.set()
    until(lambda: (rotator.drive(MAIL), line(rotator, MAIL).phase not in ("PREPARE", "APPLY"))[1], 60, 0.5)
    assert max(most) == 1


KILLED = """
import os, sys, time
from coffre.rotation import Rotator

class Kills:
    def apply(self, new):
        with open(sys.argv[1], "a") as file:
            file.write(f"{new.number} {hash(new.value)} {new.fence}\\n")
        if sys.argv[2] == "apply":
            os.kill(os.getpid(), 9)
    def retire(self, old):
        with open(sys.argv[1], "a") as file:
            file.write(f"-{old.number} {hash(old.value)} {old.fence}\\n")
        if sys.argv[2] == "retire":
            os.kill(os.getpid(), 9)

rotator = Rotator()
rotator.bridge("mail/password", Kills())
for _ in range(600):
    rotator.drive("mail/password")
    line = next(each for each in rotator.status() if each.target == "mail/password")
    if line.active == 2 and line.phase == "IDLE" and not line.retiring:
        break
    time.sleep(0.1)
"""


@pytest.mark.parametrize("where", ["apply", "retire"])
def test_a_process_that_is_killed_inside_of_a_call_is_gone_on_with(shop, rotator, tmp_path, where):
    rotator.now(MAIL)
    (tmp_path / "killed.py").write_text(textwrap.dedent(KILLED))
    record = tmp_path / "calls"

    def run(mode):
        command = [sys.executable, str(tmp_path / "killed.py"), str(record), mode]
        environ = shop.process_environ(shop.rotation(), PYTHONHASHSEED="7")
        return subprocess.run(command, cwd=shop.directory, env=environ, capture_output=True, text=True, timeout=100, check=False)

    first = run(where)
    assert first.returncode == -signal.SIGKILL, first.stderr
    second = run("none")
    assert second.returncode == 0, second.stderr
    calls = [call.split() for call in record.read_text().splitlines()]
    repeated = [call for call in calls if call[0] == ("2" if where == "apply" else "-1")]
    assert len(repeated) == 2 and repeated[0][1] == repeated[1][1], "the same value again"
    assert int(repeated[0][2]) < int(repeated[1][2]), "by another engine"
    assert line(rotator, MAIL).active == 2 and not line(rotator, MAIL).retiring
    shop.document(MAIL)
    shop.assert_shown_nowhere(first.stdout + first.stderr, second.stdout + second.stderr)


def test_code_for_a_target_that_does_not_say_so_is_refused(shop, rotator):
    with pytest.raises(TypeError, match="retire"):
        rotator.bridge(MAIL, type("Half", (), {"apply": lambda self, new: None})())
    rotator.bridge("plain/key", Fails())
    with pytest.raises(RotationError, match="bridge = true"):
        rotator.status()


def test_a_generation_shows_nothing(shop):
    held = Generation("mail/password", 3, "a-value-nobody-sees", 7, 0.0, False)
    assert "nobody" not in repr(held) and "nobody" not in str(held)
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            attempt(held)
