"""Key rings: all the keys of one purpose that are in use at one moment, as one immutable object.

A ring is read from one version of one document, so that its parts always belong together. Two forms are understood:

- a ``keyring/1`` document: ``epoch``, ``active``, perhaps ``legacy``, and ``keys`` with ``kid``, ``gen``, ``state``,
  ``mat`` and perhaps ``alg`` each; beside them ``value``, the material of the active key, for readers who know no rings;
- a plain document with ``value``: a ring of that one key.

A key id (``kid``) is made of the key itself, so that no document can give the bytes of one key the name of another:
the first eight hexadecimal digits of HMAC-SHA-256(key, ``"kid"``), or, for a key pair, of SHA-256 over the public key
as DER SubjectPublicKeyInfo. ``k-`` may stand before them.

A ring never shows its material: not in ``repr``, not in a pickle, not in an exception.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Protocol, Tuple

from coffre._errors import CoffreError

__all__ = ["Key", "Keyring", "KeyringError", "KeyringSource", "kid_of"]

log = logging.getLogger("coffre.keyring")

SCHEMA = "keyring/1"
MAX_KEYS = 32
MAX_MATERIAL_CHARS = 65536
MAX_BAD_SECONDS = 3600.0
ASYMMETRIC = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES256K", "ES384", "ES512", "EdDSA")
)
# `decrypt-only`: an encryption key that was replaced, and under which old texts still stand.
ACCEPTED_STATES = ("active", "accept", "decrypt-only")
KID_TEXT = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
ALGORITHM_TEXT = re.compile(r"[A-Za-z0-9-]{1,32}\Z")


class KeyringError(CoffreError, ValueError):
    """The document is no key ring, or the ring cannot do what was asked. The message never holds material."""

    kind = "invalid"


class Key:
    """One key. ``material`` is the only way to its bytes."""

    __slots__ = ("kid", "generation", "state", "algorithm", "_material")

    kid: str
    generation: int
    state: str
    algorithm: Optional[str]
    _material: str

    def __init__(self, kid: str, generation: int, state: str, algorithm: Optional[str], material: str) -> None:
        put = object.__setattr__
        put(self, "kid", kid)
        put(self, "generation", generation)
        put(self, "state", state)
        put(self, "algorithm", algorithm)
        put(self, "_material", material)

    @property
    def material(self) -> str:
        """The key as its document has it: text, base64 or PEM."""
        return self._material

    @property
    def asymmetric(self) -> bool:
        """Whether this is (half of) a key pair."""
        return self.algorithm in ASYMMETRIC

    def public_pem(self) -> str:
        """The public half as PEM, of a key pair only."""
        if not self.asymmetric:
            raise KeyringError(f"key {self.kid} is symmetric: it has no public half")
        return _public_pem(self._material)

    def __repr__(self) -> str:
        return f"<Key {self.kid} generation={self.generation} state={self.state}>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Key does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Key does not change")

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: object) -> Key:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Key holds key material and cannot be pickled")


class Keyring:
    """All keys of one purpose. Immutable: keep one and everything made from it agrees."""

    __slots__ = ("target", "epoch", "_keys", "_active", "_legacy", "_by_kid", "__weakref__")

    target: Optional[str]
    epoch: Optional[int]
    _keys: Tuple[Key, ...]
    _active: Key
    _legacy: Optional[Key]
    _by_kid: Dict[str, Key]

    def __init__(
        self,
        keys: Tuple[Key, ...],
        active: str,
        legacy: Optional[str] = None,
        epoch: Optional[int] = None,
        target: Optional[str] = None,
    ) -> None:
        """``keys`` in any order; ``active`` and ``legacy`` are ids. Prefer `from_document`, which checks more."""
        accepted = tuple(sorted((k for k in keys if k.state in ACCEPTED_STATES), key=lambda k: (k.generation, k.kid)))
        by_kid = {key.kid: key for key in accepted}
        if active not in by_kid:
            raise KeyringError("the active key of the ring is not among its accepted keys")
        put = object.__setattr__
        put(self, "target", target)
        put(self, "epoch", epoch)
        put(self, "_keys", accepted)
        put(self, "_by_kid", by_kid)
        put(self, "_active", by_kid[active])
        put(self, "_legacy", by_kid.get(legacy) if legacy is not None else None)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Keyring:
        """Reads either form. Fields may be JSON values or texts of them. KeyringError says what is wrong."""
        try:
            return cls._read(document)
        except KeyringError as error:
            problem = str(error)
        # Raised anew: tools that show the variables of each frame of a traceback find no material in this one.
        del document
        raise KeyringError(problem)

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> Keyring:
        schema = document.get("schema")
        if schema is None:
            return cls._single(_text(document, "value"), None)
        if schema != SCHEMA:
            raise KeyringError(f"the document's schema is not {SCHEMA}; update this package, or mend the document")
        active = _kid(_text(document, "active"), "active")
        keys = tuple(_key(entry) for entry in _entries(document))
        kids = [key.kid for key in keys]
        if len(set(kids)) != len(kids):
            raise KeyringError("two keys of the ring have the same kid")
        if sum(key.state == "active" for key in keys) != 1 or active not in kids:
            raise KeyringError("a ring has exactly one active key, and `active` names it")
        if keys[kids.index(active)].state != "active":
            raise KeyringError("a ring has exactly one active key, and `active` names it")
        if "value" in document:
            _check_value(_text(document, "value"), keys[kids.index(active)])
        if "min_epoch" in document and _count(document, "epoch") < _count(document, "min_epoch"):
            raise KeyringError("this copy of the ring is older than those that may still be used: a key was destroyed since")
        legacy = document.get("legacy")
        target = document.get("target")
        return cls(
            keys,
            active,
            _kid(legacy, "legacy") if legacy is not None else None,
            _count(document, "epoch"),
            target if isinstance(target, str) and KID_TEXT.match(target) else None,
        )

    @classmethod
    def from_value(cls, value: str, algorithm: Optional[str] = None) -> Keyring:
        """A ring of one key, which also serves what bears no key id: such texts were made before there was a ring."""
        try:
            return cls._single(value, algorithm)
        except KeyringError as error:
            problem = str(error)
        del value
        raise KeyringError(problem)

    @classmethod
    def _single(cls, value: str, algorithm: Optional[str]) -> Keyring:
        _check_material(value)
        kid = kid_of(value, algorithm)
        return cls((Key(kid, 1, "active", algorithm, value),), kid, legacy=kid)

    @property
    def active(self) -> Key:
        """The key to sign or encrypt with."""
        return self._active

    @property
    def legacy(self) -> Optional[Key]:
        """The key for what bears no key id, while it is accepted."""
        return self._legacy

    @property
    def accepted(self) -> Tuple[Key, ...]:
        """The keys to verify or decrypt with, oldest first. Keys that are prepared are among them, retired ones not."""
        return self._keys

    def by_kid(self, kid: str) -> Optional[Key]:
        """The accepted key of that name."""
        return self._by_kid.get(kid)

    def as_itsdangerous(self) -> List[str]:
        """Materials, oldest to newest, the active key last: itsdangerous signs with the last one."""
        return [key.material for key in self._keys if key is not self._active] + [self._active.material]

    def as_multifernet(self) -> List[str]:
        """Materials, newest to oldest, the active key first: MultiFernet encrypts with the first one."""
        return self.as_itsdangerous()[::-1]

    def as_jwks(self) -> Dict[str, List[Dict[str, Any]]]:
        """The public halves as a JWK Set (RFC 7517), newest first. Symmetric keys have none and are left out; a ring of
        only such keys is refused, because an empty set would look like "nobody may sign"."""
        pairs = [key for key in reversed(self._keys) if key.asymmetric]
        if not pairs:
            raise KeyringError("this ring holds symmetric keys only: there is nothing that may be published")
        return {"keys": [_jwk(key) for key in pairs]}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, kid: object) -> bool:
        return kid in self._by_kid

    def __repr__(self) -> str:
        target = f" {self.target}" if self.target else ""
        return f"<Keyring{target} epoch={self.epoch} active={self._active.kid} keys={len(self._keys)}>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Keyring does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Keyring does not change")

    def __copy__(self) -> Keyring:
        return self

    def __deepcopy__(self, memo: object) -> Keyring:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Keyring holds key material and cannot be pickled")


def kid_of(material: str, algorithm: Optional[str] = None) -> str:
    """The key id of a key, which follows from its bytes."""
    if algorithm in ASYMMETRIC:
        return hashlib.sha256(_public_der(material)).hexdigest()[:8]
    return hmac.new(material.encode("utf-8"), b"kid", hashlib.sha256).hexdigest()[:8]


class ReadsDocuments(Protocol):
    """What a `KeyringSource` needs of `coffre.Secrets`."""

    def get_document(self, path: str) -> Mapping[str, Any]:
        """All fields of one version."""


class KeyringSource:
    """The present ring of one document: parsed once for each version, then handed out as it is.

    A new version that is malformed does not take a service down: the ring before it stays for at most an hour, and a
    warning says so. Without one before it, the error is raised."""

    def __init__(
        self, read: Callable[[], Mapping[str, Any]], name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``read`` gives the document from the cache; ``name`` is for messages only."""
        self.name = name
        self._read = read
        self._clock = clock
        # Replaced as a whole, so that no lock is needed.
        self._held: Optional[_Held] = None

    def __call__(self) -> Keyring:
        """The present ring. Raises what reading the document raises, or KeyringError."""
        document = self._read()
        held = self._held
        if held is not None and held.is_made_of(document):
            if held.bad_since is None or self._clock() - held.bad_since < MAX_BAD_SECONDS:
                return held.ring
        return self._parsed(document, held)

    def _parsed(self, document: Mapping[str, Any], held: Optional[_Held]) -> Keyring:
        try:
            ring, problem = Keyring.from_document(document), None
        except KeyringError as error:
            ring, problem = None, str(error)
        if ring is not None:
            self._held = _Held(document, ring, None)
            return ring
        bad_since = self._clock() if held is None or held.bad_since is None else held.bad_since
        if held is None or self._clock() - bad_since >= MAX_BAD_SECONDS:
            raise KeyringError(f"{self.name}: {problem}")
        log.warning("%s: the new version is not used, the ring before it stays for now: %s", self.name, problem)
        self._held = _Held(document, held.ring, bad_since)
        return held.ring

    def __repr__(self) -> str:
        return f"<KeyringSource {self.name}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a KeyringSource holds key material and cannot be pickled")


