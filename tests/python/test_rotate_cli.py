"""`coffre rotate` against a real PostgreSQL and a real Redis: what the manifest says is assembled, enabled, rotated."""

import datetime
import hashlib
import json
import secrets

import psycopg
import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet
from psycopg import sql

from conftest import real
from redis_server import RedisServer
from rotate_rig import Desk

POSTGRESQL = """
app = "{mount}"
environments = ["dev", "prod"]
[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"
rotation = {{ mode = "automatic", every = "7d" }}
[rotation]
max_stale = "10m"
[rotation.postgresql.main]
host = "127.0.0.1"
port = {port}
database = "{database}"
sslmode = "disable"
owner = "{name}_owner"
principals = ["{name}_a", "{name}_b"]
admin = "database/rotator"
probe = {{ privileges = [{{ table = "notes", can = ["select", "insert"] }}], read = "SELECT 1 FROM notes LIMIT 1" }}
"""
ENCRYPTION = """
[secret.MASTER_KEY]
path = "encryption/master_key"
kind = "encryption-key"
[secret.MASTER_KEY.rotation]
mode = "automatic"
every = "90d"
backup_retention = "7d"
holders = [{{ table = "notes", pk = "id", column = "body" }}]
"""


def refused(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error) or "not permitted to log in" in str(error), error
        return True
    return False


class Database:
    """A database whose two logins exist; the first is in use. Statements as the manual has them."""

    def __init__(self, postgres):
        self.postgres, self.name = postgres, f"r{secrets.token_hex(4)}"
        self.admin = secrets.token_urlsafe(16)
        self.first = secrets.token_urlsafe(16)
        names = {part: sql.Identifier(f"{self.name}_{part}") for part in ("owner", "a", "b", "rotator")}
        words = {"first": sql.Literal(self.first), "admin": sql.Literal(self.admin)}
        for statement in (
            "CREATE ROLE {owner} NOLOGIN",
            "CREATE ROLE {rotator} LOGIN CREATEROLE PASSWORD {admin}",
            "GRANT pg_signal_backend TO {rotator}",
            "CREATE ROLE {a} LOGIN PASSWORD {first} IN ROLE {owner}",
            "CREATE ROLE {b} NOLOGIN IN ROLE {owner}",
            "ALTER ROLE {a} SET role = {owner_name}",
            "ALTER ROLE {b} SET role = {owner_name}",
            "GRANT {a}, {b}, {owner} TO {rotator} WITH ADMIN OPTION",
        ):
            owner_name = sql.Literal(f"{self.name}_owner")
            postgres.execute(sql.SQL(statement).format(**names, **words, owner_name=owner_name))
        postgres.own_database(self.name, f"{self.name}_owner")
        with psycopg.connect(self.url("a", self.first), autocommit=True) as connection:
            connection.execute("CREATE TABLE notes (id bigint PRIMARY KEY, body text)")
        postgres.execute(sql.SQL("GRANT SELECT, UPDATE ON notes TO {rotator}").format(**names), database=self.name)

    def url(self, who: str, password: str) -> str:
        return self.postgres.url_for(f"{self.name}_{who}", password, self.name)


@pytest.fixture
def database(postgres):
    return Database(postgres)


@pytest.fixture
def desk(binary, server, tmp_path, database, postgres):
    mount = f"m{secrets.token_hex(4)}"
    text = POSTGRESQL.format(mount=mount, port=postgres.port, database=database.name, name=database.name)
    desk = Desk(binary, server, tmp_path, text, mount)
    desk.put("database/rotator", username=f"{database.name}_rotator", password=database.admin)
    desk.put("database/creds", value=database.url("a", database.first))
    return desk


