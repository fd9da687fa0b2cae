"""Key rings and encrypted columns: orders, key ids, malformed documents, and that no material is shown anywhere."""

import base64
import copy
import hashlib
import hmac
import json
import logging
import pickle
import secrets
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import jwt
import pytest
from cryptography.fernet import Fernet, MultiFernet
from cryptography.fernet import InvalidToken as CryptographyInvalidToken
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from itsdangerous import BadSignature, Signer

import coffre
from coffre.fernet import FernetRing, InvalidToken, UnknownKey
from coffre.keyring import Keyring, KeyringError, KeyringSource, kid_of
from coffre_server import clean_environment
from keyrings import Clock, fernet_key, key, ring

OLD, NOW, NEXT = (secrets.token_urlsafe(32) for _ in range(3))
RING = ring([key(OLD, 8), key(NOW, 9, "active"), key(NEXT, 10)], epoch=42, legacy=OLD, target="jwt")


def test_the_orders_are_opposite_and_the_active_key_signs_in_both():
    parsed = Keyring.from_document(RING)
    assert [k.material for k in parsed.accepted] == [OLD, NOW, NEXT]
    assert parsed.as_itsdangerous() == [OLD, NEXT, NOW]
    assert parsed.as_multifernet() == [NOW, NEXT, OLD]
    signed = Signer(parsed.as_itsdangerous()).sign(b"text")
    assert Signer(NOW).unsign(signed) == b"text"
    with pytest.raises(BadSignature):
        Signer(NEXT).unsign(signed)
    assert Signer(parsed.as_itsdangerous()).unsign(Signer(OLD).sign(b"text")) == b"text"


def test_a_kid_follows_from_the_key():
    expected = hmac.new(NOW.encode(), b"kid", hashlib.sha256).hexdigest()[:8]
    parsed = Keyring.from_document(RING)
    assert parsed.active.kid == kid_of(NOW) == expected
    assert parsed.by_kid(expected) is parsed.active
    assert parsed.by_kid("00000000") is None
    assert parsed.legacy.material == OLD
    assert parsed.epoch == 42


def test_a_prefixed_kid_is_the_same_id():
    entry = key(NOW, 9, "active") | {"kid": "k-" + kid_of(NOW)}
    assert Keyring.from_document(ring([entry])).active.kid == "k-" + kid_of(NOW)


def test_a_plain_document_is_a_ring_of_one_key_which_also_serves_what_has_no_kid():
    parsed = Keyring.from_document({"value": NOW})
    assert (parsed.active.material, parsed.active.kid, parsed.legacy) == (NOW, kid_of(NOW), parsed.active)
    assert parsed.as_itsdangerous() == parsed.as_multifernet() == [NOW]


def test_fields_may_be_texts_of_json():
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in RING.items()}
    assert Keyring.from_document(texts).as_itsdangerous() == [OLD, NEXT, NOW]


def test_retired_keys_are_not_accepted_and_decrypt_only_keys_are():
    parsed = Keyring.from_document(ring([key(OLD, 1, "retired"), key(NEXT, 2, "decrypt-only"), key(NOW, 3, "active")], legacy=OLD))
    assert parsed.as_multifernet() == [NOW, NEXT]
    assert parsed.by_kid(kid_of(OLD)) is None
    assert parsed.legacy is None


