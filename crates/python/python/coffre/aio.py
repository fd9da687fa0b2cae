"""The same for asyncio: what is cached is there at once, everything else is awaited without a thread for each call.

    import coffre.aio

    key = await coffre.aio.get_secret("JWT_SECRET_KEY")

    async with coffre.aio.Secrets(environment="dev") as secrets:
        key = await secrets.get_secret("JWT_SECRET_KEY")

A task that is cancelled does not cancel the request to the server, which others may wait for.
"""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NoReturn, Optional, Type, TypeVar, Union

from coffre import _default, _native
from coffre._native import Change, DatabaseCredentials, Document, Explanation

if TYPE_CHECKING:
    from coffre.keyring import Keyring

_T = TypeVar("_T")

__all__ = ["Secrets", "get_database_credentials", "get_document", "get_secret", "keyring", "refresh"]


class Secrets:
    """As `coffre.Secrets`, opened by `async with`."""

    def __init__(
        self,
        environ: Optional[Mapping[str, str]] = None,
        *,
        directory: Union[str, "os.PathLike[str]", None] = None,
        manifest: Union[str, "os.PathLike[str]", None] = None,
        address: Optional[str] = None,
        environment: Optional[str] = None,
    ) -> None:
        self._secrets: Optional[_native.Secrets] = None
        try:
            self._settings = _native.Settings(
                environ, directory=directory, manifest=manifest, address=address, environment=environment
            )
        finally:
            # Tools that show the variables of each frame of a traceback find no secret_id in this one.
            del environ

    async def __aenter__(self) -> Secrets:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Decides where secrets come from, logs in, reads. Raises SourceError when that is refused."""
        if self._secrets is None:
            self._secrets = await _awaited(self._settings.open())

    async def aclose(self) -> None:
        """Ends it: nothing is handed out any more."""
        closing, self._secrets = self._secrets, None
        if closing is not None:
            await asyncio.get_running_loop().run_in_executor(None, closing.close)

    async def get_secret(self, name: str, field: Optional[str] = None) -> str:
        """The value of a variable, or of a field of the document at a path."""
        return await _get_secret(self._open(), name, field)

    async def get_document(self, path: str) -> Document:
        """All fields of one version of a document."""
        secrets = self._open()
        found = secrets.cached_document(path)
        return found if found is not None else await _awaited(secrets.begin_document(path))

    async def get_database_credentials(self) -> DatabaseCredentials:
        """User and password of the database, of one version."""
        return await _awaited(self._open().begin_database_credentials())

    async def keyring(self, path: str) -> Keyring:
        """The keys at a path, of one version."""
        await self.get_document(path)
        return self._open().keyring(path)

    async def refresh(self, path: str) -> None:
        """Asks the server now, and waits for what it says."""
        await asyncio.get_running_loop().run_in_executor(None, self._open().refresh, path)

    def source(self) -> str:
        """Where secrets come from."""
        return self._open().source()

    def names(self) -> List[str]:
        """The variables that the manifest declares as secrets."""
        return self._open().names()

    def health(self) -> Dict[str, Any]:
        """How it stands, without values."""
        return self._open().health()

    def metrics(self) -> str:
        """In Prometheus' text format."""
        return self._open().metrics()

    def explain(self, name: str) -> Explanation:
        """Where a value comes from, without the value."""
        return self._open().explain(name)

    def invalidate(self, path: str) -> None:
        """Says that a document has changed on the server."""
        self._open().invalidate(path)

    def on_change(self, callback: Callable[[Change], object]) -> Callable[[], None]:
        """Calls back in the event loop when values have changed; the result ends that."""
        loop = asyncio.get_running_loop()
        return self._open().on_change(lambda change: loop.call_soon_threadsafe(callback, change))

    def _open(self) -> _native.Secrets:
        if self._secrets is None:
            raise RuntimeError("these secrets are not open: use `async with`, or await open() first")
        return self._secrets

    def __repr__(self) -> str:
        return f"<coffre.aio.Secrets {'closed' if self._secrets is None else self._secrets.source()}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("coffre.aio.Secrets holds secrets and cannot be pickled")


async def get_secret(name: str, field: Optional[str] = None) -> str:
    """The value of a variable, or of a field of the document at a path."""
    return await _get_secret(await _process(), name, field)


async def get_document(path: str) -> Document:
    """All fields of one version of a document."""
    secrets = await _process()
    found = secrets.cached_document(path)
    return found if found is not None else await _awaited(secrets.begin_document(path))


async def get_database_credentials() -> DatabaseCredentials:
    """User and password of the database, of one version."""
    return await _awaited((await _process()).begin_database_credentials())


async def keyring(path: str) -> Keyring:
    """The keys at a path, of one version."""
    await get_document(path)
    return (await _process()).keyring(path)


async def refresh(path: str) -> None:
    """Asks the server now, and waits for what it says."""
    await asyncio.get_running_loop().run_in_executor(None, (await _process()).refresh, path)


async def _process() -> _native.Secrets:
    secrets = _default.opened()
    if secrets is None:
        secrets = await asyncio.get_running_loop().run_in_executor(None, _default.secrets)
    return secrets


async def _get_secret(secrets: _native.Secrets, name: str, field: Optional[str]) -> str:
    found = secrets.cached_secret(name, field)
    return found if found is not None else await _awaited(secrets.begin_secret(name, field))


async def _awaited(pending: _native.Pending[_T]) -> _T:
    loop = asyncio.get_running_loop()
    while True:
        ready = loop.create_future()
        made = pending.poll(lambda: loop.call_soon_threadsafe(_set, ready))
        if made is not None:
            return made[0]
        await ready


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
