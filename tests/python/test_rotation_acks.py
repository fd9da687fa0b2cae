"""What processes say of documents that rotate: directly, through the agent, and with connections that outlive a change."""

import datetime
import os
import secrets
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from psycopg import sql
from sqlalchemy import text

import coffre
import coffre.sqlalchemy
from agent_host import Agent, prepare
from coffre.fernet import FernetRing
from coffre.keyring import Keyring, kid_of
from keyrings import key, ring
from rig import Rig, until
from shop_secrets import open_secrets

ALLOWED = 'path "shop/data/prod/_rot/ack/*" { capabilities = ["create", "update"] }'
ULID = "01J00000000000000000000000"


def consumers(server, target: str, mount: str = "shop") -> list[dict]:
    """What is said of a target, by everybody."""
    kv = server.client().secrets.kv.v2
    folder = f"prod/_rot/ack/{target}"
    answer = server.call("LIST", f"{mount}/metadata/{folder}")
    names = answer.json()["data"]["keys"] if answer.status_code == 200 else []
    read = [kv.read_secret_version(f"{folder}/{name}", mount_point=mount, raise_on_deleted_version=True) for name in names]
    return [found["data"]["data"] for found in read]


def said(server, target: str, **wanted) -> dict:
    """Waits until exactly one consumer says this of a target."""

    def found():
        all = consumers(server, target)
        return all[0] if len(all) == 1 and all[0].items() >= wanted.items() else None

    return until(found)


@pytest.fixture
def rig(server, tmp_path):
    rig = Rig(server, tmp_path / "shop")
    for path in ("flask/secret_key", "encryption/master_key"):
        rig.put(path, value=secrets.token_urlsafe(32))
    rig.put_database("postgresql://shop:unused-password@db.invalid:5432/shop")
    rig.put_redis("redis://:unused-password@redis.invalid:6379")
    rig.put("jwt/secret_key", **ring([key(secrets.token_urlsafe(32), 4, "active")], epoch=7, target="jwt/secret_key"))
    return rig


def allow(server, rig) -> None:
    """The application may acknowledge."""
    policies = [name for name in server.client().sys.list_policies()["data"]["policies"] if name.startswith("shop-prod-")]
    for name in policies:
        readable = 'path "shop/data/prod/*" { capabilities = ["read"] }'
        server.client().sys.create_or_update_policy(name, f"{readable}\n{ALLOWED}")


def forget(server, target: str) -> None:
    answer = server.call("LIST", f"shop/metadata/prod/_rot/ack/{target}")
    for name in answer.json()["data"]["keys"] if answer.status_code == 200 else []:
        server.call("DELETE", f"shop/metadata/prod/_rot/ack/{target}/{name}")


def test_a_process_says_which_epoch_it_has_and_takes_leave(server, rig):
    allow(server, rig)
    forget(server, "jwt/secret_key")
    with open_secrets(rig.environ(COFFRE_SERVICE="api")) as store:
        first = said(server, "jwt/secret_key", epoch=7, in_use=4, frozen=False, auth_failures_60s=0)
        assert first["consumer"].startswith("api.") and str(os.getpid()) in first["consumer"]
        rig.put(
            "jwt/secret_key",
            **ring([key(secrets.token_urlsafe(32), 5, "active"), key(secrets.token_urlsafe(32), 4)], epoch=8, target="jwt/secret_key"),
        )
        store.refresh("jwt/secret_key")
        said(server, "jwt/secret_key", epoch=8, in_use=5)
        assert consumers(server, "flask/secret_key") == [], "a document that does not rotate"
    assert consumers(server, "jwt/secret_key")[0]["expires"] < first["expires"]


