"""Rows I1 to I7, I9 to I14, D10, D11, D13 and D16 with a real PostgreSQL. What needs a database that fails at a
chosen step is shown in crates/testkit/tests/it/databases.rs and static_roles.rs."""

import itertools
import json
import os
import random
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import psycopg.sql
import pytest

from coffre_server import Server
from real_process import Missing
from postgres_server import PostgresServer

CANARY = "canary-5f1d"
CREATE = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE guests"
KILLS = int(os.environ.get("COFFRE_DATABASE_KILLS", "6"))
# Users of a mount that is disabled.
USERS = int(os.environ.get("COFFRE_DATABASE_USERS", "200"))


@pytest.fixture(scope="module")
def database():
    try:
        running = PostgresServer()
    except Missing as missing:
        pytest.skip(str(missing))
    with running:
        running.execute("CREATE ROLE guests NOLOGIN")
        running.execute("CREATE ROLE victim")
        yield running


@pytest.fixture
def server(binary, tmp_path, database):
    server = Server(binary, tmp_path).bring_up()
    database.execute("DROP ROLE IF EXISTS dbadmin")
    database.execute(f"CREATE ROLE dbadmin LOGIN CREATEROLE PASSWORD '{CANARY}'")
    database.execute("GRANT guests TO dbadmin WITH ADMIN OPTION")
    assert server.call("POST", "sys/mounts/db", {"type": "database"}).status_code == 204
    assert server.call("POST", "db/config/app", config(database)).status_code == 204
    assert server.call("POST", "db/roles/app", role()).status_code == 204
    yield server
    server.stop()
    for name in managed(database):
        database.execute(f'DROP ROLE "{name}"')


def config(database, **change):
    url = f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{database.port}/atmr?sslmode=disable"
    return {"plugin_name": "postgresql-database-plugin", "connection_url": url, "username": "dbadmin", "password": CANARY,
            "allowed_roles": "*"} | change


def role(**change):
    return {"db_name": "app", "creation_statements": CREATE, "default_ttl": "1h", "max_ttl": "24h"} | change


def managed(database):
    return {name for (name,) in database.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%%'", [])}


def destination(database, creds):
    return {"host": "127.0.0.1", "port": database.port, "dbname": "atmr", "user": creds["username"], "password": creds["password"]}


def leases(server, role="app"):
    answer = server.call("LIST", f"sys/leases/lookup/db/creds/{role}")
    return answer.json()["data"]["keys"] if answer.status_code == 200 else []


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def test_i1_names_that_are_sql_stay_names(server, database):
    """Role and display names with SQL, quotes, templates or 300 letters make a quoted name of at most 63 bytes or a 400."""
    hostile = ['x";DROP ROLE victim;--', "'", "\\", "{{password}}", "n" * 300, "😀"]
    for name in hostile:
        body = {"display_name": name, "policies": ["root"], "ttl": "5m"}
        made = server.call("POST", "auth/token/create", body)
        if made.status_code == 200:
            answer = server.call("GET", "db/creds/app", token=made.json()["auth"]["client_token"])
            assert answer.status_code in (200, 400), answer.text
    for user in managed(database):
        assert len(user.encode()) <= 63
    assert database.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'victim'") == [(1,)]


def test_i2_what_a_user_names_is_not_run_when_it_ends(server, database):
    """A user makes a schema, a table and a default privilege whose names are SQL: its end takes them to the owner and runs nothing."""
    evil = 's"; DROP TABLE precious; DROP ROLE victim; --'
    for sql in ["CREATE TABLE precious (x int)", "GRANT CREATE ON DATABASE atmr TO guests", "GRANT CREATE ON SCHEMA public TO guests"]:
        database.execute(sql)
    try:
        made = server.call("GET", "db/creds/app").json()
        quoted = psycopg.sql.Identifier(evil)
        with psycopg.connect(**destination(database, made["data"]), autocommit=True) as session:
            for text in ["CREATE SCHEMA {}", "CREATE TABLE {}.t (x int)", "CREATE FUNCTION {}() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                         "GRANT USAGE ON SCHEMA {} TO guests", "ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO guests"]:
                session.execute(psycopg.sql.SQL(text).format(quoted))
        revoked = server.call("PUT", "sys/leases/revoke", {"lease_id": made["lease_id"]})
        assert revoked.status_code in (200, 202, 204), revoked.text
        assert until(lambda: managed(database) == set())
        assert database.execute("SELECT count(*) FROM precious", []) == [(0,)]
        assert database.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'victim'") == [(1,)]
    finally:
        database.execute("DROP TABLE precious")
        for name in database.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 's\"%%'", []):
            database.execute(psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(*name)))
        database.execute("DROP OWNED BY guests")


@pytest.mark.parametrize("evil", ['v" WITH PASSWORD \'x\';--', 'v" SUPERUSER;--', "v';DROP ROLE victim;--", 'v"; DROP ROLE victim; --'])
def test_i3_the_name_of_a_user_who_stays_is_only_a_name(server, database, evil):
    """A user whose name is SQL, under statements of nobody's: refused, or its password changes and nothing else does."""
    admin = database.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'dbadmin'")
    identifier = psycopg.sql.Identifier(evil)
    database.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(identifier))
    database.execute("CREATE ROLE v LOGIN PASSWORD 'v'")
    before = database.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('v', 'victim') ORDER BY 1")
    try:
        body = {"db_name": "app", "username": evil, "rotation_period": "1h", "rotation_statements": []}
        made = server.call("POST", "db/static-roles/evil", body)
        assert made.status_code in (204, 400), made.text
        if made.status_code == 204:
            now = server.call("GET", "db/static-creds/evil").json()["data"]
            assert now["username"] == evil and now["password"] != "x"
            psycopg.connect(**destination(database, now)).close()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(**destination(database, now | {"password": "x"}))
            assert server.call("DELETE", "db/static-roles/evil").status_code == 204
        assert database.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('v', 'victim') ORDER BY 1") == before
        assert database.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'dbadmin'") == admin
        assert database.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [evil]) == [(False,)]
    finally:
        for role in (evil, "v"):
            database.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(role)))


