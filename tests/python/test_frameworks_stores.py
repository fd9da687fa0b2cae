"""coffre.sqlalchemy, coffre.redis and coffre.fernet with real servers: logins change under open pools, keys under texts."""

import asyncio
import logging
import os
import pickle
import secrets
import sys
import threading
import time
import traceback

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet
from psycopg import sql
from redis.exceptions import AuthenticationError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

import coffre.redis
import coffre.sqlalchemy
from coffre.fernet import FernetRing, UnknownKey
from coffre.keyring import kid_of
from keyrings import fernet_key, key, ring
from rig import Rig
from shop_secrets import open_secrets


def password() -> str:
    # What must be escaped in a URL is in it, so that nothing is escaped twice or not at all.
    return secrets.token_urlsafe(16)


@pytest.fixture
def rig(server, tmp_path):
    rig = Rig(server, tmp_path / "shop")
    for path in ("flask/secret_key", "jwt/secret_key", "encryption/master_key"):
        rig.put(path, value=secrets.token_urlsafe(32))
    rig.put_database("postgresql://shop:unused-password@db.invalid:5432/shop")
    rig.put_redis("redis://:unused-password@redis.invalid:6379")
    return rig


# --- PostgreSQL ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def roles(postgres):
    """Two roles of one owner, as an alternating rotation has them, and a table that both may use."""
    suffix = secrets.token_hex(4)
    names, owner = [f"shop_{side}_{suffix}" for side in "ab"], f"shop_{suffix}"
    postgres.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(owner)))
    postgres.execute(sql.SQL("CREATE TABLE {0} (n int)").format(sql.Identifier(f"t_{suffix}")))
    postgres.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(f"t_{suffix}"), sql.Identifier(owner)))
    for name in names:
        role = sql.Identifier(name)
        postgres.execute(sql.SQL("CREATE ROLE {} NOLOGIN IN ROLE {}").format(role, sql.Identifier(owner)))
        postgres.execute(sql.SQL("ALTER ROLE {} SET role = {}").format(role, sql.Identifier(owner)))
    return Roles(postgres, names, f"t_{suffix}")


class Roles:
    def __init__(self, postgres, names, table):
        self.postgres, self.names, self.table = postgres, names, table

    def allow(self, side: int) -> str:
        """A new password for one of the two, which may log in from now on; the URL."""
        word = password()
        role = sql.Identifier(self.names[side])
        self.postgres.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(word)))
        return self.postgres.url_for(self.names[side], word)

    def lock(self, side: int) -> None:
        self.postgres.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(self.names[side])))

    def terminate(self, side: int) -> None:
        self.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (self.names[side],))

    def count(self, side: int) -> int:
        return self.postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (self.names[side],))[0][0]


def user_of(engine) -> str:
    with engine.connect() as connection:
        return connection.execute(text("SELECT session_user")).scalar_one()


@pytest.fixture(params=["psycopg", "psycopg2"])
def database(rig, roles, request):
    """The vault names the first role; the library's view of the vault, and an engine."""
    rig.put_database(roles.allow(0))
    store = open_secrets(rig.environ())
    options = {"driver": f"postgresql+{request.param}", "pool_size": 4, "connect_args": {"connect_timeout": 5}}
    engine = coffre.sqlalchemy.create_engine(store, **options)
    yield rig, roles, store, engine
    engine.dispose()
    store.close()


def test_new_connections_use_the_new_pair_and_old_ones_stay(database):
    rig, roles, store, engine = database
    held = engine.connect()
    assert held.execute(text("SELECT session_user")).scalar_one() == roles.names[0]
    rig.put_database(roles.allow(1))
    store.refresh("database/creds")
    with engine.connect() as other:
        assert other.execute(text("SELECT session_user")).scalar_one() == roles.names[1]
    assert held.execute(text("SELECT session_user")).scalar_one() == roles.names[0]
    held.close()
    assert coffre.sqlalchemy.counts(engine) == coffre.sqlalchemy.Counts(connected=2, refused=0, refreshed=0, retried=0)


