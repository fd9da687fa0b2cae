"""SQLAlchemy: each new connection logs in with the present user and password of the database.

    engine = coffre.sqlalchemy.create_engine()                 # host and database from the vault as well
    engine = coffre.sqlalchemy.attach(sqlalchemy.create_engine("postgresql+psycopg://db.internal/atmr"))

A connection of another user than the present one is replaced when it is next taken out of the pool, and idle ones soon
after the change, so that a rotation does not wait for them. What is in use keeps the user with which it was made: choose
``pool_recycle`` of at most half the time for which the old user is still accepted (``overlap``). Works with each dialect whose URL holds user and
password; asyncio's engines through their ``sync_engine``.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from dataclasses import dataclass
from typing import Any, Dict, List, NoReturn, Optional, Tuple

import sqlalchemy
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import DisconnectionError

from coffre._process import SecretsLike, process_secrets, refresher
from coffre._refresh import ForcedRefresh

__all__ = ["Counts", "advised_pool_recycle", "attach", "counts", "create_engine"]

log = logging.getLogger("coffre.sqlalchemy")

# What a server says to a user whose password was changed, who was locked or dropped, or who lost the right to connect.
REFUSED_STATES = ("28P01", "28000", "42501")
# The longest time for which a client may use an old value is an hour, so that an overlap is never shorter.
OVERLAP_SECONDS = 3600.0
GENERATION = "coffre_user"
IN_USE = "coffre_in_use"


@dataclass(frozen=True)
class Counts:
    """What happened at an engine's connections so far, in this process."""

    connected: int
    refused: int
    refreshed: int
    retried: int


def create_engine(
    secrets: Optional[SecretsLike] = None,
    *,
    name: str = "DATABASE_URL",
    driver: str = "postgresql+psycopg",
    overlap: float = OVERLAP_SECONDS,
    **options: Any,
) -> Engine:
    """An engine for the database that the vault names. Its URL holds neither user nor password. ``options`` are
    SQLAlchemy's; ``pool_pre_ping`` is on and ``pool_recycle`` is half of ``overlap`` (seconds) unless they are given."""
    found = process_secrets(secrets)
    url = make_url(found.get_database_credentials().url(driver))._replace(username=None, password=None)
    options.setdefault("pool_pre_ping", True)
    options.setdefault("pool_recycle", advised_pool_recycle(overlap))
    return attach(sqlalchemy.create_engine(url, **options), found, name=name, overlap=overlap)


def attach(
    engine: Engine, secrets: Optional[SecretsLike] = None, *, name: str = "DATABASE_URL", overlap: float = OVERLAP_SECONDS
) -> Engine:
    """Lets an engine log in with the vault's user and password instead of its URL's. The same engine, for convenience."""
    if engine in _attached:
        raise ValueError("this engine has its credentials from coffre already")
    recycle = getattr(engine.pool, "_recycle", -1)
    if not 0 <= recycle <= advised_pool_recycle(overlap):
        log.warning(
            "pool_recycle is %s: connections may outlive the user they were made with; use at most %s (half the overlap)",
            recycle,
            advised_pool_recycle(overlap),
        )
    logins = _Logins(engine, process_secrets(secrets), name)
    event.listen(engine, "do_connect", logins.connect)
    event.listen(engine, "checkout", logins.taken)
    event.listen(engine, "handle_error", logins.failed)
    event.listen(engine, "close", logins.closed)
    _attached[engine] = logins
    logins.follow(engine)
    return engine


def counts(engine: Engine) -> Counts:
    """The counters of an attached engine."""
    return _attached[engine].counts()


def advised_pool_recycle(overlap: float = OVERLAP_SECONDS) -> int:
    """Seconds: half the time for which an old user stays accepted after a swap."""
    return max(1, int(overlap / 2))


