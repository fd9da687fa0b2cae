"""`coffre rotate` against a real PostgreSQL and a real Redis: what the manifest says is assembled, enabled, rotated."""

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