def test_a_process_tells_what_it_decrypted_under_which_key_as_long_as_it_counts_everything(server, rig):
    allow(server, rig)
    target = "encryption/master_key"
    forget(server, target)
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    rig.values.update({old, new})

    def publish(epoch: int) -> None:
        keys = [key(old, 1, "decrypt-only"), key(new, 2, "active")]
        rig.put(target, **ring(keys, epoch=epoch, target=target))

    publish(3)
    stored = FernetRing(Keyring.from_document({"value": old})).encrypt("a note")
    with open_secrets(rig.environ(COFFRE_SERVICE="api")) as store:
        assert "decrypts" not in said(server, target, epoch=3), "nobody counts"
        column = FernetRing.of(target, store)
        assert column.decrypt(stored) == column.decrypt(stored) == b"a note"
        publish(4)
        store.refresh(target)
        decrypts = said(server, target, epoch=4)["decrypts"]
        assert (list(decrypts), decrypts[kid_of(old)]["count"]) == ([kid_of(old)], 2)
        last = datetime.datetime.fromisoformat(decrypts[kid_of(old)]["last"][:19] + "+00:00")
        assert abs(last - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5)
        column.as_multifernet()
        publish(5)
        store.refresh(target)
        assert "decrypts" not in said(server, target, epoch=5), "who has the keys themselves counts for nothing"


def test_a_process_that_may_not_say_it_works_all_the_same(server, rig):
    forget(server, "jwt/secret_key")
    with open_secrets(rig.environ()) as store:
        assert store.get_secret("JWT_SECRET_KEY")
        store.refresh("jwt/secret_key")
    assert consumers(server, "jwt/secret_key") == []


def test_a_generation_is_in_use_until_its_last_connection_is_closed(server, rig, postgres):
    allow(server, rig)
    names = [f"acks_{secrets.token_hex(4)}" for _ in "ab"]
    urls = []
    for name in names:
        word = secrets.token_urlsafe(16)
        postgres.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(word)))
        urls.append(postgres.url_for(name, word))
        rig.values.add(word)

    def publish(generation: int, url: str, epoch: int) -> None:
        document = {"schema": "credential/1", "target": "database/creds", "epoch": epoch, "gen": generation, "_w": ULID}
        rig.put("database/creds", value=url, **document)

    publish(1, urls[0], 1)
    forget(server, "database/creds")
    with open_secrets(rig.environ()) as store:
        engine = coffre.sqlalchemy.create_engine(store, pool_size=2)
        held = engine.connect()
        assert held.execute(text("SELECT session_user")).scalar_one() == names[0]
        publish(2, urls[1], 2)
        store.refresh("database/creds")
        with engine.connect() as other:
            assert other.execute(text("SELECT session_user")).scalar_one() == names[1]
        assert said(server, "database/creds", epoch=2)["in_use"] == 1, "one of the pool logged in with the old one"
        held.invalidate()
        held.close()
        said(server, "database/creds", epoch=2, in_use=2)
        store.login_refused("DATABASE_URL")
        until(lambda: consumers(server, "database/creds")[0]["auth_failures_60s"] == 1, 25)
        engine.dispose()


def test_programs_behind_the_agent_are_heard(server, binary, tmp_path):
    server.client().sys.disable_auth_method("approle")  # of the tests above
    prepare(server)
    kv = server.client().secrets.kv.v2
    material = secrets.token_urlsafe(32)
    document = ring([key(material, 4, "active")], epoch=7, target="jwt/secret_key")
    kv.create_or_update_secret("prod/jwt/secret_key", document, mount_point="atmr")
    project = Path(tmp_path / "project")
    project.mkdir()
    manifest = 'app = "atmr"\nenvironments = ["dev", "prod"]\n[secret.JWT_SECRET_KEY]\npath = "jwt/secret_key"\n'
    (project / "coffre.toml").write_text(manifest)
    with Agent(binary, tmp_path / "agent", server).identify().start() as agent:
        environ = {"COFFRE_ENV": "prod", "VAULT_ADDR": f"unix://{agent.socket}", "COFFRE_MANIFEST": str(project / "coffre.toml")}
        with coffre.Secrets(environ) as store:
            assert store.get_secret("JWT_SECRET_KEY") == material
            until(lambda: [ack for ack in consumers(server, "jwt/secret_key", "atmr") if (ack["epoch"], ack["in_use"]) == (7, 4)])
        path = "/v1/atmr/data/prod/_rot/ack/jwt/secret_key/somebody.else"
        status, said = agent.get(path, "PUT")
        assert status == 400 and "no acknowledgement" in said
        assert len(consumers(server, "jwt/secret_key", "atmr")) == 1
