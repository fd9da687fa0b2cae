"""Encryption of single columns with AES-256-GCM (NIST SP 800-38D) under APP_ENCRYPTION_KEY_B64.

A stored cell is ``v1.`` followed by base64url(nonce || ciphertext || tag). The place of the cell (table, column, row)
is authenticated with it, so a ciphertext which is copied to another row does not open.
"""

import base64
import binascii
import os
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
PREFIX = "v1."


class CryptoError(Exception):
    """A key or a cell cannot be used. The message never holds key or cell."""


class ColumnCipher:
    """Seals under the first of its 32 byte keys, and opens under each of them: the others are those that were replaced."""

    def __init__(self, keys: Callable[[], Sequence[str]]):
        """`keys` gives them as base64; it is asked each time, so that a new key counts at once."""
        self._keys = keys
        # Replaced as a whole: threads need no lock.
        self._held: tuple[tuple[str, ...], list[AESGCM]] = ((), [])
        self._aeads()

    def seal(self, plaintext: str, place: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._aeads()[0].encrypt(nonce, plaintext.encode(), place.encode())
        return PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, cell: str, place: str) -> str:
        if not cell.startswith(PREFIX):
            raise CryptoError(f"the cell of {place} is not in a known format; was it written by another version?")
        for aead in self._aeads():
            try:
                raw = base64.urlsafe_b64decode(cell.removeprefix(PREFIX))
                return aead.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode()).decode()
            except (binascii.Error, ValueError, InvalidTag):
                continue
        raise CryptoError(
            f"the cell of {place} does not open with the present APP_ENCRYPTION_KEY_B64; check which key it was written with"
        )

    def _aeads(self) -> list[AESGCM]:
        keys = tuple(self._keys())
        if keys != self._held[0]:
            self._held = (keys, [AESGCM(_key(text)) for text in keys])
        return self._held[1]


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        # `from None`: the cause would show the text.
        raise CryptoError("APP_ENCRYPTION_KEY_B64 is not valid base64; write 32 bytes as standard base64") from None
    if len(key) != KEY_BYTES:
        raise CryptoError(f"the column key must have {KEY_BYTES} bytes; generate one with: openssl rand -base64 32")
    return key