class _Held:
    """The ring in use, the newest version as it was read, and since when that version has been malformed."""

    __slots__ = ("_document", "_fields", "ring", "bad_since")

    def __init__(self, document: Mapping[str, Any], ring: Keyring, bad_since: Optional[float]) -> None:
        self._document = document
        self._fields = dict(document.items())
        self.ring = ring
        self.bad_since = bad_since

    def is_made_of(self, document: Mapping[str, Any]) -> bool:
        # The cache hands out one object as long as nothing changes: the usual case costs nothing.
        return document is self._document or self._fields == dict(document.items())


def _entries(document: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    entries = _json(document.get("keys"), "keys")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise KeyringError("`keys` of the ring is not a list of objects")
    if not 1 <= len(entries) <= MAX_KEYS:
        raise KeyringError(f"a ring has 1 to {MAX_KEYS} keys")
    return entries


def _key(entry: Mapping[str, Any]) -> Key:
    kid = _kid(entry.get("kid"), "kid")
    state, algorithm, material = entry.get("state"), entry.get("alg"), entry.get("mat")
    if not isinstance(state, str) or not KID_TEXT.match(state):
        raise KeyringError(f"key {kid} has no state")
    if algorithm is not None and (not isinstance(algorithm, str) or not ALGORITHM_TEXT.match(algorithm)):
        raise KeyringError(f"the alg of key {kid} is not the name of an algorithm")
    if not isinstance(material, str):
        raise KeyringError(f"key {kid} has no material (mat)")
    _check_material(material)
    expected = kid_of(material, algorithm)
    if (kid[2:] if kid.startswith("k-") else kid) != expected:
        raise KeyringError(f"the kid {kid} does not follow from its key; the document was edited by hand, or is damaged")
    return Key(kid, _count(entry, "gen"), state, algorithm, material)


def _check_material(material: str) -> None:
    if not material or len(material) > MAX_MATERIAL_CHARS:
        raise KeyringError(f"a key has 1 to {MAX_MATERIAL_CHARS} characters")


def _check_value(value: str, active: Key) -> None:
    if not hmac.compare_digest(value.encode("utf-8"), active.material.encode("utf-8")):
        raise KeyringError("`value` is not the active key: the document was written by something that knows no rings")


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise KeyringError(f"the document has no text field `{name}`")
    return value


def _kid(value: Any, name: str) -> str:
    if not isinstance(value, str) or not KID_TEXT.match(value):
        raise KeyringError(f"`{name}` is not a key id: 1 to 64 letters, digits, - and _")
    return value


def _count(document: Mapping[str, Any], name: str) -> int:
    value = _json(document.get(name), name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise KeyringError(f"`{name}` of the ring is not a whole number")
    return value


def _json(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        # `from None`: the error holds the whole text.
        raise KeyringError(f"`{name}` of the ring is not JSON") from None


def _load_public(material: str) -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise KeyringError("key pairs need the package cryptography: pip install cryptography") from None
    try:
        if "PRIVATE KEY-----" in material:
            return serialization.load_pem_private_key(material.encode("utf-8"), password=None).public_key()
        return serialization.load_pem_public_key(material.encode("utf-8"))
    except Exception:
        raise KeyringError("a key of the ring is not a PEM private or public key") from None


def _public_der(material: str) -> bytes:
    public = _load_public(material)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _public_pem(material: str) -> str:
    public = _load_public(material)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


def _jwk(key: Key) -> Dict[str, Any]:
    try:
        from jwt import get_algorithm_by_name
    except ImportError:
        raise KeyringError("a JWK Set needs the package PyJWT: pip install 'PyJWT>=2.8'") from None
    algorithm = get_algorithm_by_name(str(key.algorithm))
    jwk: Dict[str, Any] = dict(json.loads(str(algorithm.to_jwk(_load_public(key.material)))))
    jwk.update({"kid": key.kid, "use": "sig", "alg": key.algorithm})
    jwk.pop("key_ops", None)
    return jwk
