"""Connections: PostgreSQL or SQLite, and Redis when there is one."""

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from .config import Config
from .models import create_schema
from .shared.secret_source import SourceError

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
    reason = "ATMR_DATABASE=sqlite" if config.SQLITE_ONLY else "DATABASE_URL not set"
    if config.DATABASE_URL and not config.SQLITE_ONLY:
        try:
            return Database(_prepared(create_engine(_driver_url(config.DATABASE_URL), **_options(config.DATABASE_URL))), "postgresql", "")
        except (SQLAlchemyError, ImportError) as error:
            # Only the class: messages of drivers quote the URL.
            reason = f"configured database not usable: {type(error).__name__}"
    if not config.SQLITE_ALLOWED:
        raise SourceError(f"{reason}; outside development SQLite must be asked for with ATMR_DATABASE=sqlite")
    log.warning("database: sqlite (%s)", reason)
    engine = create_engine(URL.create("sqlite", database=config.SQLITE_PATH))
    return Database(_prepared(engine), "sqlite", reason)


def open_cache(config: Config) -> Cache:
    if not config.REDIS_URL:
        return Cache(None, "REDIS_URL not set")
    if importlib.util.find_spec("redis") is None:
        return Cache(None, "the redis package is not installed")
    import redis

    try:
        client = redis.Redis.from_url(config.REDIS_URL, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS)
        client.ping()
        return Cache(client, "")
    except (redis.RedisError, ValueError) as error:
        log.warning("redis: none (%s)", type(error).__name__)
        return Cache(None, f"configured redis not usable: {type(error).__name__}")


def _driver_url(text_url: str) -> URL:
    url = make_url(text_url)
    # A bare postgresql:// means psycopg 3 here.
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _options(text_url: str) -> dict:
    if make_url(text_url).get_backend_name().startswith("postgres"):
        return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
    return {}


def _prepared(engine: Engine) -> Engine:
    create_schema(engine)
    return engine
