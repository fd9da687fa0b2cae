"""Bad days of a rotation, with the real engine and real servers: an engine that is paused for longer than its claim, three at
once, databases that are down, start anew or fail over, a vault from an older snapshot, passwords that are refused, clocks that
jump, names that are SQL. The active credential works all the while, and whoever stands still says what to do.

Scenes are played side by side: most of a rotation is waiting. Who stops a server has one of their own.
"""

import contextlib
import copy
import datetime
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import psycopg.sql
import pytest

from coffre_server import Server
from conftest import real
from kill_cells import KINDS, MOUNT, RECORD, SLOW, AclRedis, Cell, Stage, asked_for, kid_of, pace
from kill_taps import LISTED, phase_of
from postgres_server import PostgresServer
from real_process import until as within
from side_by_side import in_acts, play, scene

pytestmark = pytest.mark.timeout(900 * SLOW)

NUMBERS = itertools.count()
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(hours=25)


@pytest.fixture(scope="module")
def own_postgres():
    yield from real(PostgresServer)


@pytest.fixture(scope="module")
def own_redis():
    yield from real(AclRedis)


@pytest.fixture(scope="module")
def stage(binary, server, own_postgres, own_redis, tmp_path_factory):
    return Stage(binary, server, own_postgres, own_redis, tmp_path_factory.mktemp("cells"))


class Asked:
    """Cells in which a rotation was asked for and nothing has begun, and how an undisturbed one ends."""

    def __init__(self, stage: Stage):
        self.stage, self.documents, self.undisturbed = stage, {}, {}
        self.locks = {kind: threading.RLock() for kind in KINDS}

    def cell(self, kind: str, wanted=None, *, made_by=None, stage=None, **how) -> Cell:
        with self.locks[kind]:
            if kind not in self.documents:
                self.documents[kind] = asked_for(self.stage, KINDS[kind], f"b{next(NUMBERS)}")
        cell = (made_by or KINDS[kind])(stage or self.stage, f"b{next(NUMBERS)}", wanted, **how)
        cell.take_over(self.documents[kind])
        return cell

    def end(self, kind: str) -> dict:
        with self.locks[kind]:
            if kind not in self.undisturbed:
                with contextlib.closing(self.cell(kind)) as cell:
                    cell.run()
                    assert cell.problems == []
                    self.undisturbed[kind] = cell.outcome()
            return self.undisturbed[kind]


@pytest.fixture(scope="module")
def asked(stage):
    return Asked(stage)


@pytest.fixture(scope="module")
def scenes(request, stage, asked):
    return play(request, stage.directory / "scenes.txt", stage=stage, asked=asked)


def until(condition, seconds: float) -> bool:
    return within(condition, seconds * SLOW)


def record_of(cell: Cell) -> dict:
    return cell.get(f"{RECORD}/{cell.target}")


def stands_still(cell: Cell) -> bool:
    try:
        return record_of(cell)["phase"] == "HALT"
    except AssertionError:
        # A vault from before the record.
        return False


def rests(cell: Cell) -> bool:
    record = record_of(cell)
    return record["phase"] == "IDLE" and not record["retiring"] and record["repair"] is None


@contextlib.contextmanager
def engine(cell: Cell, name: str = "other", *flags: str):
    """An engine beside those that the cell starts; ended afterwards."""
    path = cell.directory / f"{name}.log"
    with open(path, "wb") as log:
        process = cell.start(("run", *flags), log)
    process.said = lambda: path.read_text(errors="replace")
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def sleeping(cell: Cell):
    """An engine that has been stopped before the effect that the cell's trap waits for."""
    with engine(cell, "sleeper") as sleeper:
        cell.trap.process = sleeper
        assert until(lambda: cell.trap.paused is not None, 60), sleeper.said()
        yield sleeper


def older(value, back: datetime.timedelta):
    """A record of which everything happened longer ago."""
    match value:
        case dict():
            return {name: older(part, back) for name, part in value.items()}
        case list():
            return [older(part, back) for part in value]
        case str() if TIME.match(value):
            moved = datetime.datetime.fromisoformat(value) - back
            return moved.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case _:
            return value


# An engine that was paused (delivery 5, test 3).

