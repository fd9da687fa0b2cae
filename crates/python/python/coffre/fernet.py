"""Encrypted columns under a key ring: Fernet (cryptography's), with the id of the key in front of each text.

A text is ``e1.<kid>.<Fernet token>``. What was written before there was a ring has no prefix; it is opened with the
ring's legacy key and with no other one. `FernetRing.needs_reencryption` says which texts stand under an old key.

`FernetRing.of` counts what is decrypted under which key and lets the rotation know: an old key is destroyed when nobody
has needed it for a while. Code that reads the keys past this class must not be in the same process.

    ring = coffre.fernet.FernetRing.of("encryption/master_key")
    stored = ring.encrypt("four lines of a note")
    ring.decrypt(stored)
"""

from __future__ import annotations

import base64
import binascii
from typing import Callable, Dict, NoReturn, Optional, Protocol, Tuple, Union

from cryptography.fernet import Fernet, MultiFernet
from cryptography.fernet import InvalidToken as _InvalidToken

from coffre._process import SecretsLike, document_reader, process_secrets, refresher
from coffre._refresh import ForcedRefresh, Unknown
from coffre.keyring import KID_TEXT, Key, Keyring, KeyringError, KeyringSource

__all__ = ["FernetRing", "InvalidToken", "UnknownKey"]

PREFIX = "e1."
KEY_BYTES = 32


class InvalidToken(_InvalidToken):
    """The text does not open. Also a `cryptography.fernet.InvalidToken`. The message holds nothing of the text."""


class UnknownKey(InvalidToken):
    """The text stands under a key that the ring does not have: it was retired, or never belonged to this ring."""


class CountsDecryptions(Protocol):
    """`coffre.Meter`."""

    def counts(self) -> None:
        """Every decryption is counted from now on."""

    def count(self, kid: str) -> None:
        """One more."""

    def misses(self) -> None:
        """Not every one."""


