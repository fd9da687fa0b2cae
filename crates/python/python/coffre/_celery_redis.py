"""Redis below Celery: logins from the vault at each new connection, and one more attempt when one is refused."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import redis
from celery.backends.redis import RedisBackend as _RedisBackend  # type: ignore[import-untyped]
from kombu.transport import redis as _transport

from coffre._process import SecretsLike
from coffre.redis import Connection, CredentialProvider, SSLConnection

__all__ = ["BrokerCredentials", "RedisBackend", "ResultCredentials", "bind"]

# Celery makes the providers itself, without arguments; the two names are the arguments.
_bound: Dict[str, Tuple[str, Optional[SecretsLike]]] = {}


class BrokerCredentials(CredentialProvider):
    """The broker's login."""

    def __init__(self) -> None:
        super().__init__(*_bound["broker"])


class ResultCredentials(CredentialProvider):
    """The result store's login."""

    def __init__(self) -> None:
        super().__init__(*_bound["result"])


class RedisBackend(_RedisBackend):  # type: ignore[misc]
    """Celery's, with connections that ask again when their login is refused."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        present = self.connparams.get("connection_class")
        if isinstance(self.connparams.get("credential_provider"), CredentialProvider):
            self.connparams["connection_class"] = SSLConnection if present is self.redis.SSLConnection else Connection


def bind(what: str, name: str, secrets: Optional[SecretsLike]) -> str:
    """Says what a provider reads; the query string that makes Celery use it."""
    _bound[what] = (name, secrets)
    if what == "broker" and _transport.Channel.connection_class is redis.Connection:
        # The same connections, unless their provider is one of ours.
        _transport.Channel.connection_class = Connection
        _transport.Channel.connection_class_ssl = SSLConnection
    provider = BrokerCredentials if what == "broker" else ResultCredentials
    return f"credential_provider={__name__}.{provider.__name__}"