PAUSES = [
    ("pg-alternating", "APPLY", "postgresql: set the password"),
    ("pg-alternating", "PROMOTE", "the document"),
    ("pg-alternating", "RETIRE", "postgresql: lock the role out"),
    ("redis-two-password", "APPLY", "redis: add a password"),
    ("redis-two-password", "PROMOTE", "the document"),
    ("redis-two-password", "RETIRE", "redis: take a password away"),
    ("signing-key", "PUBLISH", "the document"),
    ("signing-key", "PROMOTE", "the record, on to DRAIN"),
]


def words(part) -> str:
    return str(part).replace(" ", "-")


@scene
@pytest.mark.parametrize(("kind", "phase", "effect"), PAUSES, ids=words)
def test_n8_an_engine_that_slept_past_its_claim_changes_nothing_any_more(asked, kind, phase, effect):
    """It is stopped before the effect; another finishes; then the effect arrives, and the engine wakes."""
    expected = asked.end(kind)
    with contextlib.closing(asked.cell(kind, (phase, effect), pause=True)) as cell, sleeping(cell) as sleeper:
        cell.run()
        before = cell.outcome()
        assert before == expected
        cell.trap.release()
        assert until(lambda: cell.trap.late != "", 20), sleeper.said()
        if effect.startswith("the "):
            assert cell.trap.late == "400", "check-and-set refuses it"
        # It lives, and sees that there is nothing to do.
        time.sleep(2)
        assert sleeper.poll() is None, sleeper.said()
        assert cell.outcome() == before and cell.problems == []


@scene
def test_an_engine_that_slept_while_texts_were_written_anew_changes_none_and_its_transaction_is_waited_for(asked):
    """Its own transaction is open: whoever may still write under the old key keeps that key from being destroyed."""
    wanted = ("REENCRYPT", "postgresql: write a text anew")
    expected = asked.end("encryption-key")
    with contextlib.closing(asked.cell("encryption-key", wanted, pause=True)) as cell, sleeping(cell) as sleeper:
        with engine(cell, "second") as second:
            assert until(lambda: phase_of(record_of(cell)) == "DESTROY", 60), second.said()
            time.sleep(3)
            assert phase_of(record_of(cell)) == "DESTROY" and cell.state()["the first version"] is False
            texts = cell.rows()
            cell.trap.release()
            assert until(lambda: cell.trap.late != "", 20), sleeper.said()
        cell.run()
        assert cell.rows() == texts and sleeper.poll() is None
        assert until(lambda: cell.outcome() == expected, 20), (cell.outcome(), expected)
        assert cell.problems == []


# An engine that does not know that it is late, since others have a wrong idea of its claim: it is stopped when it has read
# everything and is about to act. Its claim is so long that it acts when it wakes.
CONFIDENT = pace(action=3, claim=200)


def expire(cell: Cell) -> None:
    """The claim has ended, as far as others see."""
    cell.rewrite(f"{RECORD}/{cell.target}", lambda record: record | {"claim": older(record["claim"], HOUR)})


def refused(sleeper) -> bool:
    return "the target refused our fence" in sleeper.said()


@scene
@pytest.mark.parametrize("phase", ["APPLY", "RETIRE"])
@pytest.mark.parametrize("kind", ["pg-alternating", "redis-two-password"])
def test_n8_the_database_itself_refuses_an_engine_that_does_not_know_that_it_is_late(asked, kind, phase):
    """It is stopped before the action, another finishes, and then it acts."""
    expected = asked.end(kind)
    with contextlib.closing(asked.cell(kind, (phase, LISTED), pause=True, times=CONFIDENT)) as cell, sleeping(cell) as sleeper:
        expire(cell)
        cell.run()
        before = cell.outcome()
        assert before == expected
        cell.trap.release()
        assert until(lambda: refused(sleeper), 30), sleeper.said()
        time.sleep(1)
        assert cell.outcome() == before and cell.problems == []


@scene
def test_a_late_lock_out_does_not_hit_the_user_that_is_in_use_again(asked):
    """The first user is about to be locked out when the engine stops; the next rotation lets it in again."""
    wanted = ("RETIRE", LISTED)
    with contextlib.closing(asked.cell("pg-alternating", wanted, pause=True, times=CONFIDENT)) as cell, sleeping(cell) as sleeper:
        expire(cell)
        cell.run()
        cell.person("now", cell.target)
        cell.goal = 3
        cell.run()
        document = cell.get(cell.target)
        assert document["username"] == cell.users[0] and cell.works(document)
        cell.trap.release()
        assert until(lambda: refused(sleeper), 30), sleeper.said()
        time.sleep(1)
        assert cell.works(document) and cell.get(cell.target) == document and cell.problems == []


