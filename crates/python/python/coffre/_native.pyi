"""The compiled half; for the modules of this package alone. What it defines for applications is exported by `coffre`."""

import os
from types import TracebackType
from typing import Any, Callable, Dict, Generic, Iterator, List, Mapping, Optional, Tuple, Type, TypeVar, Union, final

from typing_extensions import Self

from coffre.keyring import Keyring

_T = TypeVar("_T")
_Path = Union[str, os.PathLike[str]]

__version__: str

def get_secret(name: str, field: Optional[str] = None) -> str: ...
def open_default() -> Secrets: ...
def share(secrets: Optional[Secrets]) -> None: ...
def after_fork() -> None: ...
def close_all() -> None: ...

@final
class Secrets:
    def __new__(
        cls,
        environ: Optional[Mapping[str, str]] = None,
        *,
        directory: Optional[_Path] = None,
        manifest: Optional[_Path] = None,
        address: Optional[str] = None,
        environment: Optional[str] = None,
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None: ...
    def get_secret(self, name: str, field: Optional[str] = None) -> str: ...
    def get_document(self, path: str) -> Document: ...
    def get_database_credentials(self) -> DatabaseCredentials: ...
    def keyring(self, path: str) -> Keyring: ...
    def source(self) -> str: ...
    def names(self) -> List[str]: ...
    def health(self) -> Dict[str, Any]: ...
    def metrics(self) -> str: ...
    def explain(self, name: str) -> Explanation: ...
    def invalidate(self, path: str) -> None: ...
    def refresh(self, path: str) -> None: ...
    def in_use(self, name: str) -> InUse: ...
    def login_refused(self, name: str) -> None: ...
    def on_change(self, callback: Callable[[Change], object]) -> Callable[[], None]: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def cached_secret(self, name: str, field: Optional[str] = None) -> Optional[str]: ...
    def cached_document(self, path: str) -> Optional[Document]: ...
    def begin_secret(self, name: str, field: Optional[str] = None) -> Pending[str]: ...
    def begin_document(self, path: str) -> Pending[Document]: ...
    def begin_database_credentials(self) -> Pending[DatabaseCredentials]: ...

@final
class InUse:
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None: ...

@final
class Settings:
    def __new__(
        cls,
        environ: Optional[Mapping[str, str]] = None,
        *,
        directory: Optional[_Path] = None,
        manifest: Optional[_Path] = None,
        address: Optional[str] = None,
        environment: Optional[str] = None,
    ) -> Self: ...
    def open(self) -> Pending[Secrets]: ...

@final
class Pending(Generic[_T]):
    def poll(self, wake: Callable[[], object]) -> Optional[Tuple[_T]]: ...

@final
class Document(Mapping[str, str]):
    """All fields of one version of a document. Texts; what is no text in the document is its JSON."""

    @property
    def path(self) -> str:
        """The path below the application's environment."""
    @property
    def version(self) -> Optional[int]:
        """The version in KV 2, if it is from there."""
    @property
    def epoch(self) -> Optional[int]:
        """The number that rotation raises with each change, if the document has one."""
    @property
    def age(self) -> Optional[float]:
        """Seconds since the server last confirmed it; None for what no server gave."""
    def __getitem__(self, name: str) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

@final
class DatabaseCredentials:
    """User and password of one version, and the place of the database."""

    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def host(self) -> Optional[str]: ...
    @property
    def port(self) -> Optional[int]: ...
    @property
    def database(self) -> Optional[str]: ...
    def url(self, driver: str = "postgresql") -> str:
        """All of it as a URL, with what needs it percent-encoded; ``driver`` is its scheme."""

@final
class Explanation:
    """Where a value comes from, without the value. `str()` of it is for people, the attributes are for programs."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str:
        """What was decided at start."""
    @property
    def origin(self) -> str:
        """Of this value: `server`, `credentials made on demand`, `composed`, `.env` or `process environment`."""
    @property
    def present(self) -> bool:
        """Whether there is a value now."""
    @property
    def file(self) -> Optional[str]:
        """The file, for `.env`."""
    @property
    def line(self) -> Optional[int]:
        """The line there, from 1."""
    @property
    def documents(self) -> List[Dict[str, Any]]:
        """The documents that it is made of: `path`, `field`, `state`, `age` in seconds, `version`, `epoch` of each."""

@final
class Change:
    """Which values changed, or are not there any more."""

    @property
    def names(self) -> Tuple[str, ...]:
        """The variables."""
    @property
    def paths(self) -> Tuple[str, ...]:
        """The documents."""
    def __contains__(self, name: object) -> bool: ...