def test_i4_a_password_of_quotes_logs_in(server, database):
    """A password policy that yields quotes, backslashes and dollars gives a password that logs in as it is."""
    policy = 'length = 24\nrule "charset" { charset = "\'\\"\\\\;$" }'
    assert server.call("POST", "sys/policies/password/odd", {"policy": policy}).status_code == 204
    assert server.call("POST", "db/config/app", {"password_policy": "odd"}).status_code == 204
    creds = server.call("GET", "db/creds/app").json()["data"]
    psycopg.connect(host="127.0.0.1", port=database.port, dbname="atmr", user=creds["username"], password=creds["password"]).close()


def test_i5_no_answer_and_no_log_has_the_administrators_password(server, database):
    """Read the connection, then provoke wrong host, port, password, TLS and a malformed URL: the password is nowhere."""
    base = config(database)["connection_url"]
    answers = [server.call("GET", "db/config/app").text]
    for change in [{"connection_url": base.replace("127.0.0.1", "127.0.0.2")}, {"connection_url": base.replace(str(database.port), "1")},
                   {"username": "nobody"}, {"connection_url": base.replace("disable", "require")}, {"connection_url": "postgresql://%%%"},
                   {"connection_url": base + "&passfile=/etc/shadow"}, {"connection_url": base + "&options=-csearch_path%3Dx"}]:
        refused = server.call("POST", "db/config/app", change)
        assert refused.status_code == 400, refused.text
        answers.append(refused.text)
    assert server.call("GET", "db/creds/app").status_code == 200, "the connection that worked is still there"
    told = "\n".join(answers) + server.log.read_text() + server.audit.read_text()
    assert CANARY not in told and "root:" not in told


def test_i6_a_role_outside_of_the_list_gets_no_user(server, database):
    """Roles that a connection does not name, near misses included, get no user; neither does one that moves to such a connection,
    nor one whose connection stops naming it."""
    assert server.call("POST", "db/config/narrow", config(database, allowed_roles="app-ro,team-*")).status_code == 204

    def refused(name):
        answer = server.call("GET", f"db/creds/{name}")
        return answer.status_code != 200 and "is not an allowed role" in answer.text

    for name in ["app-rw", "app-ro2", "xapp-ro", "team", "APP-RO"]:
        assert server.call("POST", f"db/roles/{name}", role(db_name="narrow")).status_code == 204
        assert refused(name), name
    assert server.call("POST", "db/roles/app", role(db_name="narrow")).status_code == 204
    assert refused("app") and managed(database) == set()
    for name in ["app-ro", "team-a"]:
        assert server.call("POST", f"db/roles/{name}", role(db_name="narrow")).status_code == 204
        assert server.call("GET", f"db/creds/{name}").status_code == 200
    assert server.call("POST", "db/config/narrow", {"allowed_roles": "nobody"}).status_code == 204
    assert refused("app-ro") and refused("team-a") and len(managed(database)) == 2