def erase_fences(cell: Cell) -> None:
    """The database forgets which rotation was the last to change something: nothing stands in a late one's way any more."""
    if cell.kind == "redis-two-password":
        with cell.stage.redis.client() as client:
            assert client.delete(f"_rot:fence:{cell.user}") == 1
        return
    with cell.stage.connect() as session:
        for user in cell.users:
            (before,) = session.execute("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", [user]).fetchone()
            assert "coffre fence" in before
            session.execute(psycopg.sql.SQL("COMMENT ON ROLE {} IS NULL").format(psycopg.sql.Identifier(user)))


@scene
@pytest.mark.parametrize("fence", ["kept", "erased"])
@pytest.mark.parametrize(
    ("kind", "phase", "harm"),
    [
        ("pg-alternating", "APPLY", "a retired password logs in"),
        ("pg-alternating", "RETIRE", "the user in use is locked out"),
        ("redis-two-password", "APPLY", "a retired password logs in"),
    ],
    ids=words,
)
def test_n8_it_is_the_fence_that_keeps_a_late_engine_from_harm(asked, kind, phase, harm, fence):
    """Two rotations later it acts. Where the database has forgotten the fence the harm is done, and is seen: so the tests that find
    none would find it."""
    with contextlib.closing(asked.cell(kind, (phase, LISTED), pause=True, times=CONFIDENT)) as cell, sleeping(cell) as sleeper:
        expire(cell)
        cell.run()
        second = cell.get(cell.target)
        cell.person("now", cell.target)
        cell.goal = 3
        cell.run()
        third = cell.get(cell.target)

        def harmed() -> bool:
            return cell.works(second) if harm == "a retired password logs in" else not cell.works(third)

        assert not harmed() and cell.problems == []
        if fence == "erased":
            erase_fences(cell)
        cell.trap.release()
        if fence == "erased":
            assert until(harmed, 30), sleeper.said()
        else:
            assert until(lambda: refused(sleeper), 30), sleeper.said()
            time.sleep(1)
            assert not harmed() and cell.problems == []


@scene
@pytest.mark.parametrize("kind", KINDS)
def test_n8_three_engines_at_once_end_as_one_does(asked, kind):
    expected = asked.end(kind)
    with contextlib.closing(asked.cell(kind)) as cell, engine(cell, "second"), engine(cell, "third"):
        cell.run()
        assert until(lambda: cell.outcome() == expected, 20), (cell.outcome(), expected)
        time.sleep(1)
        assert cell.outcome() == expected and cell.problems == []


# Databases on bad days (delivery 5, test 9).


@contextlib.contextmanager
def apart(stage: Stage, kind: str):
    """The stage with a database server of its own for this kind, and that server. It ends with the thread that started it."""
    if kind == "redis-two-password":
        with AclRedis() as server:
            other = copy.copy(stage)
            other.redis = server
            yield other, server
    else:
        with PostgresServer() as server:
            yield stage.on(server), server


@scene
@pytest.mark.parametrize(
    ("kind", "phase", "effect"),
    [
        ("pg-alternating", "APPLY", "postgresql: set the password"),
        ("pg-alternating", "RETIRE", "postgresql: lock the role out"),
        ("redis-two-password", "APPLY", "redis: add a password"),
        ("redis-two-password", "RETIRE", "redis: take a password away"),
    ],
    ids=words,
)
def test_n8_a_database_that_is_down_for_longer_than_the_retries_halts_and_resume_goes_on(stage, asked, kind, phase, effect):
    expected = asked.end(kind)
    with apart(stage, kind) as (alone, server), contextlib.closing(asked.cell(kind, (phase, effect), stage=alone)) as cell:
        # The engine is killed there, and the database with it.
        with engine(cell) as first:
            cell.trap.process = first
            first.wait(60 * SLOW)
        server.stop()
        cell.trap.look = lambda: None
        with engine(cell, "second") as second:
            assert until(lambda: "Transient" in second.said(), 40), second.said()
            assert until(lambda: record_of(cell)["claim"] is None, 45)
        # A day later, and many failures in a row.
        cell.rewrite(f"{RECORD}/{cell.target}", tired)
        said = cell.person("run", "-once", code=2)
        server.start()
        record = record_of(cell)
        assert record["phase"] == "HALT" and record["halt"]["code"] == "unreachable", record
        assert cell.works(cell.get(cell.target)), "the active credential is as it was"
        assert "stands still" in said and "coffre rotate resume" in said and "the active generation is untouched" in said, said
        cell.trap.look = cell.look
        cell.person("resume", cell.target)
        cell.run()
        found = cell.outcome()
        for part in ("record", "outside", "gen"):
            assert found[part] == expected[part]
        assert cell.problems == []


