"""The keys of flask-jwt-extended from a ring.

Its callbacks for the header and for the key run apart from each other, and each would look at the ring anew: a rotation
between the two gives a token whose ``kid`` names another key than the one that signed it. Here both come from one
snapshot, which a context variable holds while one token is made."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Callable, Mapping, NoReturn, Optional

import jwt
from flask import Flask, current_app

from coffre._process import SecretsLike, document_reader, refresher
from coffre._refresh import ForcedRefresh, Unknown
from coffre.keyring import KID_TEXT, Key, Keyring, KeyringError, KeyringSource

__all__ = ["JWTKeyRing", "RefusedKey"]

_signing: ContextVar[Optional[Key]] = ContextVar("coffre-jwt-signing", default=None)


class RefusedKey(jwt.InvalidTokenError):
    """The token names no key that is accepted here, or another algorithm than its key's: answered with 401."""


class JWTKeyRing:
    """Signs with the active key; verifies with the key that the token names, under that key's algorithm alone."""

    def __init__(
        self,
        source: Callable[[], Keyring],
        refresh: Optional[ForcedRefresh] = None,
        unknown: Optional[Unknown] = None,
    ) -> None:
        """``source`` gives the present ring, ``refresh`` asks the server out of turn for a ``kid`` that is not in it."""
        self._source = source
        self._refresh = refresh
        self._unknown = Unknown() if unknown is None else unknown

    @classmethod
    def of(cls, name: str, secrets: SecretsLike) -> JWTKeyRing:
        """The ring of a variable or at a path."""
        return cls(KeyringSource(document_reader(secrets, name), name), ForcedRefresh(refresher(secrets, name)))

    def init_app(self, app: Flask, manager: Any) -> None:
        """Takes over the keys of a ``JWTManager`` that was initialised with ``app``. Its other callbacks stay."""
        encode = getattr(manager, "_encode_jwt_from_config", None)
        if encode is None:
            raise RuntimeError("this release of flask-jwt-extended is not known here; use 4.x, or update coffre")
        # A token is made in one call of this method: what it reads in between is one snapshot.
        manager._encode_jwt_from_config = self._one_snapshot(encode)
        manager.encode_key_loader(self._encode_key)
        manager.decode_key_loader(self._decode_key)
        app.register_error_handler(RefusedKey, lambda error: manager._unauthorized_callback(str(error)))
        app.extensions["coffre-jwt"] = self
        self._source()

    def _one_snapshot(self, encode: Callable[..., str]) -> Callable[..., str]:
        def make(*args: Any, **options: Any) -> str:
            key = self._source().active
            options["headers"] = {**(options.get("headers") or {}), "kid": key.kid}
            token = _signing.set(key)
            try:
                return encode(*args, **options)
            finally:
                _signing.reset(token)

        return make

    def _encode_key(self, identity: object) -> str:
        key = _signing.get() or self._source().active
        wanted = current_app.config["JWT_ALGORITHM"]
        if key.algorithm not in (None, wanted):
            raise KeyringError(f"key {key.kid} is for {key.algorithm}, and JWT_ALGORITHM is {wanted}")
        return key.material

    def _decode_key(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        key = self._verifying(header.get("kid"))
        if header.get("alg") != (key.algorithm or current_app.config["JWT_ALGORITHM"]):
            raise RefusedKey("the token's algorithm is not that of its key")
        return key.public_pem() if key.asymmetric else key.material

    def _verifying(self, kid: object) -> Key:
        if kid is None:
            legacy = self._source().legacy
            if legacy is None:
                raise RefusedKey("the token names no key; log in again")
            return legacy
        if not isinstance(kid, str) or not KID_TEXT.match(kid):
            raise RefusedKey("the token names no key; log in again")
        key = self._source().by_kid(kid) or self._asked_for(kid)
        if key is None:
            raise RefusedKey("the token's key is not accepted; log in again")
        return key

    def _asked_for(self, kid: str) -> Optional[Key]:
        if self._refresh is None or kid in self._unknown:
            return None
        asked = self._refresh()
        key = self._source().by_kid(kid)
        if key is None and asked:
            self._unknown.add(kid)
        return key

    def __repr__(self) -> str:
        return "<JWTKeyRing>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a JWTKeyRing holds key material and cannot be pickled")

