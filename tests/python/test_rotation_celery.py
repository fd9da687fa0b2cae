"""Rotation by Celery: real workers with prefork, a real beat, a real Redis and a real server. Keys rotate through all
phases by themselves, workers are killed in the middle, and no token that should be valid is refused."""

import os
import pickle
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from datetime import datetime, timedelta, timezone

import jwt
import pytest
from celery import Celery
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, decode_token

import coffre.celery
import coffre.flask
from coffre._celery_rotation import Cron
from coffre.rotation import Rotator
from rig import until
from rotating import Rotating

JWT, FLASK, ENCRYPTION, PLACES = "jwt/secret_key", "flask/secret_key", "encryption/master_key", "api/google_places"
LIFETIME = 4

MANIFEST = f"""
[secret.JWT_SECRET_KEY]
path = "{JWT}"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "10s", token_lifetime = "{LIFETIME}s" }}

[secret.SECRET_KEY]
path = "{FLASK}"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "10s", token_lifetime = "{LIFETIME}s" }}

[secret.GOOGLE_PLACES_API_KEY]
path = "{PLACES}"
kind = "external"
rotation = {{ mode = "manual", every = "180d" }}

[rotation]
soft_ttl = "1s"
max_stale = "2s"
clock_allowance = "500ms"
action_timeout = "2s"
claim = "4s"
poll = "500ms"
destroy_hold = "1s"
limits = {{ promotions_per_hour = 1000 }}
"""

TASKS = """
import os
from celery import Celery
import coffre.celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
app.conf.task_default_queue = os.environ["SHOP_QUEUE"]
app.conf.broker_connection_retry_on_startup = True
tasks = coffre.celery.setup_rotation(app, queue=os.environ["SHOP_QUEUE"], heartbeat=0.5)
"""


