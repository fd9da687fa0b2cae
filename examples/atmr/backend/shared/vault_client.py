"""A thin wrapper around hvac for programs which read the vault themselves.

`coffre run` needs none of this: it puts the secrets into the environment of the process. Use this client when a
program should log in by itself, with AppRole or, in development, with a token.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import hvac
import requests
from hvac import exceptions as vault_errors

log = logging.getLogger("atmr.vault")

CACHE_SECONDS = 300.0
TIMEOUT_SECONDS = 5.0


class VaultError(Exception):
    """The vault did not give a secret. The message says what to do; it never holds a value."""


class VaultUnavailable(VaultError):
    """The server cannot be reached, is sealed, or is not initialised."""


class VaultDenied(VaultError):
    """The server refused this identity."""


class SecretMissing(VaultError):
    """There is no such secret."""


class VaultClient:
    """Reads fields of KV version 2 secrets of one mount, with a small cache. Safe to share between threads."""

    def __init__(self, environ: Mapping[str, str], mount: str, clock: Callable[[], float] = time.monotonic):
        self.mount = mount
        self.counts: Counter[str] = Counter()
        self._environ = environ
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, dict]] = {}
        self._client = hvac.Client(
            url=environ["VAULT_ADDR"],
            token="",
            namespace=environ.get("VAULT_NAMESPACE") or None,
            verify=environ.get("VAULT_CACERT") or True,
            timeout=TIMEOUT_SECONDS,
        )

    def get(self, path: str, field: str = "value") -> str:
        """The field of the secret's current version, at most `CACHE_SECONDS` old."""
        document = self._document(path)
        if field not in document:
            raise SecretMissing(f"{self.mount}/{path} has no field {field}; write it with: vault kv put")
        return document[field]

    def check(self) -> None:
        """Raises `VaultUnavailable` unless the server is there, initialised and unsealed."""
        try:
            status = self._client.sys.read_seal_status()
        except (requests.RequestException, vault_errors.VaultError) as error:
            raise VaultUnavailable(f"cannot reach {self._client.url} ({type(error).__name__}); check VAULT_ADDR") from None
        if status.get("sealed", True):
            raise VaultUnavailable(f"{self._client.url} is sealed; an operator must run: vault operator unseal")

    def _document(self, path: str) -> dict:
        with self._lock:
            found = self._cache.get(path)
            if found and self._clock() - found[0] < CACHE_SECONDS:
                self.counts["hit"] += 1
                return found[1]
            document = self._read_with_login(path)
            self._cache[path] = (self._clock(), document)
            return document

    def _read_with_login(self, path: str) -> dict:
        if not self._client.token:
            self._login()
        try:
            return self._read(path)
        except VaultDenied:
            # A token may have expired since the last read: log in once more, then believe the refusal.
            self._login()
            return self._read(path)

    def _read(self, path: str) -> dict:
        self.counts["read"] += 1
        answer = self._guard(
            path,
            lambda: self._client.secrets.kv.v2.read_secret_version(
                path, mount_point=self.mount, raise_on_deleted_version=True
            ),
        )
        log.info("read %s/%s version %s", self.mount, path, answer["data"]["metadata"]["version"])
        return answer["data"]["data"]

    def _login(self) -> None:
        self.counts["login"] += 1
        role_id, secret_id = self._environ.get("VAULT_ROLE_ID"), self._environ.get("VAULT_SECRET_ID")
        if role_id and secret_id:
            self._guard("login", lambda: self._client.auth.approle.login(role_id, secret_id))
            log.info("logged in to %s with AppRole", self._client.url)
        elif token := self._environ.get("VAULT_TOKEN"):
            self._client.token = token
        else:
            raise VaultDenied("no identity: set VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_TOKEN in development")

    def _guard(self, what: str, call: Callable[[], dict]) -> dict:
        # `from None`: causes may quote requests, and requests hold tokens.
        try:
            return call()
        except vault_errors.InvalidPath:
            raise SecretMissing(f"{self.mount}/{what} does not exist; was it migrated? try: coffre migrate status") from None
        except vault_errors.VaultDown:
            raise VaultUnavailable(f"{self._client.url} is sealed; an operator must run: vault operator unseal") from None
        except (vault_errors.Forbidden, vault_errors.Unauthorized, vault_errors.InvalidRequest):
            raise VaultDenied(f"{self._client.url} refused {what}; check the role, its policies and its secret_id") from None
        except (requests.RequestException, vault_errors.VaultError) as error:
            raise VaultUnavailable(f"{self._client.url} failed at {what} ({type(error).__name__})") from None
