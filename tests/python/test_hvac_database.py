"""The database engine through hvac, with a real PostgreSQL and a real Redis: what Vault's documentation tells people to do."""

import time

import hvac
import psycopg
import pytest
import redis

CREATE = [
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE app_owner;",
    "ALTER ROLE \"{{name}}\" SET role = app_owner;",
]


@pytest.fixture(scope="module")
def client(server):
    client = server.client()
    client.sys.enable_secrets_engine("database")
    return client


@pytest.fixture(scope="module")
def app(client, postgres):
    """An administrator that is no superuser, an owner role without login, and a connection `app`."""
    postgres.execute("CREATE ROLE app_owner NOLOGIN")
    postgres.execute("CREATE ROLE vaultadmin LOGIN CREATEROLE PASSWORD 'admin-at-first'")
    postgres.execute("GRANT app_owner TO vaultadmin WITH ADMIN OPTION")
    postgres.execute("GRANT ALL ON SCHEMA public TO app_owner")
    client.secrets.database.configure(
        name="app",
        plugin_name="postgresql-database-plugin",
        allowed_roles=["reader", "keeper"],
        connection_url=f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/atmr?sslmode=disable",
        username="vaultadmin",
        password="admin-at-first",
    )
    client.secrets.database.create_role(
        name="reader", db_name="app", creation_statements=CREATE, default_ttl="1h", max_ttl="24h"
    )
    return client


def login(postgres, creds):
    return psycopg.connect(postgres.url_for(creds["username"], creds["password"]), autocommit=True)


def roles(postgres, prefix="v-"):
    return {name for (name,) in postgres.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", [prefix + "%"])}


def valid_until(postgres, user):
    ends = postgres.execute("SELECT extract(epoch FROM rolvaliduntil) FROM pg_roles WHERE rolname = %s", [user])
    return float(ends[0][0])


def test_a_connection_is_shown_without_its_password(app):
    shown = app.secrets.database.read_connection("app")["data"]
    assert shown["plugin_name"] == "postgresql-database-plugin" and shown["allowed_roles"] == ["reader", "keeper"]
    assert shown["connection_details"]["username"] == "vaultadmin"
    assert "admin-at-first" not in str(shown)
    assert app.secrets.database.list_connections()["data"]["keys"] == ["app"]
    assert app.secrets.database.list_roles()["data"]["keys"] == ["reader"]
    role = app.secrets.database.read_role("reader")["data"]
    assert role["creation_statements"] == CREATE and role["default_ttl"] == 3600
    assert app.secrets.database.reset_connection("app").status_code == 204


def test_a_user_from_its_making_to_its_end(app, postgres):
    made = app.secrets.database.generate_credentials("reader")
    creds, lease = made["data"], made["lease_id"]
    assert made["lease_duration"] == 3600 and made["renewable"] and lease.startswith("database/creds/reader/")
    with login(postgres, creds) as session:
        assert session.execute("SELECT session_user::text, current_user::text").fetchone() == (creds["username"], "app_owner")
        session.execute("CREATE TABLE made_by_a_guest (id int)")
    assert abs(valid_until(postgres, creds["username"]) - time.time() - 3600) < 5
    renewed = app.sys.renew_lease(lease_id=lease, increment=7200)
    end = time.time() + renewed["lease_duration"]
    assert abs(valid_until(postgres, creds["username"]) - end) < 2
    # Its sessions end with it, and what it made stays.
    session = login(postgres, creds)
    app.sys.revoke_lease(lease)
    deadline = time.monotonic() + 15
    while creds["username"] in roles(postgres) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert creds["username"] not in roles(postgres)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    assert postgres.execute("SELECT count(*) FROM made_by_a_guest") == [(0,)]
    postgres.execute("DROP TABLE made_by_a_guest")


def test_what_vault_refuses_is_refused_in_its_words(app):
    with pytest.raises(hvac.exceptions.InvalidRequest, match="unknown role: nobody"):
        app.secrets.database.generate_credentials("nobody")
    app.secrets.database.create_role(name="stranger", db_name="app", creation_statements=CREATE)
    with pytest.raises(hvac.exceptions.InternalServerError, match='"stranger" is not an allowed role'):
        app.secrets.database.generate_credentials("stranger")
    app.secrets.database.delete_role("stranger")
    with pytest.raises(hvac.exceptions.InvalidPath):
        app.secrets.database.read_role("stranger")


def test_a_user_who_stays(app, postgres):
    postgres.create_role("keeper", "theirs")
    postgres.execute("GRANT keeper TO vaultadmin WITH ADMIN OPTION")
    app.secrets.database.create_static_role(
        name="keeper", db_name="app", username="keeper", rotation_statements=None, rotation_period="1h"
    )
    first = app.secrets.database.get_static_credentials("keeper")["data"]
    assert first["password"] != "theirs" and 3590 < first["ttl"] <= 3600 and first["rotation_period"] == 3600
    login(postgres, first).close()
    assert app.secrets.database.rotate_static_role_credentials("keeper").status_code == 204
    second = app.secrets.database.get_static_credentials("keeper")["data"]
    assert second["password"] != first["password"]
    login(postgres, second).close()
    with pytest.raises(psycopg.OperationalError):
        login(postgres, first)
    app.secrets.database.delete_static_role("keeper")
    login(postgres, second).close()


def test_after_rotate_root_only_the_server_knows_the_password(app, postgres):
    assert app.secrets.database.rotate_root_credentials("app").status_code == 204
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url_for("vaultadmin", "admin-at-first"))
    app.secrets.database.generate_credentials("reader")
    app.sys.revoke_prefix("database/creds/reader")


def test_redis_users(client, redis_server):
    with redis_server.client() as admin:
        url = redis.connection.parse_url(redis_server.url)
        name, password = url.get("username") or "default", url["password"]
        client.write("database/config/cache", plugin_name="redis-database-plugin", host="127.0.0.1", port=redis_server.port,
                     username=name, password=password, allowed_roles="*")
        client.write("database/roles/cache", db_name="cache", creation_statements='["~*", "+@read"]', default_ttl="5m")
        made = client.read("database/creds/cache")
        creds = made["data"]
        guest = redis.Redis(port=redis_server.port, username=creds["username"], password=creds["password"])
        assert guest.get("nothing") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            guest.set("some", "thing")
        client.sys.revoke_lease(made["lease_id"])
        deadline = time.monotonic() + 15
        while creds["username"] in admin.acl_users() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert creds["username"] not in admin.acl_users()