def tired(record: dict) -> dict:
    """A day has passed, and many tries."""
    record = older(record, DAY)
    if record["retiring"] and record["phase"] in ("DRAIN", "RETIRE"):
        record["retiring"][0]["tries"] = 8
    else:
        record["tries"] = 8
    return record


@scene
@pytest.mark.parametrize("kind", ["pg-alternating", "redis-two-password", "encryption-key"])
def test_the_database_starts_anew_after_each_phase(stage, asked, kind):
    """In its own way, and as in a power cut, by turns."""
    expected = asked.end(kind)
    with (
        # A server ends with the thread that started it: not with one of the tap's.
        ThreadPoolExecutor(1) as operator,
        apart(stage, kind) as (alone, server),
        contextlib.closing(asked.cell(kind, stage=alone)) as cell,
    ):
        phases = []

        def again() -> None:
            server.kill() if len(phases) % 2 else server.stop()
            server.start()

        def look() -> None:
            if cell.trap.phase not in phases:
                phases.append(cell.trap.phase)
                operator.submit(again).result()
            cell.look()

        cell.trap.look = look
        cell.run()
        assert len(phases) >= 6, phases
        assert cell.outcome() == expected and cell.problems == []


class Standby(PostgresServer):
    """A replica that follows a server as fast as it can."""

    def __init__(self, primary: PostgresServer, directory: Path):
        program = shutil.which("pg_basebackup") or (primary.programs / "postgres").resolve().with_name("pg_basebackup")
        source = f"host=127.0.0.1 port={primary.port} user=coffre_admin"
        command = [program, "-d", source, "-D", directory / "data", "-R", "-c", "fast", "-X", "stream"]
        given = os.environ | {"PGPASSWORD": primary.password}
        subprocess.run(command, check=True, capture_output=True, timeout=60 * SLOW, env=given)
        (directory / "admin-password").write_text(primary.password)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", primary.user, directory], check=True)
        super().__init__(directory)


class Failover:
    """In the place of the engine that a trap kills: the server dies, and its replica takes over."""

    def __init__(self, cell: Cell, stage: Stage, primary: PostgresServer, standby: Standby):
        self.cell, self.stage, self.primary, self.standby = cell, stage, primary, standby

    def kill(self) -> None:
        self.primary.kill()
        self.standby.execute("SELECT pg_promote()")
        self.stage.postgres = self.standby
        self.cell.taps[1].target = self.standby.port

    def wait(self) -> None:
        pass


@scene
@pytest.mark.parametrize("landed", [False, True], ids=["not-landed", "landed"])
def test_a_replica_that_takes_over_in_the_middle_of_apply_ends_as_if_nothing_had_happened(stage, asked, landed):
    """Whether the replica has got the new password or not."""
    expected, wanted = asked.end("pg-alternating"), ("APPLY", "postgresql: set the password")
    with apart(stage, "pg-alternating") as (alone, primary), tempfile.TemporaryDirectory(prefix="coffre-standby-") as folder:
        with contextlib.closing(Standby(primary, Path(folder))) as standby:
            with contextlib.closing(asked.cell("pg-alternating", wanted, stage=alone, landed=landed)) as cell:
                with engine(cell) as only:
                    cell.trap.process = Failover(cell, alone, primary, standby)
                    assert until(cell.over, 90), (record_of(cell), only.said())
                    assert until(lambda: rests(cell), 45)
                found = cell.outcome()
                assert alone.postgres is standby and cell.trap.hit
                assert found["outside"] == expected["outside"] and found["gen"] == found["record"]["active"], found
                assert cell.problems == []