class _Logins:
    """Makes the connections of one engine."""

    def __init__(self, engine: Engine, secrets: SecretsLike, name: str) -> None:
        self._url = engine.url
        self._secrets = secrets
        self._name = name
        self._refresh = ForcedRefresh(refresher(secrets, name))
        self._lock = threading.Lock()
        self._connected = self._refused = self._retried = 0

    def connect(self, dialect: Any, record: Any, arguments: List[Any], parameters: Dict[str, Any]) -> Any:
        """SQLAlchemy's hook: the connection."""
        # Before the credentials are read, so that a rotation never takes them for unused.
        used = self._secrets.in_use(self._name)
        credentials = self._secrets.get_database_credentials()
        connection, error = self._try(dialect, record, credentials, arguments, parameters)
        if error is not None and _is_refusal(error, credentials.username):
            self._refusal()
            fresh = self._another(credentials)
            if fresh is not None:
                self._count("_retried")
                log.warning("the database refused %s; once more with what the server says now", credentials.username)
                used.close()
                used = self._secrets.in_use(self._name)
                fresh = self._secrets.get_database_credentials()
                connection, error = self._try(dialect, record, fresh, arguments, parameters)
        if error is not None:
            used.close()
            raise error
        if record is None:
            # Nobody tells when this one ends.
            used.close()
        else:
            record.info[IN_USE] = used
        self._count("_connected")
        return connection

    def closed(self, connection: Any, record: Any) -> None:
        """SQLAlchemy's hook: a connection has left the pool."""
        used = record.info.pop(IN_USE, None)
        if used is not None:
            used.close()

    def taken(self, connection: Any, record: Any, proxy: Any) -> None:
        """SQLAlchemy's hook: a connection leaves the pool. One of another user is replaced first."""
        made_by = record.info.get(GENERATION)
        if made_by is not None and made_by != self._secrets.get_database_credentials().username:
            raise DisconnectionError("made with the user before")

    def follow(self, engine: Engine) -> None:
        """Idle connections go soon after a change. asyncio's cannot be closed from here: they go when they are taken."""
        if engine.dialect.is_async:
            return
        pool = weakref.ref(engine)
        user = [self._secrets.get_database_credentials().username]

        def changed(_change: object) -> None:
            found = pool()
            now = self._secrets.get_database_credentials().username
            if found is None or now == user[0]:
                return
            user[0] = now
            threading.Thread(target=_turn_over, args=(found,), daemon=True).start()

        self._following = self._secrets.on_change(changed)

    def failed(self, context: Any) -> None:
        """SQLAlchemy's hook: a statement failed. A connection of a user who may no longer do this leaves the pool, if
        there is another user by now; the others stay."""
        if context.connection is None or _state(context.original_exception) not in REFUSED_STATES:
            return
        made_by = context.connection.info.get(GENERATION)
        if made_by is not None and made_by != self._secrets.get_database_credentials().username:
            self._refusal()
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False

    def counts(self) -> Counts:
        return Counts(self._connected, self._refused, self._refresh.count, self._retried)

    def _try(
        self, dialect: Any, record: Any, credentials: Any, arguments: List[Any], parameters: Dict[str, Any]
    ) -> Tuple[Any, Optional[BaseException]]:
        # All parts of one snapshot; `parameters` itself is left as it is.
        url = self._url.set(
            username=credentials.username,
            password=credentials.password,
            host=credentials.host or self._url.host,
            port=credentials.port or self._url.port,
            database=credentials.database or self._url.database,
        )
        _, fresh = dialect.create_connect_args(url)
        try:
            connection = dialect.connect(*arguments, **{**parameters, **fresh})
        except Exception as error:
            return None, _without_values(error)
        if record is not None:
            record.info[GENERATION] = credentials.username
        return connection, None

    def _another(self, refused: Any) -> Optional[Any]:
        """What the server says now, if it was asked or says something else than before."""
        asked = self._refresh()
        fresh = self._secrets.get_database_credentials()
        same = (fresh.username, fresh.password) == (refused.username, refused.password)
        return fresh if asked or not same else None

    def _refusal(self) -> None:
        self._count("_refused")
        self._secrets.login_refused(self._name)

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("this makes logins and cannot be pickled")


def _turn_over(engine: Engine) -> None:
    """Takes each idle connection once."""
    idle = getattr(engine.pool, "checkedin", lambda: 0)()
    taken: List[Any] = []
    try:
        for _ in range(idle):
            taken.append(engine.raw_connection())
    except Exception as error:
        log.debug("idle connections are replaced when they are next used: %s", type(error).__name__)
    finally:
        for connection in taken:
            connection.close()


def _is_refusal(error: BaseException, username: str) -> bool:
    state = _state(error)
    if state is not None:
        return state in REFUSED_STATES
    # libpq gives no SQLSTATE for a login that failed. In any language, its sentence names the user.
    text = str(error).rpartition("failed: ")[2]
    return f'"{username}"' in text or username in text.split() or "permission denied for database" in text


def _state(error: Optional[BaseException]) -> Optional[str]:
    for name in ("sqlstate", "pgcode"):
        state = getattr(error, name, None)
        if isinstance(state, str):
            return state
    return None


def _without_values(error: BaseException) -> BaseException:
    """Without the frames of the driver, whose variables hold the password, and without psycopg's copy of it."""
    seen: Optional[BaseException] = error
    while seen is not None:
        if hasattr(seen, "_pgconn"):
            seen._pgconn = None
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    return error


_attached: "weakref.WeakKeyDictionary[Engine, _Logins]" = weakref.WeakKeyDictionary()


def _after_fork() -> None:
    # Two processes on one socket would mix their answers. The parent keeps its connections; the child makes its own.
    for engine, logins in list(_attached.items()):
        logins._lock = threading.Lock()
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_after_fork)
