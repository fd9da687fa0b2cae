"""The rings that a `Secrets` has read, parsed once for each version."""

from __future__ import annotations

import weakref
from typing import Dict

from coffre._native import Document, Secrets
from coffre.keyring import Keyring, KeyringSource

_sources: weakref.WeakKeyDictionary[Secrets, Dict[str, KeyringSource]] = weakref.WeakKeyDictionary()


def of(secrets: Secrets, path: str) -> Keyring:
    """The keys at a path, all of one version: a ``keyring/1`` document, or a plain one with a ``value``, which is a ring of
    one key. Raises KeyringError for anything else."""
    sources = _sources.setdefault(secrets, {})
    source = sources.get(path)
    if source is None:
        source = KeyringSource(_Reader(secrets, path).read, path)
        ring = source()
        sources[path] = source
        return ring
    return source()


class _Reader:
    """Reads a document without keeping alive what it is read from."""

    def __init__(self, secrets: Secrets, path: str) -> None:
        self._secrets = weakref.ref(secrets)
        self._path = path

    def read(self) -> Document:
        secrets = self._secrets()
        if secrets is None:
            raise ReferenceError("these secrets are no more")
        return secrets.get_document(self._path)


# A method in Python: the compiled half calls none, see the end of the process in its `courier`.
setattr(Secrets, "keyring", of)