def test_two_logins_of_postgresql_by_turns(desk, database):
    target = "database/creds"
    assert "nothing stands in the way" in desk.rotate("enable", "-check").stdout
    assert not desk.exists("_rot/policy"), "a check changes nothing"
    desk.rotate("enable")
    assert desk.get("_rot/policy")["max_stale"] == "600s"
    passwords = [database.first]
    for turn, (new, old) in enumerate([("b", "a"), ("a", "b"), ("b", "a")], 1):
        before = desk.get(target)
        desk.rotate("now", target)
        document = desk.get(target)
        assert document["username"] == f"{database.name}_{new}"
        with psycopg.connect(document["value"]) as connection:
            connection.execute("INSERT INTO notes VALUES (%s, 'x')", [turn])
            session, current = connection.execute("SELECT session_user, current_user").fetchone()
            assert (session, current) == (f"{database.name}_{new}", f"{database.name}_owner")
        held = psycopg.connect(before["value"])
        line = desk.line(target)
        assert line["phase"] == "DRAIN" and [old["phase"] for old in line["retiring"]] == ["DRAIN"], line
        desk.rest(target)
        assert refused(before["value"]), "the old password"
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
        assert not refused(document["value"])
        assert document["password"] not in passwords
        passwords.append(document["password"])
        assert old in "ab"
    line = desk.line(target)
    assert (line["active"], line["phase"], line["halt"]) == (4, "IDLE", None)
    history = desk.rotate("history", "-n=200", target).stdout
    assert all(word in history for word in ("started", "promoted", "retired"))
    for password in [*passwords, database.admin]:
        assert password not in history + desk.rotate("status", target).stdout


def test_a_leaked_login_ends_at_once(desk, database):
    target = "database/creds"
    held = psycopg.connect(database.url("a", database.first))
    shown = desk.rotate("now", "-compromised", "-yes-logout-all", target).stdout
    assert "IDLE" in shown
    assert refused(database.url("a", database.first))
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    assert not refused(desk.get(target)["value"])


def test_what_is_not_in_use_is_taken_back_and_what_is_goes_back(desk, database):
    target = "database/creds"
    first = desk.get(target)["value"]
    desk.rotate("now", target)
    second = desk.get(target)["value"]
    assert "rollback" in desk.rotate("undo", target, code=1).stderr
    desk.rotate("rollback", target)
    assert desk.get(target)["password"] == database.first
    assert not refused(second), "it is drained as any other"
    desk.rest(target)
    assert refused(second)
    assert not refused(first)
    assert "forward" in desk.rotate("rollback", target, code=1).stderr


def test_a_table_that_is_missing_for_the_probe_stops_it_before_anybody_has_it(desk, database):
    target = "database/creds"
    database.postgres.execute(sql.SQL("REVOKE INSERT ON notes FROM {}").format(sql.Identifier(f"{database.name}_owner")), database=database.name)
    before = desk.get(target)
    shown = desk.rotate("now", target, code=2)
    assert "insert" in shown.stderr and "rotate resume" in shown.stderr, shown.stderr
    assert desk.get(target) == before
    desk.rotate("undo", target)
    assert desk.line(target)["phase"] == "IDLE"
    database.postgres.execute(sql.SQL("GRANT INSERT ON notes TO {}").format(sql.Identifier(f"{database.name}_owner")), database=database.name)
    desk.rotate("now", target)
    assert not refused(desk.get(target)["value"])


def test_an_encryption_key_goes_when_nothing_stands_under_it(desk, database):
    old = Fernet.generate_key()
    target = "encryption/master_key"
    desk.manifest((desk.project / "coffre.toml").read_text() + ENCRYPTION.format())
    desk.put(target, value=old.decode())
    admin = psycopg.connect(database.url("a", database.first), autocommit=True)
    for number in range(1, 1_201):
        admin.execute("INSERT INTO notes VALUES (%s, %s)", [number, Fernet(old).encrypt(f"note {number}".encode()).decode()])
    desk.rotate("enable", "-check", target)
    desk.rotate("enable", target)
    desk.rotate("now", target)
    assert desk.line(target)["phase"] == "PUBLISH"
    ring = desk.get(target)
    assert ring["value"] == old.decode() and len(ring["keys"]) == 2
    line = desk.rest(target, rounds=30, hours=100)
    ring = desk.get(target)
    assert [entry["gen"] for entry in ring["keys"]] == [2] and line["active"] == 2
    new = MultiFernet([Fernet(ring["value"])])
    rows = admin.execute("SELECT id, body FROM notes").fetchall()
    assert len(rows) == 1_200
    for number, body in rows:
        prefix, kid, token = body.split(".", 2)
        assert (prefix, kid) == ("e1", ring["active"])
        assert new.decrypt(token) == f"note {number}".encode()
    history = desk.rotate("history", "-n=500", target).stdout
    assert "destroyed" in history
    for version in range(1, 20):
        found = desk.server.call("GET", f"{desk.mount}/data/prod/{target}?version={version}")
        if found.status_code == 200:
            assert old.decode() not in found.text
    assert old.decode() not in desk.server.call("GET", f"{desk.mount}/data/prod/_rot/rec/{target}").text