def test_no_request_fails_while_users_alternate(database):
    """Eight threads write rows while the users change places; each old user is locked after the pool has let it go."""
    rig, roles, store, engine = database
    engine.pool._recycle = 1
    stop, written, failures = threading.Event(), [], []

    def work():
        while not stop.is_set():
            try:
                with engine.begin() as connection:
                    connection.execute(text(f"INSERT INTO {roles.table} VALUES (1)"))
                written.append(1)
            except Exception as error:
                failures.append(error)
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    for turn in range(1, 5):
        time.sleep(0.5)
        rig.put_database(roles.allow(turn % 2))
        store.refresh("database/creds")
        deadline = time.monotonic() + 20
        while roles.count((turn + 1) % 2) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert roles.count((turn + 1) % 2) == 0
        roles.lock((turn + 1) % 2)
    stop.set()
    [thread.join() for thread in threads]
    assert failures == [] and len(written) > 50
    assert roles.postgres.execute(f"SELECT count(*) FROM {roles.table}")[0][0] == len(written)
    assert coffre.sqlalchemy.counts(engine).refused == 0


def test_a_password_that_changed_unseen_costs_one_question_and_one_more_attempt(database, caplog):
    rig, roles, store, engine = database
    assert user_of(engine) == roles.names[0]
    rig.put_database(roles.allow(0))  # 28P01 for the old one; the library has not looked yet.
    engine.dispose()
    with caplog.at_level(logging.WARNING):
        assert user_of(engine) == roles.names[0]
    assert coffre.sqlalchemy.counts(engine) == coffre.sqlalchemy.Counts(connected=2, refused=1, refreshed=1, retried=1)
    rig.assert_shown_nowhere(caplog.text)


def test_a_user_who_was_locked_or_lost_the_right_to_connect_is_replaced_too(database):
    rig, roles, store, engine = database
    rig.put_database(roles.allow(1))
    roles.lock(0)  # 28000
    assert user_of(engine) == roles.names[1]
    assert coffre.sqlalchemy.counts(engine).refreshed == 1

    other = coffre.sqlalchemy.create_engine(store)  # Its own engine, and so its own bound of questions.
    database = sql.Identifier(f"closed_{secrets.token_hex(4)}")
    roles.postgres.create_role(f"c_{secrets.token_hex(4)}", "x")
    roles.postgres.execute(sql.SQL("CREATE DATABASE {}").format(database))
    roles.postgres.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
    closed = database.as_string(None).strip('"')
    rig.put_database(roles.allow(1).rpartition("/")[0] + "/" + closed)  # 42501
    store.refresh("database/creds")
    rig.put_database(roles.allow(1))
    assert user_of(other) == roles.names[1]
    assert coffre.sqlalchemy.counts(other).retried == 1
    other.dispose()


def test_a_wrong_password_stays_an_error_without_a_storm(database):
    rig, roles, store, engine = database
    roles.allow(0)  # The vault is not told.
    engine.dispose()
    for _ in range(20):
        with pytest.raises(OperationalError):
            user_of(engine)
    seen = coffre.sqlalchemy.counts(engine)
    assert (seen.refused, seen.refreshed) == (20, 1)