def test_i7_a_connection_leads_to_its_host_and_reads_no_file(server, database):
    """Parameters that read files, name a service, pass options, lead through a socket or to several hosts are refused by name; the
    refusal shows nothing of a file, and the connection that worked stays."""
    base = config(database)["connection_url"]
    secret = [line for line in open("/etc/passwd").read().split("\n") if line][-1]
    for more in ["host=/tmp/evil", "sslrootcert=/etc/passwd", "sslcert=/etc/passwd", "sslkey=/etc/passwd", "passfile=/etc/passwd", "service=x",
                 "servicefile=/etc/passwd", "options=-csearch_path%3Dx", "hostaddr=10.0.0.1", "host=a,b", "krbsrvname=x", "target_session_attrs=any"]:
        refused = server.call("POST", "db/config/app", {"connection_url": f"{base}&{more}"})
        assert refused.status_code == 400 and secret not in refused.text and CANARY not in refused.text, refused.text
    for url in ["host=/tmp/evil user={{username}}", "postgresql://{{username}}:{{password}}@%2Ftmp%2Fevil/d", "postgresql://{{username}}@a,b/d"]:
        assert server.call("POST", "db/config/app", {"connection_url": url}).status_code == 400
    assert server.call("GET", "db/config/app").json()["data"]["connection_details"]["connection_url"] == base
    assert server.call("GET", "db/creds/app").status_code == 200