# A vault from an older snapshot (delivery 5, test 10).

# From before which rotation it is, and who knows that there was more: an engine that lives, a file of the engine, or only
# the database, which has seen a higher fence.
RESTORED = [
    *(("last", kind, "engine") for kind in ("pg-alternating", "redis-two-password", "signing-key", "encryption-key")),
    *(("last", kind, "file") for kind in ("pg-alternating", "signing-key")),
    *(("last", kind, "database") for kind in ("pg-alternating", "redis-two-password")),
    *(("first", kind, "engine") for kind in ("pg-alternating", "redis-two-password", "signing-key", "encryption-key", "external")),
    *(("first", kind, "file") for kind in ("pg-alternating", "signing-key")),
]


@pytest.fixture(scope="module")
def restored(binary, stage, asked, tmp_path_factory):
    """All of them in one vault, which is restored once. By what was played, how it failed."""
    vault, results = Server(binary, tmp_path_factory.mktemp("restored")).bring_up(), dict.fromkeys(RESTORED)
    storage, snapshot = vault.directory / "coffre.redb", vault.directory / "snapshot.redb"
    vault.client().sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
    alone = copy.copy(stage)
    alone.server = vault

    def keep() -> None:
        vault.stop()
        shutil.copytree(storage, snapshot)
        vault.start().unseal()

    def restore() -> None:
        vault.stop()
        shutil.rmtree(storage)
        shutil.copytree(snapshot, storage)
        vault.start().unseal()

    def played(which):
        try:
            yield from comes_back(alone, asked, *which)
        except Exception as error:  # noqa: BLE001: raised by its test
            results[which] = error
            yield from (None, None)

    try:
        in_acts([played(which) for which in RESTORED], [keep, restore])
    finally:
        vault.stop()
    return results


def comes_back(stage: Stage, asked: Asked, before: str, kind: str, witness: str):
    if before == "last":
        cell = asked.cell(kind, stage=stage)
        cell.run()
    else:
        cell = KINDS[kind](stage, f"b{next(NUMBERS)}")
        # What consumers keep for how long stands in the vault before anything is rotated.
        cell.person("enable", cell.target)
    file = ("-state-file", str(cell.directory / "seen.json")) if witness == "file" else ()
    with contextlib.closing(cell), contextlib.ExitStack() as stack:
        yield
        rotate(cell)
        if witness == "database":
            # Each claim counts; so many that a restored vault does not reach the number at once.
            rotate(cell)
        if witness == "file":
            cell.person("run", "-once", *file)
        newest = cell.get(cell.target)
        alive = stack.enter_context(engine(cell, "witness", *file)) if witness == "engine" else None
        if alive:
            # It has seen the newest epoch.
            assert until(lambda: "at work" in alive.said(), 45)
            time.sleep(2 * SLOW)
        cell.trap.look = lambda: None
        yield
        restored = cell.get(cell.target)
        assert restored.get("epoch", 0) < newest["epoch"]
        if witness == "file":
            cell.person("run", "-once", *file, code=2)
        elif witness == "database":
            # Nobody else remembers.
            cell.person("now", cell.target, code=None)
            cell.person("run", "-once", code=2)
        assert until(lambda: stands_still(cell), 30), record_of(cell)
        assert record_of(cell)["halt"]["code"] == "downgrade", record_of(cell)
        assert cell.get(cell.target) == restored, "nothing is written while it stands still"
        assert kind == "encryption-key" or cell.works(newest), "the newest credential is not taken away"
        said = cell.person("status", cell.target, code=2)
        assert "snapshot" in said and "-epoch-reset" in said, said
        assert "-epoch-reset" in cell.person("resume", cell.target, code=1)
        cell.person("resume", "-epoch-reset", cell.target)
        if not alive:
            alive = stack.enter_context(engine(cell, "next", *file))
        # What the document names was closed: an engine that tries it stands still again, and says to rotate.
        assert until(lambda: rests(cell) or (record_of(cell)["halt"] or {}).get("code") == "drift", 30), (record_of(cell), alive.said())
        confirmed = cell.get(cell.target)
        assert confirmed["epoch"] > newest["epoch"] or witness == "database", "whoever saw the lost one takes it over"
        assert until(lambda: "epoch_reset" in [event["event"] for event in cell.events()], 45)
        if kind == "encryption-key":
            # What was encrypted under the lost key is lost with it; that is not undone here.
            return
        rotate(cell, beside=True)
        final, cell.before = cell.get(cell.target), None
        assert final["epoch"] > confirmed["epoch"] and cell.works(final), final