class Shop(Rotating):
    """With Celery's processes, and somebody outside who sends tasks."""

    def __init__(self, server, directory, redis_server):
        super().__init__(server, directory, MANIFEST, (JWT, FLASK, PLACES))
        (directory / "shop_tasks.py").write_text(textwrap.dedent(TASKS))
        self.queue = f"rotation-{secrets.token_hex(4)}"
        broker, results = f"{redis_server.address}/1", f"{redis_server.address}/2"
        self.stores = [redis_server.client(), redis_server.client()]
        for store, number in zip(self.stores, (1, 2)):
            store.select(number)
        settings = {"SHOP_QUEUE": self.queue, "SHOP_BROKER": broker, "SHOP_RESULTS": results}
        self.environment = self.process_environ(self.rotation(), **settings)
        self.client = Celery("outside", broker=broker, backend=results)
        self.client.conf.task_default_queue = self.queue
        self.processes, self.logs = [], []

    def start(self, *command) -> subprocess.Popen:
        log = self.directory / f"celery-{len(self.logs)}.log"
        self.logs.append(log)
        words = [sys.executable, "-m", "celery", "-A", "shop_tasks", *command, "--loglevel", "INFO"]
        with open(log, "wb") as out:
            process = subprocess.Popen(
                words, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen:
        name = f"{self.queue}-{len(self.logs)}@test"
        return self.start("worker", "--concurrency", "2", "--hostname", name, "--pool", "prefork", "-Q", self.queue)

    def beat(self) -> subprocess.Popen:
        return self.start("beat", "--schedule", str(self.directory / f"schedule-{len(self.logs)}"), "--pidfile", "")

    def ask(self, name, *arguments, seconds=40, **options):
        return self.client.send_task(f"coffre.{name}", arguments, options).get(timeout=seconds)

    def text(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in self.logs)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def said(self) -> str:
        """All that Celery keeps in Redis."""
        return "\n".join(repr((store.dump(key), key)) for store in self.stores for key in store.keys("*"))


@pytest.fixture
def shop(fresh_server, tmp_path, redis_server):
    shop = Shop(fresh_server, tmp_path / "shop", redis_server)
    with Rotator(shop.rotation()) as rotator:
        assert rotator.enable() == [], "nothing forbids what the manifest says"
    yield shop
    shop.stop()
    for path in (JWT, FLASK):
        shop.document(path)
    shop.assert_shown_nowhere(shop.text(), shop.said())


@pytest.fixture
def rotator(shop):
    with Rotator(shop.rotation()) as rotator:
        yield rotator


def events(rotator, target, *wanted) -> list[dict]:
    told = rotator.history(target, 2_000)
    assert told.holds, "the chain of what happened"
    return [event for event in told.events if event["event"] in wanted]


def line(rotator, target):
    return next(found for found in rotator.status() if found.target == target)


class Tokens:
    """An application that signs with flask-jwt-extended, and somebody who uses each token until its end."""

    def __init__(self, store):
        self.app = Flask("shop")
        coffre.flask.init_app(self.app, store)
        coffre.flask.init_jwt(self.app, JWTManager(self.app), store)
        self.app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(seconds=LIFETIME)
        self.living: list[tuple[str, int]] = []
        self.kids, self.checked, self.across, self.expired = set(), 0, 0, 0

    def turn(self) -> None:
        with self.app.app_context():
            token = create_access_token("ada")
            self.kids.add(jwt.get_unverified_header(token)["kid"])
            self.living.append((token, decode_token(token)["exp"]))
            newest = jwt.get_unverified_header(token)["kid"]
            for each in list(self.living):
                if time.time() < each[1] - 0.5:
                    assert decode_token(each[0])["sub"] == "ada"
                    self.checked += 1
                    self.across += jwt.get_unverified_header(each[0])["kid"] != newest
                elif time.time() > each[1] + 1:
                    with pytest.raises(jwt.PyJWTError):
                        decode_token(each[0])
                    self.living.remove(each)
                    self.expired += 1


def test_keys_rotate_by_themselves_and_no_valid_token_is_refused(shop, rotator):
    shop.worker()
    shop.beat()
    with shop.secrets() as store:
        tokens = Tokens(store)

        def done():
            tokens.turn()
            return all(len(events(rotator, target, "promoted")) >= 2 and events(rotator, target, "destroyed") for target in (JWT, FLASK))

        until(done, 150, 0.2)
    assert tokens.across > 0 and tokens.expired > 0 and tokens.checked > 100 and len(tokens.kids) >= 2, vars(tokens)
    for target in (JWT, FLASK):
        assert len(shop.document(target)["keys"]) < 4 and line(rotator, target).halt is None
    assert "Traceback" not in shop.text()


def test_a_worker_that_is_killed_in_the_middle_is_gone_on_with(shop, rotator):
    shop.beat()
    for promoted in (1, 2):
        worker = shop.worker()
        until(lambda: line(rotator, JWT).phase in ("PREPARE", "VERIFY", "PUBLISH", "PROMOTE"), 60, 0.02)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        shop.worker()
        until(lambda: len(events(rotator, JWT, "promoted")) >= promoted, 60, 0.2)
    generations = [event["gen"] for event in events(rotator, JWT, "promoted")]
    assert generations == sorted(set(generations)) and line(rotator, JWT).halt is None


def test_many_workers_at_once_promote_each_generation_once(shop, rotator):
    for _ in "abc":
        shop.worker()
    shop.beat()

    def crowd():
        for name in ("rotate_jwt_secret", "rotate_flask_secret_key", "rotate_all_secrets"):
            shop.client.send_task(f"coffre.{name}", expires=2)
        return len(events(rotator, JWT, "promoted")) >= 2 and len(events(rotator, FLASK, "promoted")) >= 2

    until(crowd, 120, 0.1)
    for target in (JWT, FLASK):
        generations = [event["gen"] for event in events(rotator, target, "promoted")]
        assert generations == sorted(set(generations))
        assert line(rotator, target).halt is None


def test_a_task_that_is_delivered_twice_rotates_once(shop, rotator):
    rotator.disable([JWT, FLASK])
    shop.worker()
    before = datetime.now(timezone.utc).isoformat()
    first = shop.ask("rotate_jwt_secret", older_than=before)
    assert first["target"] == JWT and first["steps"] > 0 and first["waits"]
    until(lambda: shop.ask("rotate_jwt_secret", older_than=before)["target"] and events(rotator, JWT, "promoted"), 60, 0.2)
    until(lambda: shop.ask("rotate_all_secrets")["failed"] == {} and line(rotator, JWT).phase == "IDLE", 60, 0.2)
    assert shop.ask("rotate_secret", PLACES)["waits"]
    assert [event["gen"] for event in events(rotator, JWT, "promoted")] == [2]
    assert events(rotator, FLASK, "promoted") == []


def test_the_vault_away_is_tried_again_by_celery(shop, rotator):
    shop.worker()
    assert shop.ask("rotate_all_secrets")["failed"] == {}
    shop.server.stop()
    sent = shop.client.send_task("coffre.rotate_jwt_secret")
    until(lambda: "Retry in" in shop.text(), 60)
    shop.server.start()
    shop.server.unseal()
    assert sent.get(timeout=60)["target"] == JWT


def manifest(directory, text):
    (directory / "coffre.toml").write_text('app = "shop"\nenvironments = ["prod"]\n' + textwrap.dedent(text))
    return str(directory / "coffre.toml")


def test_beats_schedule_is_the_manifests(tmp_path):
    text = MANIFEST + f"""
    [secret.APP_ENCRYPTION_KEY_B64]
    path = "{ENCRYPTION}"
    kind = "encryption-key"
    rotation = {{ mode = "automatic", cron = "30 3 1 * *", zone = "Europe/Paris" }}

    [secret.TOKEN_KEY]
    path = "token/key"
    kind = "signing-key"
    rotation = {{ mode = "automatic", every = "7d", token_lifetime = "1h" }}
    """
    app = Celery("shop")
    app.conf.beat_schedule = {"count": {"task": "count", "schedule": 60.0}}
    app.conf.task_routes = {"mine": {"queue": "own"}}
    tasks = coffre.celery.setup_rotation(app, environ={}, manifest=manifest(tmp_path, text), queue="q", heartbeat=7)
    entries = app.conf.beat_schedule
    assert set(entries) == {"count", f"rotate {JWT}", f"rotate {FLASK}", f"rotate {ENCRYPTION}", "rotate token/key", "rotation goes on"}
    assert entries[f"rotate {JWT}"]["task"] == tasks.rotate_jwt_secret.name == "coffre.rotate_jwt_secret"
    assert entries[f"rotate {JWT}"]["schedule"].run_every == timedelta(seconds=10)
    assert entries[f"rotate {ENCRYPTION}"]["schedule"] == Cron("30 3 1 * *", "Europe/Paris")
    assert entries["rotate token/key"]["args"] == ["token/key"] and entries["rotate token/key"]["task"] == "coffre.rotate_secret"
    assert entries["rotation goes on"]["options"] == {"expires": 7, "queue": "q"}
    assert app.amqp.router.route({}, tasks.rotate_encryption_key.name)["queue"].name == "q"
    assert app.amqp.router.route({}, "mine")["queue"].name == "own"
    assert tasks.rotate_all_secrets.acks_late
    with pytest.raises(ValueError, match="jwt/other"):
        coffre.celery.setup_rotation(Celery("b"), environ={}, manifest=str(tmp_path / "coffre.toml"), names={"rotate_jwt_secret": "jwt/other"})


def test_a_cron_expression_is_that_of_its_zone_over_a_change_of_clocks(tmp_path):
    app = Celery("shop")
    app.conf.timezone = "America/New_York"
    every = pickle.loads(pickle.dumps(Cron("30 3 * * *", "Europe/Paris")))
    # 29 March 2026: clocks in Paris go from 2 to 3.
    last = datetime(2026, 3, 28, 2, 30, tzinfo=timezone.utc)
    for now, due, left in [
        (datetime(2026, 3, 29, 1, 0, tzinfo=timezone.utc), False, 1800),
        (datetime(2026, 3, 29, 1, 30, tzinfo=timezone.utc), True, 24 * 3600),
        (datetime(2026, 3, 31, 0, 30, tzinfo=timezone.utc), True, 3600),
    ]:
        every.app, every.nowfun = app, lambda now=now: now
        assert tuple(every.is_due(last)) == (due, left)
        assert every.remaining_estimate(last) == datetime(2026, 3, 29, 1, 30, tzinfo=timezone.utc) - now
    with pytest.raises(ValueError):
        Cron("30 3 * *", "Europe/Paris")
    with pytest.raises(ValueError):
        Cron("30 3 * * *", "Europe/Atlantis")