# --- Redis ---------------------------------------------------------------------------------------------------------------

REDIS = """
app = "{mount}"
environments = ["dev", "prod"]
[secret.REDIS_URL]
path = "redis/creds"
kind = "redis"
rotation = {{ mode = "automatic", every = "7d" }}
[rotation.redis.main]
host = "127.0.0.1"
port = {port}
tls = false
user = "shop"
admin = "redis/rotator"
persistence = "rewrite"
probe = {{ allowed = ["GET", "shop:probe"], denied = ["FLUSHALL"] }}
"""


class KeepingRedis(RedisServer):
    """A restart finds the file as the server has left it."""

    def command(self) -> list[str]:
        config = self.directory / "redis.conf"
        return [self.program, str(config)] if config.exists() else super().command()


@pytest.fixture
def cache():
    yield from real(KeepingRedis)


def logs_in(server, password: str) -> bool:
    try:
        return redis.Redis(port=server.port, username="shop", password=password, socket_timeout=5).ping()
    except redis.AuthenticationError:
        return False


def test_two_passwords_of_a_redis_user(binary, server, tmp_path, cache):
    mount, target = f"m{secrets.token_hex(4)}", "redis/creds"
    first, admin = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    boss = cache.client()
    boss.execute_command("ACL", "SETUSER", "shop", "on", f">{first}", "~shop:*", "resetchannels", "+@read", "+@write", "-@dangerous", "+ping")
    boss.execute_command("ACL", "SETUSER", "rotator", "on", f">{admin}", "+acl", "+config|get", "+info")
    boss.execute_command("CONFIG", "REWRITE")
    desk = Desk(binary, server, tmp_path, REDIS.format(mount=mount, port=cache.port), mount)
    desk.put("redis/rotator", username="rotator", password=admin)
    desk.put(target, value=f"redis://shop:{first}@127.0.0.1:{cache.port}/0")
    lacks = desk.rotate("enable", "-check", code=1).stderr
    rules = lacks.partition("ACL SETUSER rotator ")[2].split("\n")[0].split()
    assert "+watch" in rules and "~_rot:fence:*" not in rules, lacks
    boss.execute_command("ACL", "SETUSER", "rotator", *rules)
    lacks = desk.rotate("enable", "-check", code=1).stderr
    assert "ACL SETUSER rotator ~_rot:fence:*\n" in lacks
    boss.execute_command("ACL", "SETUSER", "rotator", "~_rot:fence:*", "+unwatch")
    assert "nothing stands in the way" in desk.rotate("enable", "-check").stdout
    boss.execute_command("CONFIG", "REWRITE")
    desk.rotate("enable")
    passwords = [first]
    for _ in range(3):
        desk.rotate("now", target)
        document = desk.get(target)
        assert redis.Redis.from_url(document["value"]).ping()
        assert logs_in(cache, passwords[-1]), "both for a while"
        desk.rest(target)
        assert not logs_in(cache, passwords[-1])
        assert logs_in(cache, document["password"])
        passwords.append(document["password"])
    cache.stop()
    cache.start()
    assert [logs_in(cache, password) for password in passwords] == [False, False, False, True]
    assert desk.line(target)["active"] == 4
    history = desk.rotate("history", "-n=200", target).stdout
    assert history.count("promoted") == 3 and history.count("retired") == 3


# --- What would fail at night is refused at noon --------------------------------------------------------------------------

KEYS = """
app = "{mount}"
environments = ["dev", "prod"]
[secret.SECRET_KEY]
path = "flask/secret_key"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "90d" }}
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
rotation = {{ mode = "automatic", every = "30d", token_lifetime = "24h" }}
[secret.PLACES_KEY]
path = "api/places"
kind = "external"
rotation = {{ mode = "manual", every = "90d" }}
[secret.REDIS_URL]
path = "redis/creds"
kind = "redis"
dynamic = {{ role = "shop", ttl = "7d" }}
[secret.BROKER_URL]
template = "{{REDIS_URL}}/1"
[secret.SENTRY_DSN]
path = "monitoring/sentry"
"""


