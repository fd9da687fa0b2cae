"""coffre.rotation: the engine from Python, with the identity of the rotation, against a real server."""

import logging
import os
import pickle
import secrets
import threading
import traceback

import pytest

import coffre
from coffre.rotation import RotationError, Rotator
from rotating import Rotating

MANIFEST = """
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
rotation = { mode = "automatic", every = "30d", token_lifetime = "1h" }

[secret.GOOGLE_PLACES_API_KEY]
path = "api/google_places"
kind = "external"
rotation = { mode = "manual", every = "180d" }
"""
JWT, PLACES = "jwt/secret_key", "api/google_places"


@pytest.fixture
def shop(fresh_server, tmp_path):
    return Rotating(fresh_server, tmp_path / "shop", MANIFEST, (JWT, PLACES))


@pytest.fixture
def rotator(shop):
    with Rotator(shop.rotation()) as rotator:
        yield rotator


def line(rotator, target):
    return next(found for found in rotator.status() if found.target == target)


def test_a_rotation_is_begun_looked_at_and_taken_back(shop, rotator, caplog):
    caplog.set_level(logging.DEBUG)
    assert [found.target for found in rotator.status()] == [JWT, PLACES] or len(rotator.status()) == 2
    assert rotator.enable(check=True) == []
    assert rotator.enable() == [] and line(rotator, JWT).enabled
    rotator.now("JWT_SECRET_KEY")
    phases = []
    while (step := rotator.step(JWT)).wait is None:
        phases.append((step.before, step.after))
    assert phases[0][0] == "PREPARE" and phases[-1][1] == "PUBLISH"
    assert step.wait.until is not None and step.wait.until.tzinfo is not None
    assert [planned.phase for planned in rotator.plan(JWT)][-1] == "DESTROY"
    with pytest.raises(RotationError, match="under way") as refused:
        rotator.now(JWT)
    assert (refused.value.kind, refused.value.retryable) == ("refused", False)
    assert {entry["state"] for entry in shop.document(JWT)["keys"]} == {"active", "accept"}
    rotator.undo(JWT)
    steps, wait = rotator.drive(JWT)
    assert steps > 0 and wait is not None and line(rotator, JWT).phase == "IDLE"
    assert [entry["gen"] for entry in shop.document(JWT)["keys"]] == [1]
    told = rotator.history(JWT, 50)
    assert told.holds and "undo" in {event["event"] for event in told.events}
    shop.assert_shown_nowhere(caplog.text, repr(rotator), repr(told), repr(rotator.status()), repr(step))


def test_a_key_of_an_outside_service_is_provided_and_its_value_stays_unseen(shop, rotator):
    value = secrets.token_urlsafe(24)
    shop.values.add(value)
    rotator.provide(PLACES, value)
    rotator.drive(PLACES)
    assert shop.document(PLACES)["value"] == value
    with pytest.raises(RotationError) as refused:
        rotator.provide(PLACES, value)
    with pytest.raises(RotationError) as early:
        rotator.confirm_revoked(PLACES)
    with pytest.raises(RotationError):
        rotator.rollback(JWT)
    for found in (refused, early):
        shop.assert_shown_nowhere("".join(traceback.format_exception(found.value)), repr(pickle.loads(pickle.dumps(found.value))))


def test_a_freeze_holds_everything_until_it_is_taken_back(shop, rotator):
    rotator.freeze("an exercise")
    rotator.now(JWT)
    steps, wait = rotator.drive(JWT)
    assert "an exercise" in wait.why and shop.generation(JWT) == 1
    assert line(rotator, JWT).frozen == "an exercise"
    rotator.unfreeze()
    assert rotator.drive(JWT)[0] > 0 and line(rotator, JWT).phase == "PUBLISH"


def test_who_may_not_is_told_so(shop, tmp_path):
    with Rotator(shop.environ()) as reader, pytest.raises(coffre.Denied):
        reader.now(JWT)
    role, secret = shop.rotator
    with Rotator(shop.environ(), role_id=role, secret_id=secret) as explicit:
        assert explicit.publish_policy() and not explicit.publish_policy()
        with pytest.raises(coffre.NotFound, match="jwt/secret_key"):
            explicit.plan("jwt/other")
    with pytest.raises(coffre.SourceError, match="identity"):
        Rotator({"VAULT_ADDR": shop.server.address}, manifest=shop.directory / "coffre.toml").status()
    with pytest.raises(coffre.SourceError, match=r"coffre\.toml"):
        Rotator({}, directory=tmp_path).status()
    shop.server.stop()
    with Rotator(shop.rotation(VAULT_MAX_RETRIES="0")) as alone, pytest.raises(coffre.Unavailable) as away:
        alone.status()
    assert away.value.retryable


def test_a_forked_child_has_an_engine_of_its_own(shop, rotator):
    rotator.now(JWT)
    before = rotator.status()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            steps, _ = rotator.drive(JWT)
            os.write(write, f"{steps} {line(rotator, JWT).holder}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as told:
        steps = told.read().split()[0]
    assert os.waitpid(child, 0)[1] == 0 and int(steps) > 0
    assert line(rotator, JWT).phase == "PUBLISH" and before[0].phase != "PUBLISH"


def test_threads_share_one_and_python_runs_meanwhile(shop, rotator):
    rotator.now(JWT)
    failed, counted, done = [], [], threading.Event()

    def work():
        try:
            for _ in range(5):
                rotator.drive(JWT)
        except BaseException as error:
            failed.append(error)

    def count():
        while not done.wait(0.001):
            counted.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    counter = threading.Thread(target=count)
    for thread in (counter, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    counter.join()
    assert failed == [] and len(counted) > 5
    assert line(rotator, JWT).phase == "PUBLISH"
    assert len(shop.document(JWT)["keys"]) == 2


def test_a_rotator_is_neither_pickled_nor_shown(shop, rotator):
    with pytest.raises(TypeError):
        pickle.dumps(rotator)
    shop.assert_shown_nowhere(repr(rotator), str(vars(rotator)))