def rotate(cell: Cell, beside: bool = False) -> None:
    """Once more, as a person asks for it; `beside` an engine that runs."""
    before = max(1, (cell.trap.record or {}).get("active", 1))
    if cell.kind == "external":
        cell.new = f"new-{next(NUMBERS)}"
        cell.service.accepted.add(cell.new)
        (cell.directory / "input").write_text(cell.new)
        cell.person("provide", cell.target)
    else:
        # An engine that finds just then that the active one does not work stops it; it is asked for again.
        assert until(lambda: "HALT" not in cell.person("now", cell.target, code=None), 30), record_of(cell)
    with contextlib.nullcontext() if beside else engine(cell, "rotates"):
        assert until(lambda: record_of(cell)["active"] > before, 60), record_of(cell)
        if cell.kind != "external":
            assert until(lambda: rests(cell), 60), record_of(cell)


@pytest.mark.parametrize("which", RESTORED, ids="-".join)
def test_a_vault_from_an_older_snapshot_halts_and_an_epoch_reset_goes_on(restored, which):
    if error := restored[which]:
        raise error


# Material that is refused.


@scene
def test_a_password_that_the_database_refuses_is_made_three_times_and_then_it_halts(stage, asked):
    """PostgreSQL takes the password, and its host-based rules refuse the login: nobody was given it."""
    with apart(stage, "pg-alternating") as (alone, server):
        hba = server.data / "pg_hba.conf"
        rules = hba.read_text()
        with contextlib.closing(asked.cell("pg-alternating", stage=alone)) as cell:
            first = cell.get(cell.target)
            hba.write_text(f"host all {cell.users[1]} 127.0.0.1/32 reject\n{rules}")
            server.execute("SELECT pg_reload_conf()")
            with engine(cell):
                assert until(lambda: record_of(cell)["phase"] == "HALT", 120), record_of(cell)
            hba.write_text(rules)
            server.execute("SELECT pg_reload_conf()")
            record = record_of(cell)
            assert record["pending"] is None and record["active"] == 1 and "3 times" in record["halt"]["why"], record
            assert cell.get(cell.target) == first and cell.works(first) and cell.problems == []
            assert [event["event"] for event in cell.events()].count("abandoned") == 3
            assert (cell.users[1], False) in roles(alone, cell), "the other user was closed again"
            said = cell.person("status", cell.target, code=2)
            assert "coffre rotate now" in said, said
            cell.person("now", cell.target)
            cell.goal = record["gens"] + 1
            cell.run()
            assert cell.works(cell.get(cell.target)) and not cell.logs_in(first["username"], first["password"])


def roles(stage: Stage, cell: Cell) -> list[tuple[str, bool]]:
    with stage.connect() as connection:
        found = connection.execute("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE %s", [f"{cell.name}\\_%"])
        return found.fetchall()


# Clocks.


@scene
@pytest.mark.parametrize("seconds", [3600, -3600], ids=["forwards", "backwards"])
@pytest.mark.parametrize("kind", ["signing-key", "pg-alternating", "redis-two-password"])
def test_a_server_whose_clock_jumps_and_comes_back_breaks_nothing(asked, kind, seconds):
    """By an hour, after the promotion; the engine is killed in between, and the next one finds times that make no sense."""
    expected = asked.end(kind)
    with contextlib.closing(asked.cell(kind, ("DRAIN", "the history"), landed=True)) as cell:
        with engine(cell, "first") as first:
            cell.trap.process = first
            first.wait(60 * SLOW)
        cell.taps[0].wrong = seconds
        with engine(cell, "second") as second:
            assert until(lambda: "at work" in second.said(), 20), second.said()
            time.sleep(4)
            assert cell.works(cell.get(cell.target))
            cell.taps[0].wrong = 0
        record = record_of(cell)
        if seconds > 0 and record["retiring"]:
            # What it wrote down with the wrong time is in the future. Nothing is done early, so it waits; and the hour passes.
            with engine(cell, "third"):
                time.sleep(4)
                assert record_of(cell)["halt"] is None and cell.works(cell.get(cell.target))
            cell.rewrite(f"{RECORD}/{cell.target}", lambda record: older(record, HOUR))
        cell.run()
        found = cell.outcome()
        assert found["outside"] == expected["outside"] and found["record"]["active"] == 2 and cell.problems == []