@pytest.fixture
def keys(binary, server, tmp_path):
    mount = f"m{secrets.token_hex(4)}"
    desk = Desk(binary, server, tmp_path, KEYS.format(mount=mount), mount)
    for path in ("flask/secret_key", "jwt/secret_key", "api/places"):
        desk.put(path, value=secrets.token_urlsafe(32))
    return desk


def acknowledge(desk, target: str, epoch: int, in_use: int, frozen: bool = False, consumer: str = "worker.host.boot.1") -> None:
    expires = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    desk.put(f"_rot/ack/{target}/{consumer}", consumer=consumer, epoch=epoch, in_use=in_use, frozen=frozen, expires=expires)


def edit(desk, old: str, new: str) -> None:
    text = (desk.project / "coffre.toml").read_text()
    assert old in text
    desk.manifest(text.replace(old, new))


def test_a_key_without_the_lifetime_of_its_tokens_is_refused(keys):
    said = keys.rotate("enable", code=1)
    assert "flask/secret_key: token_lifetime is missing" in said.stderr and 'token_lifetime = "24h"' in said.stderr
    assert "Nothing was enabled" in said.stdout
    assert not keys.exists("_rot/policy") and not keys.exists("_rot/enabled"), "a refusal writes nothing"
    assert "token_lifetime is missing" in keys.rotate("now", "SECRET_KEY", code=1).stderr, "its tokens would be refused too early"
    assert keys.line("flask/secret_key")["active"] == 0
    edit(keys, 'every = "90d" }\n[secret.JWT', 'every = "90d", token_lifetime = "31d" }\n[secret.JWT')
    keys.rotate("enable")
    assert keys.line("flask/secret_key")["enabled"] is True
    edit(keys, ', token_lifetime = "31d"', "")
    line = keys.line("flask/secret_key")
    assert line["forbidden"] and "refused" in keys.rotate("status").stdout, "the manifest forgot it later"


def test_a_frozen_consumer_is_refused_by_name_until_somebody_restarts_it(keys):
    target = "jwt/secret_key"
    edit(keys, "[secret.SENTRY_DSN]", '[rotation.consumers.worker]\nfrozen = true\nsecrets = ["JWT_SECRET_KEY"]\n[secret.SENTRY_DSN]')
    said = keys.rotate("enable", "-check", target, code=1).stderr
    assert "worker reads its secrets only when it starts" in said and "[rotation.consumers.worker]" in said
    edit(keys, "frozen = true", 'frozen = true\nmax_process_lifetime = "12h"')
    keys.rotate("enable", "-check", target)
    edit(keys, 'max_process_lifetime = "12h"', "acknowledges = true")
    keys.rotate("enable", "-check", target)
    acknowledge(keys, target, 0, 1, frozen=True)
    keys.rotate("enable", "-check", target)  # its supervisor is declared
    acknowledge(keys, target, 0, 1, frozen=True, consumer="mailer.host.boot.2")
    said = keys.rotate("enable", "-check", target, code=1).stderr
    assert "mailer reads its secrets only when it starts" in said and "worker" not in said


def test_the_policy_that_counts_is_the_manifests(keys):
    keys.put("_rot/policy", max_stale="20d", soft_ttl="1h")
    edit(keys, 'token_lifetime = "24h"', 'token_lifetime = "25d"')
    keys.rotate("enable", "-check", "JWT_SECRET_KEY")
    edit(keys, "[secret.SENTRY_DSN]", '[rotation]\nmax_stale = "20d"\ngate_deadline = "25d"\n[secret.SENTRY_DSN]')
    said = keys.rotate("enable", "JWT_SECRET_KEY", code=1).stderr
    assert "max_accepted is 4" in said and "max_accepted = 5" in said
    assert keys.get("_rot/policy")["soft_ttl"] == "1h"
    edit(keys, 'max_stale = "20d"', 'max_stale = "20d"\nmax_accepted = 5')
    keys.rotate("enable", "JWT_SECRET_KEY")
    assert keys.get("_rot/policy")["limits"]["max_accepted"] == 5