class FernetRing:
    """Encrypts with the active key of a ring, opens with each accepted one. Safe to share between threads."""

    def __init__(
        self,
        source: Union[Keyring, Callable[[], Keyring]],
        refresh: Optional[Callable[[], object]] = None,
        meter: Optional[CountsDecryptions] = None,
    ) -> None:
        """``source`` is a ring, or gives the present one at each call. ``refresh`` asks the server out of turn; it is
        called for an unknown key id, at most every 10 s. ``meter`` is told of each decryption."""
        self._meter = meter
        self._source: Callable[[], Keyring] = (lambda: source) if isinstance(source, Keyring) else source
        self._refresh = ForcedRefresh(refresh) if refresh is not None else None
        self._unknown = Unknown()
        self._made: Tuple[Optional[Keyring], Dict[str, Fernet]] = (None, {})

    @classmethod
    def of(cls, name: str, secrets: Optional[SecretsLike] = None) -> FernetRing:
        """The ring of a variable or at a path, of ``secrets`` or of the whole process."""
        found = process_secrets(secrets)
        begin: Optional[Callable[[str], CountsDecryptions]] = getattr(found, "meter", None)
        meter = begin(name) if begin is not None else None
        return cls(KeyringSource(document_reader(found, name), name), refresher(found, name), meter)

    def encrypt(self, data: Union[bytes, str]) -> str:
        """``e1.<kid>.<token>`` under the active key. Texts are encoded as UTF-8."""
        ring, ciphers = self._ciphers()
        if self._meter is not None:
            self._meter.counts()
        token = ciphers[ring.active.kid].encrypt(data.encode("utf-8") if isinstance(data, str) else data)
        return f"{PREFIX}{ring.active.kid}.{token.decode('ascii')}"

    def decrypt(self, token: Union[bytes, str], ttl: Optional[int] = None) -> bytes:
        """The bytes. InvalidToken for everything that does not open, UnknownKey when its key is not in the ring."""
        kid, payload = _split(token)
        _, cipher = self._cipher_of(kid)
        return _open(cipher, payload, ttl)

    def needs_reencryption(self, token: Union[bytes, str]) -> bool:
        """Whether the text stands under another key than the active one, or has no key id. Does not open it."""
        kid, _ = _split(token)
        return kid != self._source().active.kid

    def rotate(self, token: Union[bytes, str]) -> str:
        """The same content, with its time of writing, under the active key."""
        kid, payload = _split(token)
        key, cipher = self._cipher_of(kid)
        _open(cipher, payload, None)  # Under its own key: MultiFernet would try both.
        ring, ciphers = self._ciphers()
        both = MultiFernet([ciphers[ring.active.kid], cipher])
        try:
            return f"{PREFIX}{ring.active.kid}.{both.rotate(payload).decode('ascii')}"
        except _InvalidToken:
            pass
        raise InvalidToken(f"the text does not open under key {key.kid}: it was changed, or is not of this ring")

    def as_multifernet(self) -> MultiFernet:
        """For code that knows MultiFernet: the active key first, then the others from new to old. Its texts have no key
        id, so that they open here under the legacy key alone."""
        if self._meter is not None:
            self._meter.misses()
        ring, ciphers = self._ciphers()
        others = [key.kid for key in reversed(ring.accepted) if key is not ring.active]
        return MultiFernet([ciphers[kid] for kid in [ring.active.kid, *others]])

    def _cipher_of(self, kid: Optional[str]) -> Tuple[Key, Fernet]:
        ring, ciphers = self._ciphers()
        key = self._key(ring, kid)
        if key is None and kid is not None and self._refresh is not None and kid not in self._unknown:
            asked = self._refresh()
            ring, ciphers = self._ciphers()
            key = self._key(ring, kid)
            if key is None and asked:
                self._unknown.add(kid)
        if key is None:
            raise UnknownKey(
                f"no key {kid} in the ring: it was retired before this text was re-encrypted, or the text is from elsewhere"
                if kid is not None
                else "the text has no key id, and the ring accepts no legacy key any more"
            )
        if self._meter is not None:
            self._meter.count(key.kid)
        return key, ciphers[key.kid]

    @staticmethod
    def _key(ring: Keyring, kid: Optional[str]) -> Optional[Key]:
        return ring.legacy if kid is None else ring.by_kid(kid)

    def _ciphers(self) -> Tuple[Keyring, Dict[str, Fernet]]:
        ring = self._source()
        made = self._made
        if made[0] is not ring:
            made = (ring, {key.kid: _fernet(key) for key in ring.accepted})
            self._made = made
        return ring, made[1]

    def __repr__(self) -> str:
        return "<FernetRing>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a FernetRing holds key material and cannot be pickled")


def _split(token: Union[bytes, str]) -> Tuple[Optional[str], bytes]:
    try:
        text = token.decode("ascii") if isinstance(token, bytes) else token
        if not text.startswith(PREFIX):
            return None, text.encode("ascii")
        kid, dot, payload = text[len(PREFIX) :].partition(".")
        if dot and KID_TEXT.match(kid):
            return kid, payload.encode("ascii")
    except UnicodeError:
        pass
    # Outside the handler: a UnicodeError holds the whole text.
    raise InvalidToken("this is no encrypted text: it does not have the form e1.<kid>.<payload>")


def _open(cipher: Fernet, payload: bytes, ttl: Optional[int]) -> bytes:
    try:
        return cipher.decrypt(payload, ttl)
    except _InvalidToken:
        pass
    raise InvalidToken("the text does not open: it was changed, is too old, or was written under another key")


def _fernet(key: Key) -> Fernet:
    raw = _raw(key.material)
    if raw is None:
        raise KeyringError(f"key {key.kid} is no Fernet key: that is {KEY_BYTES} bytes as base64")
    return Fernet(base64.urlsafe_b64encode(raw))


def _raw(material: str) -> Optional[bytes]:
    # Both alphabets of RFC 4648: keys are often made with `openssl rand -base64 32`.
    try:
        raw = base64.b64decode(material.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == KEY_BYTES else None
