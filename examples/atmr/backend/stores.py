"""Connections: PostgreSQL or SQLite, and Redis when there is one."""

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from .config import Config, ConfigError, optional, sqlite_only, sqlite_path
from .models import create_schema
from .shared import secret_source as secrets

log = logging.getLogger("atmr.stores")

CONNECT_SECONDS = 2


@dataclass(frozen=True)
class Database:
    """An engine whose tables exist; `kind` is `postgresql` or `sqlite`, `reason` why it is not the configured one."""

    engine: Engine
    kind: str
    reason: str

    def forget_connections(self) -> None:
        """In a process that was forked: those of the parent stay the parent's, open and unused here."""
        self.engine.dispose(close=False)


@dataclass(frozen=True)
class Cache:
    """`client` is None without Redis, and `reason` says why."""

    client: Any
    reason: str


def open_database(config: Config) -> Database:
    reason = "ATMR_DATABASE=sqlite" if sqlite_only() else "DATABASE_URL not set"
    if optional("DATABASE_URL") and not sqlite_only():
        try:
            return Database(_prepared(secrets.open_engine(connect_args={"connect_timeout": CONNECT_SECONDS})), "postgresql", "")
        except (SQLAlchemyError, ImportError) as error:
            # Only the class: messages of drivers quote the URL.
            reason = f"configured database not usable: {type(error).__name__}"
    if not (config.SQLITE_ALLOWED or sqlite_only()):
        raise ConfigError(f"{reason}; outside development SQLite must be asked for with ATMR_DATABASE=sqlite")
    log.warning("database: sqlite (%s)", reason)
    return Database(_prepared(create_engine(URL.create("sqlite", database=sqlite_path()))), "sqlite", reason)


def open_cache() -> Cache:
    if not optional("REDIS_URL"):
        return Cache(None, "REDIS_URL not set")
    if importlib.util.find_spec("redis") is None:
        return Cache(None, "the redis package is not installed")
    import redis

    try:
        client = secrets.open_redis(socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS)
        client.ping()
        return Cache(client, "")
    except (redis.RedisError, ValueError) as error:
        log.warning("redis: none (%s)", type(error).__name__)
        return Cache(None, f"configured redis not usable: {type(error).__name__}")


def _prepared(engine: Engine) -> Engine:
    create_schema(engine)
    return engine