def test_extensions_that_know_no_fallbacks_are_named(keys):
    edit(keys, 'every = "90d" }\n[secret.JWT', 'every = "90d", token_lifetime = "31d" }\n[secret.JWT')
    keys.rotate("enable", "-check")
    (keys.project / "requirements.txt").write_text("Flask==3.1.0\nFlask_WTF>=1.2  # forms\n")
    said = keys.rotate("enable", code=1).stderr
    assert "flask-wtf (requirements.txt) reads only SECRET_KEY" in said
    assert not keys.exists("_rot/enabled")
    edit(keys, 'token_lifetime = "31d"', 'token_lifetime = "31d", accepted_extensions = ["Flask-WTF"]')
    keys.rotate("enable")


# --- People ---------------------------------------------------------------------------------------------------------------


def test_names_that_mean_nothing_are_answered_with_what_was_meant(keys):
    said = {given: keys.rotate("plan", given, code=1).stderr for given in ("jwt/secret_kye", f"{keys.mount}/data/prod/jwt/secret_key", "zzz", "SENTRY_DSN", "BROKER_URL", "REDIS_URL")}
    assert "did you mean jwt/secret_key?" in said["jwt/secret_kye"]
    assert "did you mean jwt/secret_key?" in said[f"{keys.mount}/data/prod/jwt/secret_key"]
    assert "the manifest has flask/secret_key, jwt/secret_key" in said["zzz"]
    assert "SENTRY_DSN does not rotate" in said["SENTRY_DSN"]
    assert "composed of other variables" in said["BROKER_URL"]
    assert "lease revoke -prefix" in said["REDIS_URL"]


def test_values_that_are_no_keys_are_refused_and_change_nothing(keys):
    before = keys.get("api/places")
    for stdin, word in (("", "no new value"), ("\n", "no new value"), ("k" * 70_000, "64 KiB"), ("a\0b", "zero byte"), (before["value"], "in use already")):
        assert word in keys.rotate("provide", "api/places", code=1, stdin=stdin).stderr
    assert "draws its own" in keys.rotate("provide", "jwt/secret_key", code=1, stdin="mine").stderr
    assert keys.get("api/places") == before
    assert "rotate provide" in keys.rotate("now", "api/places").stdout, "a person brings it"
    keys.rotate("provide", "PLACES_KEY", stdin="new-key\r\n")
    assert keys.get("api/places")["value"] == "new-key"


def test_status_shows_what_a_person_looks_for(keys):
    wide = keys.rotate("status").stdout
    assert "redis/creds" in wide and "by lease" in wide and "database/creds/shop, for 7d" in wide
    assert "Times are those of" in wide
    keys.env["COLUMNS"] = "72"
    narrow = keys.rotate("status").stdout
    assert "WAITS FOR" in narrow and "KIND" not in narrow
    keys.env["COLUMNS"] = "40"
    cards = keys.rotate("status").stdout
    assert "WAITS FOR" not in cards and "\n  rotates     when asked" in cards
    assert "\x1b" not in wide + narrow + cards
    lines = json.loads(keys.rotate("status", "-json").stdout)["targets"]
    assert [line["kind"] for line in lines if line["target"] == "redis/creds"] == ["dynamic"]


def test_a_plan_has_absolute_times_and_says_whose(keys):
    keys.env["TZ"] = "Europe/Zurich"
    asked = keys.rotate("plan", "jwt/secret_key").stdout
    assert "when asked" in asked and "1h 2m later" in asked and "Europe/Zurich" in asked
    keys.rotate("enable", "jwt/secret_key")
    keys.rotate("now", "jwt/secret_key")
    plan = json.loads(keys.rotate("plan", "-json", "jwt/secret_key").stdout)["phases"]
    assert [line["phase"] for line in plan] == ["PUBLISH", "PROMOTE", "DRAIN", "RETIRE", "DESTROY"]
    times = [datetime.datetime.fromisoformat(line["at"]) for line in plan]
    assert times == sorted(times) and times[-1] - times[0] > datetime.timedelta(days=8)
    keys.later("jwt/secret_key", hours=2)
    keys.rotate("run", "-once")
    plan = json.loads(keys.rotate("plan", "-json", "jwt/secret_key").stdout)["phases"]
    assert [line["phase"] for line in plan][:4] == ["DRAIN", "RETIRE", "DESTROY", "PREPARE"], plan
    assert "generation 1 is still accepted" in plan[0]["note"]