# Names that are SQL.

EVIL = ['"; DROP TABLE victim; --', "'; DROP TABLE victim; --", 'a" WITH PASSWORD \'x\' SUPERUSER; --', "$$; DROP TABLE victim; $$", "\\'; DROP TABLE victim; --"]


def with_victim(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS victim (one int)")


@scene
@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_names_of_roles_that_are_sql_are_only_names(stage, asked, evil):
    """In the manifest: the owner and both users. They rotate like others, and nothing else happens."""
    with stage.connect() as connection, asked.locks["pg-alternating"]:
        with_victim(connection)
    with contextlib.closing(Named(stage, f"b{next(NUMBERS)}", evil)) as cell:
        cell.person("enable", "-check")
        cell.person("enable")
        cell.person("now", cell.target)
        cell.run()
        assert cell.problems == []
        found = cell.state()
        assert found["works"] and not found["the old one works"]
        with stage.connect() as connection:
            assert connection.execute("SELECT count(*) FROM victim").fetchone() == (0,)
            supers = connection.execute("SELECT count(*) FROM pg_roles WHERE rolsuper AND starts_with(rolname, %s)", [cell.name])
            assert supers.fetchone() == (0,)
            assert len(found["roles"]) == 3


class Named(KINDS["pg-alternating"]):
    """Roles with names that somebody chose badly."""

    def __init__(self, stage, name: str, evil: str):
        self.evil = evil
        super().__init__(stage, name)

    def names(self):
        return tuple(f"{self.name}_{part}{self.evil}" for part in ("owner", "a", "b"))


@scene
@pytest.mark.parametrize("part", ["schema", "table", "pk", "column"])
def test_names_of_holders_that_are_sql_are_only_names(stage, part):
    """What is to be encrypted anew stands in the manifest; so do mistakes."""
    with contextlib.closing(Held(stage, f"b{next(NUMBERS)}", part)) as cell:
        with stage.connect(cell.database) as connection:
            with_victim(connection)
        said = cell.person("enable", "-check", code=1)
        assert "does not exist" in said or "there is no" in said or "has no column" in said, said
        with stage.connect(cell.database) as connection:
            assert connection.execute("SELECT count(*) FROM victim").fetchone() == (0,)


class Held(KINDS["encryption-key"]):
    """A holder with a name that somebody chose badly."""

    def __init__(self, stage, name: str, part: str):
        self.part = part
        super().__init__(stage, name)

    def manifest(self):
        names = {"table": self.table, "pk": "id", "column": "body"}
        where = f"{EVIL[0]}.{self.table}" if self.part == "schema" else names.get(self.part, "") + EVIL[0]
        names["table" if self.part == "schema" else self.part] = where
        holder = ", ".join(f"{key} = {json.dumps(value)}" for key, value in names.items())
        plain = f'table = "{self.table}", pk = "id", column = "body"'
        found = super().manifest()
        assert plain in found
        return found.replace(plain, holder)


@scene
def test_a_user_of_redis_that_is_a_command_is_refused(stage):
    with contextlib.closing(KINDS["redis-two-password"](stage, f"b{next(NUMBERS)}")) as cell:
        manifest = cell.directory / "coffre.toml"
        for evil in ("x\\r\\nFLUSHALL\\r\\n", "x +@all nopass", "x >y"):
            manifest.write_text(re.sub(r'user = "[^"]+"', lambda _: f'user = "{evil}"', manifest.read_text()))  # noqa: B023
            said = cell.person("enable", "-check", code=1)
            assert "user is the name of a Redis user" in said, said


# Tokens at the edge (delivery 5, test 6), and backups (test 7).

STALE, LIFETIME = 2.0 * SLOW, 3.0 * SLOW


class Tokens(KINDS["signing-key"]):
    """Consumers that keep a document for as long as they may, tokens that live for a while."""

    def __init__(self, stage, name, wanted=None):
        times = pace().replace('max_stale = "300ms"', f'max_stale = "{round(STALE * 1000)}ms"')
        super().__init__(stage, name, wanted, times=times)

    def manifest(self):
        return super().manifest().replace('token_lifetime = "500ms"', f'token_lifetime = "{round(LIFETIME * 1000)}ms"')


class Slowest:
    """A consumer with a copy of the document that is as old as `max_stale` allows. It asks nobody in between."""

    def __init__(self, cell: Cell):
        self.cell, self.read, self.keys, self.active = cell, 0.0, {}, ""

    def look(self) -> None:
        if time.monotonic() - self.read > 0.95 * STALE:
            sent, document = time.monotonic(), self.cell.get(self.cell.target)
            keys = document.get("keys") or [{"kid": kid_of(document["value"]), "mat": document["value"]}]
            self.keys = {key["kid"]: key["mat"] for key in keys}
            self.active, self.read = document.get("active", keys[0]["kid"]), sent

    def is_fresh(self) -> bool:
        """Asked after something was done with the copy: this test may have been paused, too."""
        return time.monotonic() - self.read <= STALE


@scene
def test_what_the_slowest_consumer_signs_is_accepted_until_its_own_end(asked):
    with contextlib.closing(asked.cell("signing-key", made_by=Tokens)) as cell:
        over, tokens, refused, verified = threading.Event(), [], [], itertools.count()

        def sign() -> None:
            consumer = Slowest(cell)
            while not over.is_set():
                consumer.look()
                text = str(random.random()).encode()
                token = (consumer.active, text, mac(consumer.keys[consumer.active], text), time.monotonic() + LIFETIME)
                if consumer.is_fresh():
                    tokens.append(token)
                time.sleep(0.02 * SLOW)

        def verify() -> None:
            consumer = Slowest(cell)
            while not over.is_set():
                consumer.look()
                for kid, text, signed, end in [token for token in tokens if token[3] > time.monotonic()]:
                    good = kid in consumer.keys and mac(consumer.keys[kid], text) == signed
                    if not good and consumer.is_fresh() and time.monotonic() < end:
                        refused.append(kid)
                    next(verified)
                time.sleep(0.02 * SLOW)

        helpers = [threading.Thread(target=work, daemon=True) for work in (sign, verify)]
        [helper.start() for helper in helpers]
        time.sleep(STALE)
        promoted = []
        cell.trap.look = lambda: (cell.look(), cell.trap.phase == "DRAIN" and promoted.append(time.monotonic()))
        cell.run()
        over.set()
        [helper.join() for helper in helpers]
        assert refused == [] and cell.problems == []
        assert next(verified) > 100
        # Somebody went on signing with the old key after the promotion; and in the end it is accepted by nobody.
        old, new = tokens[0][0], tokens[-1][0]
        assert [token for token in tokens if token[0] == old and token[3] - LIFETIME > promoted[0]]
        assert new != old and old not in [key["kid"] for key in cell.get(cell.target)["keys"]]


def mac(material: str, text: bytes) -> bytes:
    return hmac.new(material.encode(), text, hashlib.sha256).digest()


class BackedUp(KINDS["encryption-key"]):
    """Backups are kept for an hour; a rotation is as far as it gets when only they are waited for."""

    def manifest(self):
        return super().manifest().replace('backup_retention = "500ms"', 'backup_retention = "1h"')

    def over(self):
        retiring = (self.trap.record or {}).get("retiring", [])
        return any("backups that need it are kept until" in each for old in retiring for each in old.get("missing", []))


@scene
def test_while_a_backup_is_kept_that_needs_the_old_key_it_is_not_destroyed_and_the_backup_opens(asked):
    with contextlib.closing(asked.cell("encryption-key", made_by=BackedUp)) as cell:
        backup = cell.rows()
        cell.run()
        # Once more, and later: it still waits.
        cell.person("run", "-once")
        document, record = cell.get(cell.target), record_of(cell)
        assert phase_of(record) == "DESTROY" and record["halt"] is None
        assert {row: cell.opens(document, text) for row, text in backup.items()} == {row: f"text {row}" for row in backup}
        assert cell.rows() != backup and cell.problems == []
        assert cell.state()["the first version"] is False, "no version that holds the old key is destroyed"
