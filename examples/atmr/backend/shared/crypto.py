"""Encryption of single columns under APP_ENCRYPTION_KEY_B64: Fernet, with the name of the key in front (``e1.<kid>.``).

The place of the cell (table, column, row) is encrypted with the text and compared when it is opened, so a ciphertext which
is copied to another row does not open. A rotation writes cells anew under the next key without knowing what is in them.
"""

from typing import Protocol

from cryptography.fernet import InvalidToken

# Between the place and the text; places have none.
END = "\n"


class Box(Protocol):
    """Encrypts under the present key, and opens under each accepted one."""

    def encrypt(self, data: str) -> str: ...

    def decrypt(self, text: str) -> bytes: ...


class CryptoError(Exception):
    """A key or a cell cannot be used. The message never holds key or cell."""


class ColumnCipher:
    """Seals texts for their place."""

    def __init__(self, box: Box):
        self._box = box
        try:
            box.encrypt("")
        except ValueError:
            # `from None`: the cause might show the text.
            raise CryptoError("APP_ENCRYPTION_KEY_B64 is not 32 bytes of base64; make one with: openssl rand -base64 32") from None

    def seal(self, plaintext: str, place: str) -> str:
        return self._box.encrypt(place + END + plaintext)

    def open(self, cell: str, place: str) -> str:
        try:
            found, _, plaintext = self._box.decrypt(cell).decode().partition(END)
        except (InvalidToken, UnicodeDecodeError):
            raise CryptoError(
                f"the cell of {place} does not open with the present APP_ENCRYPTION_KEY_B64; check which key it was written with"
            ) from None
        if found != place:
            raise CryptoError(f"the cell of {place} does not open: it was written for another place")
        return plaintext