def test_wishes_in_the_wrong_phase_are_answered_with_the_right_one(keys):
    target = "jwt/secret_key"
    assert "rotate rollback" in keys.rotate("undo", target, code=1).stderr
    assert "rotate now" in keys.rotate("rollback", target, code=1).stderr
    assert "does not stand still" in keys.rotate("resume", target, code=1).stderr
    assert "was not frozen" in keys.rotate("unfreeze").stdout
    keys.rotate("now", target)
    assert "rotate undo" in keys.rotate("rollback", target, code=1).stderr
    assert "under way already" in keys.rotate("now", target, code=1).stderr
    assert "restored" in keys.rotate("resume", "-epoch-reset", target, code=1).stderr
    assert "revoked" in keys.rotate("confirm-revoked", target, code=1).stderr
    keys.rotate("freeze", "-why=the database moves")
    keys.later(target, hours=2)
    assert "the database moves" in keys.rotate("run", "-once").stderr
    assert keys.line(target)["phase"] == "PUBLISH"
    keys.rotate("unfreeze")
    keys.rotate("undo", target)
    assert keys.line(target)["phase"] == "IDLE"


def test_a_restored_server_stands_still_until_a_person_says_so(keys):
    target = "jwt/secret_key"
    keys.rotate("now", target)
    keys.later(target, hours=2)
    keys.rotate("run", "-once")
    assert keys.line(target)["active"] == 2
    epoch = keys.line(target)["epoch"]
    acknowledge(keys, target, epoch + 3, 5)
    keys.rotate("run", "-once", code=2)
    shown = keys.rotate("status", target, code=2)
    assert "has seen epoch" in shown.stderr and "resume --epoch-reset" in shown.stderr
    assert "epoch-reset" in keys.rotate("resume", target, code=1).stderr
    value = keys.get(target)["value"]
    keys.rotate("resume", "-epoch-reset", target)
    line = keys.line(target)
    assert line["halt"] is None and line["epoch"] > epoch + 3
    assert keys.get(target)["value"] == value
    keys.rotate("now", "-compromised", "-yes-logout-all", target)
    assert keys.line(target)["active"] > 5, "no number is used twice"


def queue(directory, variable: str) -> None:
    """The journal of a migration that found the variable in a file."""
    directory.mkdir(parents=True, mode=0o700)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    item = {"name": variable, "exposure": "file", "reason": "migration"}
    body = json.dumps({"n": 1, "t": now, "prev": "", "type": "QUEUED", "items": [item]}, separators=(",", ":"))
    (directory / "journal.jsonl").write_text(f'{body[:-1]},"h":"{hashlib.sha256(body.encode()).hexdigest()}"}}\n')


def test_what_was_promoted_before_a_migration_does_not_count(keys):
    target = "jwt/secret_key"
    keys.rotate("now", "-compromised", "-yes-logout-all", target)
    state = keys.project.parent / "state"
    queue(state / keys.mount / "prod", "JWT_SECRET_KEY")
    keys.env["COFFRE_STATE"] = str(state)
    assert "was rotated" not in keys.rotate("status").stderr, "an earlier promotion"
    keys.rotate("now", "-migrated")
    assert keys.line(target)["reason"] == "migration"
    keys.later(target, hours=2)
    assert "JWT_SECRET_KEY was rotated" in keys.rotate("run", "-once").stderr
    assert "Nothing that the engine could rotate" in keys.rotate("now", "-migrated").stdout


def test_an_old_key_is_read_only_with_a_reason_that_stays(keys):
    target, first = "jwt/secret_key", keys.get("jwt/secret_key")["value"]
    keys.rotate("now", target)
    keys.later(target, hours=2)
    keys.rotate("run", "-once")
    glass = ("break-glass", "-generation=1", target)
    assert "needs a reason" in keys.rotate(*glass, code=1).stderr
    assert "revealed" not in keys.rotate("history", target).stdout
    shown = keys.rotate("break-glass", "-generation=1", "-why=the backup of May", target)
    assert shown.stdout == first + "\n"
    history = keys.rotate("history", target).stdout
    assert "revealed" in history and "the backup of May" in history and first not in history
    assert "is the one in use" in keys.rotate("break-glass", "-generation=2", "-why=the backup of May", target, code=1).stderr
    assert "nothing is left" in keys.rotate("break-glass", "-generation=9", "-why=the backup of May", target, code=1).stderr
    keys.rotate("now", "-compromised", "-yes-logout-all", target)
    assert "nothing is left" in keys.rotate("break-glass", "-generation=1", "-why=the backup of May", target, code=1).stderr