BAD = {
    "no fields": {},
    "value is no text": {"value": 7},
    "value is empty": {"value": ""},
    "another schema": RING | {"schema": "keyring/2"},
    "no keys": RING | {"keys": []},
    "too many keys": RING | {"keys": RING["keys"] * 20},
    "keys is no list": RING | {"keys": {"kid": NOW}},
    "keys is broken JSON": RING | {"keys": '[{"mat": "' + NOW},
    "keys nests deeply": RING | {"keys": "[" * 100000},
    "a key twice": RING | {"keys": RING["keys"] + [RING["keys"][0]]},
    "two active": RING | {"keys": [key(OLD, 1, "active"), key(NOW, 2, "active")]},
    "none active": RING | {"keys": [key(OLD, 1), key(NOW, 2)]},
    "active is not there": RING | {"active": "00000000"},
    "active names another one": RING | {"active": kid_of(OLD)},
    "active is no text": RING | {"active": 3},
    "a kid of another key": RING | {"keys": [key(NOW, 1, "active") | {"mat": OLD}, key(OLD, 2)]},
    "a kid that is none": RING | {"keys": [key(NOW, 1, "active") | {"kid": "é" * 8}]},
    "no material": RING | {"keys": [{"kid": kid_of(NOW), "gen": 1, "state": "active"}]},
    "material too long": {"value": "x" * 65537},
    "no state": RING | {"keys": [key(NOW, 1, "active") | {"state": None}]},
    "gen is no number": RING | {"keys": [key(NOW, 1, "active") | {"gen": "x"}]},
    "gen is a truth value": RING | {"keys": [key(NOW, 1, "active") | {"gen": True}]},
    "epoch is below zero": RING | {"epoch": -1},
    "older than copies may be": RING | {"min_epoch": 99},
    "no epoch": {name: value for name, value in RING.items() if name != "epoch"},
    "alg is no name": RING | {"keys": [key(NOW, 1, "active") | {"alg": "a b"}]},
    "alg wants a key pair": RING | {"keys": [key(NOW, 1, "active") | {"alg": "EdDSA"}]},
    "value is not the active key": RING | {"value": OLD},
}


@pytest.mark.parametrize("document", BAD.values(), ids=BAD.keys())
def test_a_malformed_document_is_refused_with_a_sentence_and_no_material(document):
    with pytest.raises(KeyringError) as refused:
        Keyring.from_document(document)
    assert len(str(refused.value)) > 20
    shown = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
    mine = shown.split("test_frameworks_keyring.py")[-1] if "keyring.py" not in shown else shown[shown.index("coffre/keyring.py") :]
    for material in (OLD, NOW, NEXT):
        assert material not in str(refused.value)
        assert material not in mine


def test_nothing_shows_material_and_nothing_changes():
    parsed = Keyring.from_document(RING)
    source = KeyringSource(lambda: RING, "jwt/secret_key")
    source()
    fernet = FernetRing(Keyring.from_document({"value": fernet_key()}))
    for thing in (parsed, parsed.active, parsed.accepted, source, fernet):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert not any(material in text for material in (OLD, NOW, NEXT))
    for thing in (parsed, parsed.active, source, fernet):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(thing, protocol)
    assert copy.deepcopy(parsed) is parsed and copy.copy(parsed.active) is parsed.active
    for thing, name in ((parsed, "epoch"), (parsed, "_keys"), (parsed.active, "kid"), (parsed.active, "_material")):
        with pytest.raises(AttributeError):
            setattr(thing, name, None)
        with pytest.raises(AttributeError):
            delattr(thing, name)


def pem(private) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(private) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_key_set_holds_public_halves_alone_and_verifies():
    edwards, elliptic = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    document = ring([key(NOW, 1, alg="HS256"), key(pem(elliptic), 2, alg="ES256"), key(pem(edwards), 3, "active", "EdDSA")])
    parsed = Keyring.from_document(document)
    jwks = parsed.as_jwks()
    assert [entry["kid"] for entry in jwks["keys"]] == [parsed.active.kid, kid_of(pem(elliptic), "ES256")]
    assert all("d" not in entry and "k" not in entry for entry in jwks["keys"])
    token = jwt.encode({"sub": "a"}, parsed.active.material, "EdDSA", headers={"kid": parsed.active.kid})
    published = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, published, algorithms=["EdDSA"]) == {"sub": "a"}
    with pytest.raises(KeyringError, match="nothing that may be published"):
        Keyring.from_document(RING).as_jwks()