def test_a_connection_whose_user_lost_its_rights_leaves_the_pool(database):
    rig, roles, store, engine = database
    assert user_of(engine) == roles.names[0]
    owner = roles.names[0].replace("_a_", "_")
    with engine.connect() as connection:  # Taken before the change, so the first user's.
        rig.put_database(roles.allow(1))
        store.refresh("database/creds")
        connection.execute(text("SET ROLE NONE"))
        roles.postgres.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(owner), sql.Identifier(roles.names[0])))
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(f"SELECT * FROM {roles.table}"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT session_user")).scalar_one() == roles.names[1]
        connection.execute(text(f"SELECT * FROM {roles.table}"))


def test_errors_of_connections_hold_no_password(database):
    rig, roles, store, engine = database
    roles.allow(0)
    with pytest.raises(OperationalError) as refused:
        user_of(engine)
    shown = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
    rig.assert_shown_nowhere(shown, repr(engine), str(engine.url), repr(engine.pool), repr(store.get_database_credentials()))
    assert getattr(refused.value.orig, "_pgconn", None) is None
    rig.assert_shown_nowhere(repr(pickle.dumps(refused.value.orig)))
    assert engine.url.password is None


def test_an_existing_engine_is_attached_once_and_advised(database, caplog):
    rig, roles, store, _ = database
    plain = sqlalchemy.create_engine("postgresql+psycopg://nobody:nothing@db.invalid/nowhere")
    with caplog.at_level(logging.WARNING):
        assert coffre.sqlalchemy.attach(plain, store, overlap=600) is plain
    assert "at most 300" in caplog.text
    with plain.connect() as connection:
        assert connection.execute(text("SELECT session_user")).scalar_one() == roles.names[0]
        assert connection.execute(text("SELECT current_database()")).scalar_one() == "atmr"
    with pytest.raises(ValueError):
        coffre.sqlalchemy.attach(plain, store)
    caplog.clear()
    coffre.sqlalchemy.attach(sqlalchemy.create_engine("postgresql+psycopg://", pool_recycle=300), store, overlap=600)
    assert "pool_recycle" not in caplog.text
    plain.dispose()


def test_a_child_makes_connections_of_its_own(database):
    rig, roles, store, engine = database
    with engine.connect() as connection:
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with engine.connect() as connection:
                os.write(writer, str(connection.execute(text("SELECT pg_backend_pid()")).scalar_one()).encode())
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert int(os.read(reader, 32)) != mine
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == mine


def test_asyncio_engines_take_part_through_their_sync_engine(database):
    from sqlalchemy.ext.asyncio import create_async_engine

    rig, roles, store, _ = database
    engine = create_async_engine("postgresql+psycopg://", pool_recycle=60)
    coffre.sqlalchemy.attach(engine.sync_engine, store)

    async def ask():
        async with engine.connect() as connection:
            first = (await connection.execute(text("SELECT session_user"))).scalar_one()
        await engine.dispose()
        return first

    assert asyncio.run(ask()) == roles.names[0]


# --- Encrypted columns -----------------------------------------------------------------------------------------------------


def test_texts_written_before_a_rotation_open_after_it_without_a_restart(rig):
    old, new = fernet_key(), fernet_key()
    rig.put("encryption/master_key", value=old)
    store = open_secrets(rig.environ())
    column = FernetRing.of("APP_ENCRYPTION_KEY_B64", store)
    stored, before = column.encrypt("a note"), Fernet(old).encrypt(b"from before")
    assert column.decrypt(before) == b"from before"
    rig.put("encryption/master_key", **ring([key(old, 1, "decrypt-only"), key(new, 2, "active")], legacy=old))
    elsewhere = f"e1.{kid_of(new)}.{Fernet(new).encrypt(b'of a faster instance').decode()}"
    assert column.decrypt(elsewhere) == b"of a faster instance"  # One question, out of turn.
    assert column.needs_reencryption(stored) and column.needs_reencryption(before)
    assert [column.decrypt(column.rotate(text)) for text in (stored, before)] == [b"a note", b"from before"]
    rig.put("encryption/master_key", **ring([key(new, 2, "active")], epoch=2))
    store.refresh("encryption/master_key")
    with pytest.raises(UnknownKey) as refused:
        column.decrypt(stored)
    stack = traceback.TracebackException.from_exception(refused.value, capture_locals=True).stack
    shown = [str(frame.locals) for frame in stack if "/python/coffre/" in frame.filename]  # Our own frame holds the keys.
    assert shown
    rig.assert_shown_nowhere(*shown, str(refused.value), repr(column), repr(store.keyring("encryption/master_key")))
    store.close()


# --- Redis --------------------------------------------------------------------------------------------------------------------


class Users:
    """One Redis user, whose password changes as a rotation does it: the new one beside the old one, then the old one away."""

    def __init__(self, server):
        self.server, self.name, self.words = server, f"shop_{secrets.token_hex(4)}", []
        self.admin = server.client()
        self.admin.execute_command("ACL", "SETUSER", self.name, "on", "~*", "&*", "+@all")

    def add(self) -> str:
        self.words.append(password())
        self.admin.execute_command("ACL", "SETUSER", self.name, f">{self.words[-1]}")
        return self.url

    def drop_old(self) -> None:
        for word in self.words[:-1]:
            self.admin.execute_command("ACL", "SETUSER", self.name, f"<{word}")
        self.words = self.words[-1:]

    def disconnect(self) -> None:
        self.admin.execute_command("CLIENT", "KILL", "USER", self.name)

    @property
    def url(self) -> str:
        return f"redis://{self.name}:{self.words[-1]}@127.0.0.1:{self.server.port}"


@pytest.fixture
def cache(rig, redis_server):
    users = Users(redis_server)
    rig.put_redis(users.add())
    store = open_secrets(rig.environ())
    yield rig, users, store
    store.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_new_connections_to_redis_use_the_new_pair(cache, protocol):
    rig, users, store = cache
    client = coffre.redis.client(secrets=store, protocol=protocol)
    assert client.acl_whoami() in (users.name, users.name.encode())
    rig.put_redis(users.add())
    store.refresh("redis/creds")
    users.drop_old()
    assert client.ping()  # A connection that stands stays logged in.
    users.disconnect()
    assert client.ping()
    assert client.connection_pool.connection_kwargs["credential_provider"].refreshed == 0


def test_no_command_fails_while_the_password_rotates(cache):
    rig, users, store = cache
    client, failures, done = coffre.redis.client(secrets=store), [], []
    stop = threading.Event()

    def work():
        while not stop.is_set():
            try:
                client.incr(f"{users.name}:n")
                client.connection_pool.disconnect(inuse_connections=False)  # Many logins.
                done.append(1)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    for _ in range(5):
        time.sleep(0.3)
        rig.put_redis(users.add())
        store.refresh("redis/creds")
        users.drop_old()
    stop.set()
    [thread.join() for thread in threads]
    assert failures == [] and len(done) > 50


def test_a_redis_password_that_changed_unseen_costs_one_question(cache):
    rig, users, store = cache
    client = coffre.redis.client(secrets=store, db=3)
    rig.put_redis(users.add())
    users.drop_old()
    assert client.ping()
    assert client.connection_pool.connection_kwargs["credential_provider"].refreshed == 1
    assert client.connection_pool.connection_kwargs["db"] == 3


def test_a_wrong_redis_password_stays_an_error_that_shows_nothing(cache):
    rig, users, store = cache
    client = coffre.redis.client(secrets=store)
    users.add()
    users.drop_old()
    for _ in range(10):
        with pytest.raises(AuthenticationError) as refused:
            client.ping()
    provider = client.connection_pool.connection_kwargs["credential_provider"]
    assert provider.refreshed == 1
    shown = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
    rig.assert_shown_nowhere(shown, repr(client), repr(client.connection_pool), repr(provider))
    with pytest.raises(TypeError):
        pickle.dumps(provider)


def test_redis_with_asyncio(cache):
    rig, users, store = cache

    async def ask():
        async with coffre.redis.async_client(secrets=store, decode_responses=True) as client:
            first = await client.acl_whoami()
            rig.put_redis(users.add())
            users.drop_old()
            await client.connection_pool.disconnect()
            await client.ping()
            return first, client.connection_pool.connection_kwargs["credential_provider"].refreshed

    assert asyncio.run(ask()) == (users.name, 1)


def test_a_document_with_user_and_password_works_as_a_url_does(cache, rig):
    _, users, _ = cache
    rig.put("redis/creds", username=users.name, password=users.words[-1], host="127.0.0.1", port=users.server.port, value="x")
    store = open_secrets(rig.environ())
    provider = coffre.redis.CredentialProvider("redis/creds", store)
    assert provider.get_credentials() == (users.name, users.words[-1])
    plain = redis.Redis(port=users.server.port, credential_provider=provider)
    assert plain.acl_whoami() in (users.name, users.name.encode())
