"""What the modules for frameworks need of secrets, and the secrets of the whole process as the usual choice."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, cast

__all__ = ["SecretsLike", "document_reader", "process_secrets", "refresher"]


class SecretsLike(Protocol):
    """`coffre.Secrets`, and the module `coffre` itself."""

    def get_secret(self, name: str, field: Optional[str] = None) -> str: ...
    def get_document(self, path: str) -> Mapping[str, str]: ...
    def get_database_credentials(self) -> Any: ...
    def explain(self, name: str) -> Any: ...
    def names(self) -> List[str]: ...
    def source(self) -> str: ...
    def health(self) -> Dict[str, Any]: ...
    def metrics(self) -> str: ...
    def refresh(self, path: str) -> None: ...
    def in_use(self, name: str) -> Any: ...
    def login_refused(self, name: str) -> None: ...
    def on_change(self, callback: Callable[[Any], object]) -> Callable[[], None]: ...


def process_secrets(secrets: Optional[SecretsLike] = None) -> SecretsLike:
    """Those given, or those of the process, which are opened when first needed."""
    if secrets is not None:
        return secrets
    import coffre

    return cast(SecretsLike, coffre)


def document_reader(secrets: SecretsLike, name: str) -> Callable[[], Mapping[str, str]]:
    """Reads the document of a variable (``JWT_SECRET_KEY``) or at a path (``jwt/secret_key``) at each call. A variable
    that is no field of one document (composed, made on demand, from ``.env``) is a document of one ``value``."""
    path = name if "/" in name else _own_document(secrets, name)
    if path is None:
        return lambda: {"value": secrets.get_secret(name)}
    found: str = path
    return lambda: secrets.get_document(found)


def refresher(secrets: SecretsLike, name: str) -> Callable[[], None]:
    """Asks the server again for every document on which a variable depends, or for the one at a path."""

    def refresh() -> None:
        for path in [name] if "/" in name else _documents(secrets, name):
            secrets.refresh(path)

    return refresh


def _own_document(secrets: SecretsLike, name: str) -> Optional[str]:
    paths = _documents(secrets, name)
    return paths[0] if secrets.explain(name).origin == "server" and len(paths) == 1 else None


def _documents(secrets: SecretsLike, name: str) -> List[str]:
    return [entry["path"] for entry in secrets.health()["entries"] if name in entry["names"]]