def test_a_verifier_has_the_same_kid_from_the_public_half():
    private = ed25519.Ed25519PrivateKey.generate()
    assert kid_of(pem(private), "EdDSA") == kid_of(public_pem(private), "EdDSA")


def test_a_source_parses_each_version_once_and_survives_a_malformed_one(caplog):
    documents, clock = [RING], Clock()
    source = KeyringSource(lambda: documents[-1], "jwt/secret_key", clock)
    first = source()
    assert source() is first
    documents.append(dict(RING))
    assert source() is first
    documents.append(ring([key(NOW, 9), key(NEXT, 10, "active")], epoch=43))
    second = source()
    assert second.active.material == NEXT
    with caplog.at_level(logging.WARNING):
        documents.append({"schema": "keyring/1", "keys": [{"mat": OLD}]})
        assert source() is second and source() is second
        assert caplog.text.count("is not used") == 1 and OLD not in caplog.text
    clock.now += 3599
    assert source() is second
    clock.now += 2
    with pytest.raises(KeyringError, match="jwt/secret_key: "):
        source()
    documents.append(RING)
    assert source().active.material == NOW


def test_the_modules_for_frameworks_are_typed_throughout(tmp_path):
    """mypy in its strict mode over the package as it is staged, with Flask, SQLAlchemy and redis-py really there."""
    package = Path(coffre.__file__).parent
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "-p", "coffre"]
    done = subprocess.run(
        command, cwd=package.parent, capture_output=True, text=True, timeout=240, check=False, env=clean_environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- Encrypted columns --------------------------------------------------------------------------------------------


def test_texts_carry_the_id_of_their_key_and_open_after_a_rotation():
    old, new = fernet_key(), fernet_key()
    rings = [Keyring.from_document({"value": old})]
    column = FernetRing(lambda: rings[-1])
    stored = column.encrypt("línea")
    assert stored.startswith(f"e1.{kid_of(old)}.") and Fernet(old).decrypt(stored.rpartition(".")[2]).decode() == "línea"
    assert not column.needs_reencryption(stored)

    rings.append(Keyring.from_document(ring([key(old, 1, "decrypt-only"), key(new, 2, "active")])))
    assert column.decrypt(stored).decode() == "línea" and column.needs_reencryption(stored.encode())
    rotated = column.rotate(stored)
    assert rotated.startswith(f"e1.{kid_of(new)}.") and not column.needs_reencryption(rotated)
    assert Fernet(new).extract_timestamp(rotated.rpartition(".")[2]) == Fernet(old).extract_timestamp(stored.rpartition(".")[2])

    rings.append(Keyring.from_document(ring([key(new, 2, "active")])))
    assert column.decrypt(rotated).decode() == "línea"
    with pytest.raises(UnknownKey, match=kid_of(old)):
        column.decrypt(stored)


def test_a_text_without_kid_opens_under_the_legacy_key_and_no_other():
    old, new = fernet_key(), fernet_key()
    legacy = Fernet(old).encrypt(b"note")
    column = FernetRing(Keyring.from_document(ring([key(old, 1), key(new, 2, "active")], legacy=old)))
    assert column.decrypt(legacy) == b"note" and column.needs_reencryption(legacy)
    assert column.decrypt(column.rotate(legacy)) == b"note"
    with pytest.raises(InvalidToken):
        column.decrypt(Fernet(new).encrypt(b"note"))
    without = FernetRing(Keyring.from_document(ring([key(old, 1), key(new, 2, "active")])))
    with pytest.raises(UnknownKey, match="no legacy key"):
        without.decrypt(legacy)


def test_decryptions_are_counted_under_their_key_and_who_takes_the_keys_is_known():
    class Meter:
        def __init__(self):
            self.calls = []

        def counts(self):
            self.calls.append("counts")

        def count(self, kid):
            self.calls.append(kid)

        def misses(self):
            self.calls.append("misses")

    old, new = fernet_key(), fernet_key()
    meter = Meter()
    parsed = Keyring.from_document(ring([key(old, 1, "decrypt-only"), key(new, 2, "active")], legacy=old))
    column = FernetRing(parsed, meter=meter)
    stored = FernetRing(Keyring.from_document({"value": old})).encrypt("note")
    assert column.decrypt(stored) == column.decrypt(Fernet(old).encrypt(b"note")) == b"note"
    column.decrypt(column.encrypt("note"))
    column.rotate(stored)
    with pytest.raises(InvalidToken):
        column.decrypt(stored[:-4])
    assert meter.calls == [kid_of(old), kid_of(old), "counts", kid_of(new), kid_of(old), kid_of(old)]
    column.needs_reencryption(stored)
    column.as_multifernet()
    assert meter.calls[6:] == ["misses"]


def test_a_text_moved_under_another_kid_does_not_open():
    old, new = fernet_key(), fernet_key()
    column = FernetRing(Keyring.from_document(ring([key(old, 1), key(new, 2, "active")])))
    stored = column.encrypt(b"note").replace(kid_of(new), kid_of(old))
    with pytest.raises(InvalidToken):
        column.decrypt(stored)
    with pytest.raises(InvalidToken):
        column.rotate(stored)


def test_multifernet_has_the_active_key_first():
    old, new, soon = fernet_key(), fernet_key(), fernet_key()
    column = FernetRing(Keyring.from_document(ring([key(old, 1), key(new, 2, "active"), key(soon, 3)])))
    many = column.as_multifernet()
    assert isinstance(many, MultiFernet)
    assert Fernet(new).decrypt(many.encrypt(b"note")) == b"note"
    assert many.decrypt(Fernet(old).encrypt(b"note")) == b"note"


@pytest.mark.parametrize("bad", ["", "e1.", "e1.x", "e1..", "e1.a b.x", "e1.00000000.", "é", b"\xff", "e1.é.x", "gAAAA", "e2.x.y"])
def test_what_is_no_text_of_ours_is_an_invalid_token_of_cryptography_too(bad):
    column = FernetRing(Keyring.from_document({"value": fernet_key()}))
    with pytest.raises(CryptographyInvalidToken) as refused:
        column.decrypt(bad)
    assert isinstance(refused.value, InvalidToken)


def test_standard_base64_is_a_key_too_and_other_text_is_none():
    raw = b"\xff" * 32
    column = FernetRing(Keyring.from_document({"value": base64.b64encode(raw).decode()}))
    assert Fernet(base64.urlsafe_b64encode(raw)).decrypt(column.encrypt(b"x").rpartition(".")[2]) == b"x"
    for material in ("short", base64.b64encode(b"x" * 31).decode(), "!" * 44):
        with pytest.raises(KeyringError) as refused:
            FernetRing(Keyring.from_document({"value": material})).encrypt(b"x")
        shown = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
        assert material not in shown[shown.index("coffre/fernet.py") :]


def test_an_unknown_kid_asks_once_and_is_then_known_to_be_unknown():
    old, new = fernet_key(), fernet_key()
    rings, asked = [Keyring.from_document({"value": old})], []

    def refresh():
        asked.append(1)
        rings.append(Keyring.from_document(ring([key(old, 1), key(new, 2, "active")])))

    column = FernetRing(lambda: rings[-1], refresh)
    elsewhere = FernetRing(Keyring.from_document({"value": new})).encrypt(b"note")
    results = []
    threads = [threading.Thread(target=lambda: results.append(column.decrypt(elsewhere))) for _ in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == [b"note"] * 16 and len(asked) == 1
    for _ in range(50):
        with pytest.raises(UnknownKey):
            column.decrypt(f"e1.{secrets.token_hex(4)}.x")
    assert len(asked) == 1
