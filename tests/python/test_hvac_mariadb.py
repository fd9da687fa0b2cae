"""The database engine through hvac with a real MariaDB: users for a while, a user who stays, the administrator's password."""

import json
import time

import hvac
import pymysql
import pytest

from mariadb_server import MariaDbServer
from real_process import Missing

CREATE = [
    "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'",
    "GRANT SELECT, INSERT ON shop.* TO '{{name}}'@'%'",
]
# The names by which Vault knows the plug-in: they differ in how long a name may be.
PLUGINS = ["mysql-database-plugin", "mysql-legacy-database-plugin", "mysql-rds-database-plugin", "mysql-aurora-database-plugin"]


@pytest.fixture(scope="module")
def mariadb():
    try:
        server = MariaDbServer()
    except Missing as missing:
        pytest.skip(str(missing))
    with server:
        server.execute("CREATE TABLE shop.notes (id int PRIMARY KEY)")
        server.execute("CREATE USER vaultadmin@'%' IDENTIFIED BY 'admin-at-first'")
        server.execute("GRANT ALL ON *.* TO vaultadmin@'%' WITH GRANT OPTION")
        yield server


@pytest.fixture(scope="module")
def client(server, mariadb):
    client = server.client()
    client.sys.enable_secrets_engine("database")
    configure(client, mariadb)
    client.secrets.database.create_role(
        name="reader", db_name="shop", creation_statements=CREATE, default_ttl="1h", max_ttl="24h"
    )
    return client


def configure(client, mariadb, name="shop", **change):
    settings = {
        "plugin_name": "mysql-database-plugin",
        "connection_url": f"{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{mariadb.port})/",
        "username": "vaultadmin",
        "password": "admin-at-first",
        "allowed_roles": "*",
    }
    client.write_data(f"database/config/{name}", data=settings | change)


def users(mariadb, prefix="v-"):
    return {name for (name,) in mariadb.execute("SELECT User FROM mysql.user WHERE User LIKE %s", [prefix + "%"])}


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_user_from_its_making_to_its_end(client, mariadb):
    shown = client.secrets.database.read_connection("shop")["data"]
    assert shown["plugin_name"] == "mysql-database-plugin" and "admin-at-first" not in str(shown)
    made = client.secrets.database.generate_credentials("reader")
    creds, lease = made["data"], made["lease_id"]
    assert made["lease_duration"] == 3600 and made["renewable"] and lease.startswith("database/creds/reader/")
    with mariadb.connect(**names(creds), database="shop") as session, session.cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES (1)")
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("DELETE FROM notes")
        client.sys.renew_lease(lease_id=lease, increment=7200)
        client.sys.revoke_lease(lease)
        assert until(lambda: creds["username"] not in users(mariadb))
        with pytest.raises(pymysql.err.Error):
            cursor.execute("SELECT 1")  # Its session ended with it.
    with pytest.raises(pymysql.err.OperationalError):
        mariadb.connect(**names(creds))
    assert mariadb.execute("SELECT id FROM shop.notes") == [(1,)]


def names(creds):
    return {"name": creds["username"], "password": creds["password"]}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_each_of_vaults_names_for_the_plugin_makes_users_that_log_in(client, mariadb, plugin):
    short = plugin.split("-")[1]
    configure(client, mariadb, short, plugin_name=plugin)
    client.secrets.database.create_role(name=short, db_name=short, creation_statements=CREATE, default_ttl="1h")
    made = client.secrets.database.generate_credentials(short)
    mariadb.connect(**names(made["data"]), database="shop").close()
    client.sys.revoke_lease(made["lease_id"])
    assert len(made["data"]["username"]) == (32 if short == "database" else 16)
    assert until(lambda: made["data"]["username"] not in users(mariadb))


def test_the_roles_own_statements_end_a_user(client, mariadb):
    client.secrets.database.create_role(
        name="own", db_name="shop", default_ttl="1h",
        creation_statements=["CREATE USER '{{username}}'@'127.0.0.1' IDENTIFIED BY '{{password}}'; GRANT SELECT ON shop.* TO '{{username}}'@'127.0.0.1'"],
        revocation_statements=["RENAME USER '{{username}}'@'127.0.0.1' TO 'was_a_guest'@'127.0.0.1'; ALTER USER 'was_a_guest'@'127.0.0.1' ACCOUNT LOCK"],
    )  # fmt: skip
    made = client.secrets.database.generate_credentials("own")
    mariadb.connect(**names(made["data"])).close()
    client.sys.revoke_lease(made["lease_id"])
    assert until(lambda: made["data"]["username"] not in users(mariadb))
    assert users(mariadb, "was_a") == {"was_a_guest"}
    mariadb.execute("DROP USER 'was_a_guest'@'127.0.0.1'")


