"""coffre.celery with real workers, a real beat, a real Redis and a real PostgreSQL: logins and brokers change meanwhile."""

import secrets
import subprocess
import sys
import textwrap
import time

import pytest
from celery import Celery

import coffre.celery
from coffre_server import ArgvWatch
from redis_server import RedisServer
from rig import Rig, until
from shop_secrets import open_secrets
from test_frameworks_stores import Users

TASKS = """
import os, time
from celery import Celery
import coffre.celery, coffre.redis, coffre.sqlalchemy
from sqlalchemy import text
from shop_secrets import open_secrets

store = open_secrets()
app = Celery("shop")
if os.environ.get("SHOP_FROZEN"):  # As with AMQP, or a Celery that knows no credential providers.
    coffre.celery._takes_logins = lambda url, what: False
coffre.celery.setup(app, store, restart=os.environ["SHOP_RESTART"])
app.conf.task_default_queue = os.environ["SHOP_QUEUE"]
app.conf.beat_schedule = {"tick": {"task": "shop_tasks.tick", "schedule": 0.3}}
app.conf.broker_connection_retry_on_startup = True
app.conf.result_backend_always_retry = True  # Results are stored again when their connection is cut in the middle.
engine = None
if os.environ.get("SHOP_DATABASE"):
    engine = coffre.sqlalchemy.create_engine(store)
    with engine.connect() as connection:  # In the parent, before it forks.
        parent = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

@app.task
def add(a, b):
    return {"sum": a + b, "pid": os.getpid(), "worker": os.getppid()}

@app.task
def slow(seconds):
    time.sleep(seconds)
    return os.getppid()

@app.task
def tick():
    coffre.redis.client("CELERY_RESULT_BACKEND", store).incr(os.environ["SHOP_QUEUE"] + ":ticks")

@app.task
def backend():
    time.sleep(0.2)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return {"pid": os.getpid(), "backend": found, "parent": parent}
"""


