"""redis-py: each new connection logs in with the present user and password.

    client = coffre.redis.client()                             # REDIS_URL of the manifest
    client = coffre.redis.async_client("CACHE_URL")

A refused password (WRONGPASS) makes one question to the server, out of turn, and one more attempt. Connections that stand
stay logged in when a password changes: Redis asks only at the start.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, Mapping, NoReturn, Optional, Tuple, Union
from urllib.parse import unquote, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.exceptions import AuthenticationError

from coffre._errors import NotFound
from coffre._process import SecretsLike, document_reader, process_secrets, refresher
from coffre._refresh import ForcedRefresh

__all__ = ["AsyncConnection", "AsyncSSLConnection", "Connection", "CredentialProvider", "SSLConnection", "async_client", "client"]

Pair = Union[Tuple[()], Tuple[str], Tuple[str, str]]


class CredentialProvider(redis.CredentialProvider):
    """For redis-py's ``credential_provider=``. User and password come from one version of one document. Together with
    `Connection` (see `client`) it also asks again when they are refused."""

    def __init__(self, name: str = "REDIS_URL", secrets: Optional[SecretsLike] = None) -> None:
        """``name`` is a variable or a path. Its document has ``username`` and ``password``, or a URL as its ``value``."""
        found = process_secrets(secrets)
        self.name = name
        self.in_use: Callable[[], Any] = lambda: found.in_use(name)
        self._login_refused: Callable[[], Any] = lambda: found.login_refused(name)
        self._read = document_reader(found, name)
        self._refresh = ForcedRefresh(refresher(found, name))

    def get_credentials(self) -> Any:
        """``(user, password)``, ``(password,)``, or ``()`` where there is none."""
        return _pair(self._read(), self.name)

    async def get_credentials_async(self) -> Any:
        """The same; a wait for the server does not hold the event loop up."""
        return await asyncio.get_running_loop().run_in_executor(None, self.get_credentials)

    def changed(self, refused: Pair) -> bool:
        """To be asked after a refusal: whether another attempt makes sense, because the server was asked anew or the
        pair is another one by now."""
        self._login_refused()
        return self._refresh() or self.get_credentials() != refused

    @property
    def refreshed(self) -> int:
        """How often the server was asked out of turn."""
        return self._refresh.count

    def __repr__(self) -> str:
        return f"<CredentialProvider {self.name}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a CredentialProvider gives secrets and cannot be pickled")


class _Counted:
    """A connection that says which pair it logs in with, for as long as it does: what stands needs its pair no more, and
    a rotation that waited for it to be closed would wait for as long as a consumer of a queue lives."""

    _used: Any = None

    def _begin(self, provider: CredentialProvider) -> None:
        self._end()
        self._used = provider.in_use()

    def _end(self) -> None:
        used, self._used = self._used, None
        if used is not None:
            used.close()


class _AsksAgain(_Counted):
    """One more attempt with a fresh pair when the server refuses the first."""

    credential_provider: Any

    def connect_check_health(self, *args: Any, **options: Any) -> None:
        provider = self.credential_provider
        if not isinstance(provider, CredentialProvider):
            return super().connect_check_health(*args, **options)  # type: ignore[misc,no-any-return]
        self._begin(provider)
        used = provider.get_credentials()
        try:
            return super().connect_check_health(*args, **options)  # type: ignore[misc,no-any-return]
        except AuthenticationError as error:
            refusal = _without_frames(error)
        finally:
            self._end()
        again = provider.changed(used)
        # redis-py's own frames hold the pair; so would this one.
        del used
        if again:
            self._begin(provider)
            try:
                return super().connect_check_health(*args, **options)  # type: ignore[misc,no-any-return]
            except AuthenticationError as error:
                refusal = _without_frames(error)
            finally:
                self._end()
        raise refusal


class _AsksAgainAsync(_Counted):
    """The same for asyncio."""

    credential_provider: Any

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        provider = self.credential_provider
        if not isinstance(provider, CredentialProvider):
            return await super().connect_check_health(*args, **options)  # type: ignore[misc,no-any-return]
        self._begin(provider)
        used = await provider.get_credentials_async()
        try:
            return await super().connect_check_health(*args, **options)  # type: ignore[misc,no-any-return]
        except AuthenticationError as error:
            refusal = _without_frames(error)
        finally:
            self._end()
        again = await asyncio.get_running_loop().run_in_executor(None, provider.changed, used)
        del used
        if again:
            self._begin(provider)
            try:
                return await super().connect_check_health(*args, **options)  # type: ignore[misc,no-any-return]
            except AuthenticationError as error:
                refusal = _without_frames(error)
            finally:
                self._end()
        raise refusal


class Connection(_AsksAgain, redis.Connection):
    """For redis-py's ``connection_class=``."""


class SSLConnection(_AsksAgain, redis.SSLConnection):
    """For redis-py's ``connection_class=``, with TLS."""


class AsyncConnection(_AsksAgainAsync, redis.asyncio.Connection):
    """For redis-py's ``connection_class=`` with asyncio."""


class AsyncSSLConnection(_AsksAgainAsync, redis.asyncio.SSLConnection):
    """For redis-py's ``connection_class=`` with asyncio and TLS."""


def client(name: str = "REDIS_URL", secrets: Optional[SecretsLike] = None, **options: Any) -> redis.Redis:
    """A client of the server that a variable or a path names. ``options`` are redis-py's; ``db`` wins over the URL's."""
    url, options = _client_options(name, secrets, options)
    options["connection_class"] = SSLConnection if url.startswith("rediss:") else Connection
    return redis.Redis(connection_pool=redis.ConnectionPool.from_url(url, **options))


def async_client(name: str = "REDIS_URL", secrets: Optional[SecretsLike] = None, **options: Any) -> redis.asyncio.Redis:
    """The same for asyncio."""
    url, options = _client_options(name, secrets, options)
    options["connection_class"] = AsyncSSLConnection if url.startswith("rediss:") else AsyncConnection
    return redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool.from_url(url, **options))


def without_credentials(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _client_options(name: str, secrets: Optional[SecretsLike], options: Dict[str, Any]) -> Tuple[str, Dict[str, Any]]:
    provider = CredentialProvider(name, secrets)
    url = _address(provider._read(), name)
    if "db" in options:
        url = urlunsplit(urlsplit(url)._replace(path=f"/{int(options.pop('db'))}"))
    return url, {**options, "credential_provider": provider}


def _address(document: Mapping[str, Any], name: str) -> str:
    if "value" in document:
        return without_credentials(document["value"])
    if "host" not in document:
        raise NotFound(f"{name} names no server: its document needs `value` (a URL) or `host`")
    scheme = "rediss" if document.get("tls") else "redis"
    return f"{scheme}://{document['host']}:{document.get('port') or 6379}/{document.get('db') or 0}"


def _pair(document: Mapping[str, Any], name: str) -> Pair:
    if "password" in document:
        user, password = document.get("username"), document["password"]
    elif "value" in document:
        parts = urlsplit(document["value"])
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    else:
        raise NotFound(f"{name} holds no login: its document needs `value` (a URL) or `password`")
    if not password:
        return ()
    return (user, password) if user else (password,)


def _without_frames(error: AuthenticationError) -> AuthenticationError:
    # Their variables hold the pair, and tools show them with the traceback.
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