def test_what_goes_wrong_leaves_no_user_and_shows_no_password(client, mariadb, server):
    before = users(mariadb)
    for name, statements in [("half", [CREATE[0], "GRANT NONSENSE ON shop.* TO '{{name}}'@'%'"]), ("odd", ["CREATE {{unknown}}"])]:
        try:
            client.secrets.database.create_role(name=name, db_name="shop", creation_statements=statements)
        except hvac.exceptions.InvalidRequest as refused:
            assert "unknown" in str(refused)
            continue
        with pytest.raises((hvac.exceptions.InvalidRequest, hvac.exceptions.InternalServerError)):
            client.secrets.database.generate_credentials(name)
    assert users(mariadb) == before
    with pytest.raises(hvac.exceptions.InvalidRequest) as refused:
        configure(client, mariadb, "wrong", password="not-the-password")
    assert "not-the-password" not in str(refused.value)
    told = server.log.read_text() + server.audit.read_text()
    assert "not-the-password" not in told and "admin-at-first" not in told


def test_a_database_that_is_down_is_told_and_the_lease_ends_when_it_is_back(client, mariadb):
    made = client.secrets.database.generate_credentials("reader")
    mariadb.stop()
    try:
        with pytest.raises((hvac.exceptions.BadGateway, hvac.exceptions.InternalServerError, hvac.exceptions.VaultDown)):
            client.secrets.database.generate_credentials("reader")
        client.sys.revoke_lease(made["lease_id"])
    finally:
        mariadb.start()
    assert until(lambda: users(mariadb) == set(), 60), "also what the refused request announced"


def test_a_user_who_stays(client, mariadb):
    mariadb.execute("CREATE USER keeper@'%' IDENTIFIED BY 'theirs'")
    client.secrets.database.create_static_role(
        name="keeper", db_name="shop", username="keeper", rotation_statements=None, rotation_period="1h"
    )
    first = client.secrets.database.get_static_credentials("keeper")["data"]
    assert first["password"] != "theirs" and 3590 < first["ttl"] <= 3600
    mariadb.connect(**names(first)).close()
    assert client.secrets.database.rotate_static_role_credentials("keeper").status_code == 204
    second = client.secrets.database.get_static_credentials("keeper")["data"]
    assert second["password"] != first["password"]
    mariadb.connect(**names(second)).close()
    for password in ("theirs", first["password"]):
        with pytest.raises(pymysql.err.OperationalError):
            mariadb.connect("keeper", password)
    client.secrets.database.delete_static_role("keeper")
    mariadb.connect(**names(second)).close()


def test_after_rotate_root_only_the_server_knows_the_password(client, mariadb):
    assert client.secrets.database.rotate_root_credentials("shop").status_code == 204
    with pytest.raises(pymysql.err.OperationalError):
        mariadb.connect("vaultadmin", "admin-at-first")
    made = client.secrets.database.generate_credentials("reader")
    mariadb.connect(**names(made["data"])).close()
    assert "admin-at-first" not in json.dumps(client.secrets.database.read_connection("shop"))
    client.sys.revoke_prefix("database/creds/reader")
    assert until(lambda: users(mariadb) == set())


def test_no_log_of_the_database_holds_a_password(server, client):
    """MariaDB's query log and binary log have statements as they came, those that failed too."""
    with MariaDbServer("--general-log=1", "--general-log-file=general.log", "--log-output=FILE", "--log-bin=binary") as loud:
        loud.execute("CREATE USER vaultadmin@'%' IDENTIFIED BY 'planted-in-the-logs'")
        loud.execute("GRANT ALL ON *.* TO vaultadmin@'%' WITH GRANT OPTION")
        loud.execute("CREATE USER keeper@'%' IDENTIFIED BY 'planted-in-the-logs'")
        configure(client, loud, "loud", password="planted-in-the-logs")
        client.secrets.database.create_role(name="loud", db_name="loud", creation_statements=CREATE, default_ttl="1h")
        made = client.secrets.database.generate_credentials("loud")
        loud.connect(**names(made["data"])).close()
        client.secrets.database.create_static_role(
            name="loud-keeper", db_name="loud", username="keeper", rotation_statements=None, rotation_period="1h"
        )
        kept = client.secrets.database.get_static_credentials("loud-keeper")["data"]
        loud.connect(**names(kept)).close()
        client.secrets.database.rotate_root_credentials("loud")
        again = client.secrets.database.generate_credentials("loud")
        data = loud.directory / "data"
        logs = b"".join(path.read_bytes() for path in [loud.log, *data.glob("general.log"), *data.glob("binary.0*")])
        assert logs.count(b"planted-in-the-logs") >= 4, "what a person wrote in the clear is in both"
        assert logs.count(made["data"]["username"].encode()) > 4
        for creds in (made["data"], again["data"], kept):
            assert creds["password"].encode() not in logs
        client.sys.revoke_prefix("database/creds/loud")
        assert until(lambda: users(loud) == set())
        client.secrets.database.delete_static_role("loud-keeper")
