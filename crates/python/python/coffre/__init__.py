"""Secrets for applications, from any Vault-compatible server: cached, kept fresh, and never in ``.env`` in production.

    import coffre

    key = coffre.get_secret("JWT_SECRET_KEY")           # by the name of the variable
    key = coffre.get_secret("jwt/secret_key", "value")  # by path below the application's environment, and field

The functions of the module share one `Secrets`, which is opened when it is first needed, from the environment and the
working directory of the process.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from coffre import _default, _keyrings
from coffre._errors import CoffreError, Denied, Gone, NotFound, RotationError, SourceError, Stale, Unavailable
from coffre._native import (
    Change,
    DatabaseCredentials,
    Document,
    Explanation,
    InUse,
    Meter,
    Secrets,
    __version__,
    get_secret,
)

# Before the function of the same name below: a submodule that is loaded later would take its place.
from coffre.keyring import Key, Keyring, KeyringError

__all__ = [
    "Change",
    "CoffreError",
    "DatabaseCredentials",
    "Denied",
    "Document",
    "Explanation",
    "Gone",
    "InUse",
    "Key",
    "Keyring",
    "KeyringError",
    "Meter",
    "NotFound",
    "RotationError",
    "Secrets",
    "SourceError",
    "Stale",
    "Unavailable",
    "__version__",
    "close",
    "explain",
    "get_database_credentials",
    "get_document",
    "get_secret",
    "health",
    "in_use",
    "invalidate",
    "keyring",
    "login_refused",
    "meter",
    "metrics",
    "names",
    "on_change",
    "refresh",
    "source",
]


def get_document(path: str) -> Document:
    """All fields of one version of a document, by its path below the application's environment."""
    return _default.secrets().get_document(path)


def get_database_credentials() -> DatabaseCredentials:
    """User, password and place of the database; user and password are always of the same version."""
    return _default.secrets().get_database_credentials()


def keyring(path: str) -> Keyring:
    """The keys at a path: all of one version, as one immutable object."""
    return _default.secrets().keyring(path)


def source() -> str:
    """Where secrets come from: ``vault``, ``dotenv`` (with the reason in brackets, if there is one) or ``environment``."""
    return _default.secrets().source()


def names() -> List[str]:
    """The variables that the manifest declares as secrets; not all of them need have a value outside the vault."""
    return _default.secrets().names()


def health() -> Dict[str, Any]:
    """How it stands, for a health check; names, ages and states, no values."""
    return _default.secrets().health()


def metrics() -> str:
    """Counters and gauges in Prometheus' text format."""
    return _default.secrets().metrics()


def explain(name: str) -> Explanation:
    """Where the value of a variable comes from, how old it is and which version; without the value."""
    return _default.secrets().explain(name)


def invalidate(path: str) -> None:
    """Says that a document has changed on the server. Returns at once; the server is asked in the background."""
    _default.secrets().invalidate(path)


def refresh(path: str) -> None:
    """Asks the server for a document now, and waits for what it says."""
    _default.secrets().refresh(path)


def in_use(name: str) -> InUse:
    """Says that something is about to be made with the credentials of a variable or a path, until the result is closed."""
    return _default.secrets().in_use(name)


def login_refused(name: str) -> None:
    """Says that a login with the credentials of a variable or a path was refused."""
    _default.secrets().login_refused(name)


def meter(name: str) -> Meter:
    """Counts what this process decrypts with the keys of a variable or at a path: all of it, or `misses` must be said."""
    return _default.secrets().meter(name)


def on_change(callback: Callable[[Change], object]) -> Callable[[], None]:
    """Calls back when values have changed, on a thread of the package, one call at a time. The result ends that."""
    return _default.secrets().on_change(callback)


# Loaded for what it adds to the class.
del _keyrings


def close() -> None:
    """Ends what the functions of this module share; the next use opens it again."""
    _default.close()
