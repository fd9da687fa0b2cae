"""Secrets for applications, from any Vault-compatible server: cached, kept fresh, and never in ``.env`` in production."""

from coffre._errors import CoffreError, Denied, Gone, NotFound, SourceError, Stale, Unavailable
from coffre._native import __version__

__all__ = [
    "CoffreError",
    "Denied",
    "Gone",
    "NotFound",
    "SourceError",
    "Stale",
    "Unavailable",
    "__version__",
]