class Shop:
    """The application's processes, and somebody outside who sends tasks as the broker's administrator."""

    def __init__(self, rig, redis_server, directory, **environ):
        self.rig, self.redis, self.queue = rig, redis_server, f"shop-{secrets.token_hex(4)}"
        (rig.directory / "shop_tasks.py").write_text(textwrap.dedent(TASKS))
        settings = {"SHOP_QUEUE": self.queue, "SHOP_RESTART": "supervisor", "COFFRE_SOFT_TTL": "1s"} | environ
        self.environ, self.directory = rig.process_environ(**settings), directory
        self.processes, self.logs = [], []
        self.use(redis_server)

    def use(self, redis_server):
        self.client = Celery("outside", broker=f"{redis_server.address}/1", backend=f"{redis_server.address}/2")
        self.client.conf.task_default_queue = self.queue
        self.store = redis_server.client()
        self.store.select(2)

    def start(self, *command) -> subprocess.Popen:
        log = self.directory / f"celery-{len(self.logs)}.log"
        self.logs.append(log)
        with open(log, "wb") as out:
            words = [sys.executable, "-m", "celery", "-A", "shop_tasks", *command, "--loglevel", "DEBUG"]
            process = subprocess.Popen(
                words, cwd=self.rig.directory, env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen:
        return self.start("worker", "--concurrency", "2", "--hostname", f"{self.queue}@test", "--pool", "prefork")

    def beat(self) -> subprocess.Popen:
        schedule = self.directory / f"schedule-{len(self.logs)}"
        return self.start("beat", "--schedule", str(schedule), "--pidfile", "")

    def send(self, name, *arguments):
        return self.client.send_task(f"shop_tasks.{name}", arguments)

    def ask(self, name, *arguments, seconds=40):
        return self.send(name, *arguments).get(timeout=seconds)

    def ticks(self) -> int:
        import redis

        with redis.Redis.from_url(f"{self.redis.address}/2") as client:
            return int(client.get(f"{self.queue}:ticks") or 0)

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
                process.kill()
                process.wait()


@pytest.fixture
def rig(server, tmp_path):
    rig = Rig(server, tmp_path / "shop")
    for path in ("flask/secret_key", "jwt/secret_key", "encryption/master_key"):
        rig.put(path, value=secrets.token_urlsafe(32))
    rig.put_database("postgresql://shop:unused-password@db.invalid:5432/shop")
    return rig


@pytest.fixture
def users(rig, redis_server):
    users = Users(redis_server)
    rig.put_redis(users.add())
    return users


def ended(shop):
    shop.stop()
    shop.rig.assert_shown_nowhere(shop.text())


@pytest.mark.parametrize("soft", ["1s", "300s"], ids=["seen", "unseen"])
def test_tasks_go_on_while_the_brokers_password_rotates_and_nothing_restarts(rig, users, redis_server, tmp_path, soft):
    """`unseen`: the library learns of the new password only because the broker refuses the old one."""
    shop = Shop(rig, redis_server, tmp_path, COFFRE_SOFT_TTL=soft)
    try:
        with ArgvWatch() as watch:
            worker, beat = shop.worker(), shop.beat()
            assert shop.ask("add", 1, 2)["sum"] == 3
            until(shop.ticks)
            for turn in range(2):
                sent = [shop.send("add", turn, n) for n in range(20)]
                rig.put_redis(users.add())
                if soft == "1s":
                    time.sleep(3)
                users.drop_old()
                answers = [one.get(timeout=60) for one in sent]
                # The worst of days: every connection of the old login ends. (A message that Redis hands out over a
                # connection in this very moment is lost, whoever does this; so nothing is under way.)
                users.disconnect()
                sent = [shop.send("add", turn, n) for n in range(20)]
                answers += [one.get(timeout=60) for one in sent]
                assert [answer["sum"] for answer in answers] == [turn + n for n in range(20)] * 2
                assert {answer["worker"] for answer in answers} == {worker.pid}
                before = shop.ticks()
                until(lambda: shop.ticks() > before + 1, 60)
                if soft == "300s":
                    time.sleep(11)  # Beyond the bound of one question in ten seconds.
            assert worker.poll() is None and beat.poll() is None
        for line in watch.seen:
            rig.assert_shown_nowhere(line.decode(errors="replace"))
    finally:
        ended(shop)


def test_where_celery_reads_logins_once_another_password_restarts_worker_and_beat(rig, users, redis_server, tmp_path):
    shop = Shop(rig, redis_server, tmp_path, SHOP_FROZEN="1")
    try:
        worker, beat = shop.worker(), shop.beat()
        assert shop.ask("add", 1, 2)["worker"] == worker.pid
        until(shop.ticks)
        running = shop.send("slow", 6)
        time.sleep(1.5)
        rig.put_redis(users.add())
        assert running.get(timeout=30) == worker.pid
        assert worker.wait(30) == 0 and beat.wait(30) == 0
        users.drop_old()
        again, _ = shop.worker(), shop.beat()
        assert shop.ask("add", 2, 2)["worker"] == again.pid
        before = shop.ticks()
        until(lambda: shop.ticks() > before + 1)
    finally:
        ended(shop)


def test_another_broker_ends_worker_and_beat_after_their_present_tasks(rig, users, redis_server, tmp_path):
    shop = Shop(rig, redis_server, tmp_path)
    with RedisServer() as other:
        rig.values.add(other.password)
        try:
            worker, beat = shop.worker(), shop.beat()
            shop.ask("add", 1, 2)
            running = shop.send("slow", 6)
            time.sleep(1.5)
            rig.put_redis(other.address)
            assert running.get(timeout=30) == worker.pid
            assert worker.wait(30) == 0 and beat.wait(30) == 0
            shop.use(other)
            again = shop.worker()  # As its supervisor does.
            assert shop.ask("add", 2, 2)["worker"] == again.pid
        finally:
            ended(shop)
    assert "REDIS_URL" not in shop.text() and "CELERY_BROKER_URL, CELERY_RESULT_BACKEND changed" in shop.text()


def test_a_worker_can_start_anew_in_place(rig, users, redis_server, tmp_path):
    shop = Shop(rig, redis_server, tmp_path, SHOP_RESTART="in-place")
    with RedisServer() as other:
        rig.values.add(other.password)
        try:
            worker = shop.worker()
            shop.ask("add", 1, 2)
            rig.put_redis(other.address)
            shop.use(other)
            assert shop.ask("add", 2, 2, seconds=60)["worker"] == worker.pid
        finally:
            ended(shop)


def test_children_have_connections_of_their_own(rig, users, redis_server, postgres, tmp_path):
    name, word = f"shop_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    postgres.create_role(name, word)
    rig.put_database(postgres.url_for(name, word))
    shop = Shop(rig, redis_server, tmp_path, SHOP_DATABASE="1")
    try:
        shop.worker()
        answers = [one.get(timeout=60) for one in [shop.send("backend") for _ in range(12)]]
        backends = {}
        for answer in answers:
            backends.setdefault(answer["pid"], set()).add(answer["backend"])
        assert len(backends) == 2
        assert all(len(found) == 1 for found in backends.values())
        all_backends = [next(iter(found)) for found in backends.values()] + [answers[0]["parent"]]
        assert len(set(all_backends)) == 3
    finally:
        ended(shop)


def test_the_configuration_holds_no_password(rig, users, redis_server, tmp_path):
    store = open_secrets(rig.environ())
    app = coffre.celery.setup(Celery("shop"), store)
    assert users.words[-1] not in app.conf.broker_url and users.name not in app.conf.broker_url
    rig.assert_shown_nowhere(
        repr(app.conf), str(dict(app.conf)), app.conf.humanize(with_defaults=True), app.bugreport(), str(app.connection()),
        repr(app.backend.connparams), app.backend.as_uri(), repr(app.connection().info()),
    )
    with app.connection() as connection:
        connection.ensure_connection(max_retries=1)
        assert connection.default_channel.client.acl_whoami() in (users.name, users.name.encode())
    with pytest.raises(ValueError, match="restart is one of"):
        coffre.celery.setup(Celery("shop"), store, restart="now")


def test_development_has_its_broker_from_dotenv(rig, users):
    (rig.directory / ".env").write_text(f"REDIS_URL={users.url}\n")
    (rig.directory / ".env").chmod(0o600)
    environ = {name: value for name, value in rig.environ(COFFRE_ENV="dev").items() if not name.startswith("VAULT_")}
    with open_secrets(environ) as store:
        assert store.source() == "dotenv"
        app = coffre.celery.setup(Celery("shop"), store, result=None)
        with app.connection() as connection:
            connection.ensure_connection(max_retries=1)
            assert connection.default_channel.client.acl_whoami() in (users.name, users.name.encode())
        rig.assert_shown_nowhere(repr(app.conf), app.conf.broker_url)
