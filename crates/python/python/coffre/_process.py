"""What the modules for frameworks need of secrets, and the secrets of the whole process as the usual choice."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, cast

__all__ = ["SecretsLike", "document_reader", "process_secrets", "refresher"]


class SecretsLike(Protocol):
    """`coffre.Secrets`, and the module `coffre` itself."""

    def get_secret(self, name: str, field: Optional[str] = None) -> str: ...
    def get_document(self, path: str) -> Mapping[str, Any]: ...
    def get_database_credentials(self) -> Any: ...
    def source(self) -> str: ...
    def environment(self) -> str: ...
    def names(self) -> List[str]: ...
    def path_of(self, name: str) -> Optional[str]: ...
    def documents_of(self, name: str) -> List[str]: ...
    def health(self) -> Dict[str, Any]: ...
    def metrics(self) -> str: ...
    def refresh(self, path: str) -> None: ...
    def on_change(self, callback: Callable[[Any], object]) -> Callable[[], None]: ...


def process_secrets(secrets: Optional[SecretsLike] = None) -> SecretsLike:
    """Those given, or those of the process, which are opened when first needed."""
    if secrets is not None:
        return secrets
    import coffre

    return cast(SecretsLike, coffre)


def document_reader(secrets: SecretsLike, name: str) -> Callable[[], Mapping[str, Any]]:
    """Reads the document of a variable (``JWT_SECRET_KEY``) or at a path (``jwt/secret_key``) at each call. A variable
    that is composed of others is a document of one ``value``."""
    path = name if "/" in name else secrets.path_of(name)
    if path is None:
        return lambda: {"value": secrets.get_secret(name)}
    return lambda: secrets.get_document(path)


def refresher(secrets: SecretsLike, name: str) -> Callable[[], None]:
    """Asks the server again for every document on which a variable depends, or for the one at a path."""

    def refresh() -> None:
        for path in [name] if "/" in name else secrets.documents_of(name):
            secrets.refresh(path)

    return refresh