def framed(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


READY = framed(b"R", bytes(4)) + framed(b"Z", b"I")
HOSTILE = {
    "silence": [b""],
    "short row": [READY, framed(b"C", b"SET\0") + framed(b"Z", b"I"), framed(b"D", b"\0\1")],
    "two thousand million rounds": [framed(b"R", struct.pack(">I", 10) + b"SCRAM-SHA-256\0\0"),
                                    framed(b"R", struct.pack(">I", 11) + b"r=%N,s=c2FsdHNhbHRzYWx0,i=2147483647")],
    "length beyond four gigabytes": [READY, b"D\xff\xff\xff\xff"],
    "a flood": [READY, framed(b"N", b"x" * 1000) * 20_000],
}


class Hostile:
    """Looks like PostgreSQL until it answers. `%N` in an answer is the nonce of a login, so that the rounds are really asked for."""

    def __init__(self, answers):
        self.answers = answers
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                threading.Thread(target=self.talk, args=(self.listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    def talk(self, peer):
        try:
            for answer in itertools.chain(self.answers, itertools.repeat(b"")):
                heard = peer.recv(65536)
                if not heard:
                    return
                nonce = heard.rpartition(b"r=")[2].rstrip(b"\0")
                if b"%N" in answer:
                    answer = framed(answer[:1], answer[5:].replace(b"%N", nonce + b"more"))
                peer.sendall(answer)
        except OSError:
            pass  # The server had enough.


@pytest.mark.parametrize("kind", HOSTILE)
def test_i9_a_hostile_database_disturbs_nobody(server, database, kind):
    """A database that is silent, lies about lengths, asks for endless rounds or floods: an error in time, and meanwhile everybody
    else is served as before by a process that stays."""
    process, took = server.process.pid, []
    with Hostile(HOSTILE[kind]) as hostile, ThreadPoolExecutor(4) as pool:
        url = f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{hostile.port}/d?sslmode=disable"
        begun = time.monotonic()
        asked = [pool.submit(server.call, "POST", f"db/config/hostile{n}", config(database, connection_url=url)) for n in range(4)]
        while not all(one.done() for one in asked) and time.monotonic() - begun < 60:
            before = time.monotonic()
            assert server.call("GET", "db/roles/app").status_code == 200
            took.append(time.monotonic() - before)
            time.sleep(0.02)
        for one in asked:
            assert one.result().status_code == 400 and CANARY not in one.result().text, one.result().text
    assert time.monotonic() - begun < 40
    # A worker that is pinned would hold one of them for seconds.
    assert sorted(took)[len(took) * 98 // 100] < 2, max(took)
    assert server.process.poll() is None and server.process.pid == process
    assert server.call("GET", "db/creds/app").status_code == 200


def test_i10_after_a_kill_during_rotate_root_the_server_still_gets_in(server, database):
    """Killed at some moment of rotate-root, the server reaches the database after the restart."""
    for _ in range(KILLS):
        threading.Timer(random.uniform(0.0, 0.05), server.kill).start()
        try:
            server.call("POST", "db/rotate-root/app")
        except OSError:
            pass
        until(lambda: server.process.poll() is not None, 5)
        server.start()
        server.unseal()
        assert server.call("GET", "db/creds/app").status_code == 200


def test_i11_after_kills_during_creds_the_users_are_those_of_leases(server, database):
    """Killed again and again while users are made, the server has exactly the users of its leases, each with an end."""
    for _ in range(KILLS):
        threading.Timer(random.uniform(0.05, 0.4), server.kill).start()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: attempt(server), range(12)))
        until(lambda: server.process.poll() is not None, 5)
        server.start()
        server.unseal()
    # What no lease took the place of is undone soon after the unseal.
    assert until(lambda: len(managed(database)) == len(leases(server)), 20), (managed(database), leases(server))
    assert database.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%%' AND rolvaliduntil IS NULL", []) == [(0,)]


def attempt(server):
    try:
        server.call("GET", "db/creds/app")
    except OSError:
        pass


def test_i12_the_database_ends_a_user_when_its_lease_ends(server, database):
    """VALID UNTIL is the lease's end within a second, also after a renewal."""
    made = server.call("GET", "db/creds/app").json()
    for body in [None, {"lease_id": made["lease_id"], "increment": 7200}]:
        if body:
            assert server.call("POST", "sys/leases/renew", body).status_code == 200
        told = server.call("POST", "sys/leases/lookup", {"lease_id": made["lease_id"]}).json()["data"]["expire_time"]
        off = database.execute(
            "SELECT abs(extract(epoch FROM rolvaliduntil - %s::timestamptz)) FROM pg_roles WHERE rolname = %s",
            [told, made["data"]["username"]],
        )
        assert float(off[0][0]) <= 1.0


def test_i13_a_crowd_takes_no_more_connections_than_configured(server, database):
    """Many callers at once: the database never sees more than max_open_connections of ours, and nobody waits for ever."""
    assert server.call("POST", "db/config/app", {"max_open_connections": 3}).status_code == 204
    seen, stop = [], threading.Event()

    def watch():
        with psycopg.connect(database.url, autocommit=True) as session:
            while not stop.is_set():
                seen.append(session.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'dbadmin'").fetchone()[0])
                time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(30) as pool:
        statuses = list(pool.map(lambda _: server.call("GET", "db/creds/app").status_code, range(90)))
    stop.set()
    watcher.join()
    assert max(seen) <= 3, max(seen)
    assert set(statuses) <= {200, 502} and statuses.count(200) > 0
    assert until(lambda: len(managed(database)) >= statuses.count(200))


def test_i14_statements_are_all_or_nothing(server, database):
    """An unknown variable is a 400, and when the second statement fails nothing of the first is left."""
    for statements, statuses in [([CREATE, "SELECT {{unknown}}"], {400}), ([CREATE, "SELECT * FROM no_such_table"], {400, 502})]:
        assert server.call("POST", "db/roles/odd", role(creation_statements=statements)).status_code in (204, 400)
        assert server.call("GET", "db/creds/odd").status_code in statuses | {400}
        assert managed(database) == set()


def test_d10_a_mount_with_users_goes_only_with_them(server, database):
    """Disabled while the database is down, killed, and disabled again when it is back: no users, no rows, no mount."""
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: server.call("GET", "db/creds/app").status_code, range(USERS)))
    assert codes == [200] * USERS and len(managed(database)) == len(leases(server)) == USERS
    database.stop()
    try:
        assert server.call("DELETE", "sys/mounts/db").status_code >= 500
        server.kill()
    finally:
        database.start()
    server.start()
    server.unseal()
    assert server.call("DELETE", "sys/mounts/db").status_code == 204
    assert managed(database) == set() and leases(server) == []
    assert "db/" not in server.call("GET", "sys/mounts").json()["data"]


def test_d11_a_lease_id_of_a_user_gives_nobody_power_over_it(server, database):
    """Without a grant nobody renews or revokes a user's lease; with one on its prefix, exactly those."""
    lease = server.call("GET", "db/creds/app").json()["lease_id"]
    policy = {"policy": 'path "sys/leases/revoke/db/creds/other/*" { capabilities = ["update"] }'}
    assert server.call("POST", "sys/policies/acl/other", policy).status_code == 204
    token = server.call("POST", "auth/token/create", {"policies": ["other"], "no_default_policy": True}).json()["auth"]["client_token"]
    for path in ["leases/lookup", "leases/renew", "leases/revoke", f"leases/revoke/{lease}", "revoke", "renew"]:
        assert server.call("PUT", f"sys/{path}", {"lease_id": lease}, token).status_code == 403, path
    assert len(managed(database)) == 1 and len(leases(server)) == 1


def test_d13_what_ended_while_the_server_was_down_is_removed(server, database):
    """A lease of a few seconds that ended while the server was down: its user is gone soon after the start."""
    assert server.call("POST", "db/roles/short", role(default_ttl="4s")).status_code == 204
    assert server.call("GET", "db/creds/short").status_code == 200
    server.kill()
    time.sleep(5)
    server.start()
    server.unseal()
    assert until(lambda: managed(database) == set(), 30)


def test_d16_a_revocation_that_fails_is_told_and_done_later(server, database):
    """With the database down a lease stays to be revoked, through a kill, until the database is back."""
    lease = server.call("GET", "db/creds/app").json()["lease_id"]
    database.stop()
    try:
        assert server.call("PUT", "sys/leases/revoke", {"lease_id": lease}).status_code in (202, 204)
        server.kill()
        server.start()
        server.unseal()
        assert json.dumps(leases(server)).count(lease.rsplit("/", 1)[1]) == 1, "it is not forgotten"
    finally:
        database.start()
    assert until(lambda: managed(database) == set() and leases(server) == [], 60)
