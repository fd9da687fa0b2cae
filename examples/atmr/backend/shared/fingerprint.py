"""Keyed fingerprints: compare two secrets without showing either."""

import hashlib
import hmac

from . import secret_source as secrets

MIN_NONCE_CHARS = 16


def fingerprint(value: str, nonce: str) -> str:
    """HMAC-SHA-256 (RFC 2104) of the value's UTF-8 bytes under a nonce which the asker chooses anew each time; hex."""
    return hmac.new(nonce.encode(), value.encode(), hashlib.sha256).hexdigest()


def fingerprints(nonce: str) -> dict[str, str]:
    """Of every secret that this process has."""
    held = {}
    for name in secrets.names():
        try:
            held[name] = fingerprint(secrets.get_secret(name), nonce)
        except secrets.NotFound:
            continue
    return held
