"""The vault client of the plan: a thin layer over the package `coffre`.

The package decides once where secrets come from (the vault; `.env` in development or with USE_VAULT=false), keeps them in
a cache that outlives the vault for a while, logs in again, and notices new versions. Nothing of that is done here.
"""

import os
from collections.abc import Sequence

import coffre
import coffre.fernet
import coffre.flask
from coffre import CoffreError as VaultError
from coffre import NotFound, get_secret
from coffre.flask import Config as Settings
from coffre.flask import init_app as protect_sessions
from coffre.flask import init_jwt as sign_tokens

__all__ = [
    "NotFound", "Settings", "VaultError", "connect_workers", "environment", "get_secret", "names", "open_box", "open_engine",
    "open_redis", "origin", "protect_sessions", "sign_tokens", "source", "state",
]


def open_box(name: str) -> coffre.fernet.FernetRing:
    """What encrypts under the present key of a ring, and opens under each accepted one."""
    return coffre.fernet.FernetRing.of(name)


def source() -> str:
    """`vault`, `dotenv` with the reason in brackets, or what `coffre run` said."""
    found = coffre.source()
    return f"coffre run ({os.environ['COFFRE_SOURCE']})" if found == "environment" else found


def environment() -> str:
    """`dev`, `staging` or `prod`."""
    return coffre.health()["environment"]


def names() -> Sequence[str]:
    """The variables of `coffre.toml`."""
    return coffre.names()


def origin(name: str) -> str:
    """Where the value of a variable comes from, without the value."""
    return str(coffre.explain(name))


def state() -> dict:
    """How the cache stands, for a health page; no values."""
    return coffre.health()


def open_engine(**options):
    """SQLAlchemy's engine for DATABASE_URL; each new connection logs in with what holds then."""
    import coffre.sqlalchemy

    return coffre.sqlalchemy.create_engine(**options)


def open_redis(**options):
    """A client for REDIS_URL; the same."""
    import coffre.redis

    return coffre.redis.client(**options)


def connect_workers(celery) -> None:
    """Broker and results of Celery; the same."""
    import coffre.celery

    coffre.celery.setup(celery)
