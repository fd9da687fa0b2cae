"""The rings that the rotation writes (tests/output/keyrings.json, kept equal by crates/rotation/tests/rings_for_python.rs)
are read by the Python package: every one, with the same key ids, the same active key, and public halves that verify."""

import json
import time
from pathlib import Path

import jwt
import pytest

from coffre.fernet import FernetRing, UnknownKey
from coffre.keyring import Keyring, KeyringError, kid_of

LIVES = json.loads((Path(__file__).parents[1] / "output" / "keyrings.json").read_text())


@pytest.mark.parametrize("name", sorted(LIVES))
def test_every_ring_of_a_life_is_accepted(name):
    epochs = []
    for document in LIVES[name]:
        parsed = Keyring.from_document(document)
        assert parsed.active.material == document["value"]
        if "schema" not in document:
            continue
        assert parsed.epoch == document["epoch"]
        epochs.append(document["epoch"])
        for entry in document["keys"]:
            assert entry["kid"] == kid_of(entry["mat"], entry.get("alg"))
            assert parsed.by_kid(entry["kid"]).generation == entry["gen"]
    assert epochs == sorted(epochs) and epochs[-1] >= 7


@pytest.mark.parametrize("name", sorted(LIVES))
def test_what_was_made_before_the_ring_is_found_under_the_same_name(name):
    plain = Keyring.from_document(LIVES[name][0])
    first = next(document for document in LIVES[name] if "schema" in document)
    ring = Keyring.from_document(first)
    assert ring.active.kid == plain.active.kid == ring.legacy.kid == plain.legacy.kid


@pytest.mark.parametrize("name", ["fernet", "base64"])
def test_texts_open_over_a_whole_life_until_their_key_is_gone(name):
    rings = [Keyring.from_document(document) for document in LIVES[name]]
    written = [FernetRing(ring).encrypt("four lines of a note") for ring in rings]
    gone = [document["min_epoch"] for document in LIVES[name] if "min_epoch" in document]
    assert len(gone) == 2 and gone == sorted(set(gone)), "two keys are destroyed, one after the other"
    destroyed = 0
    for at, text in enumerate(written):
        kid = text.split(".")[1]
        held = [kid in ring for ring in rings[at:]]
        assert held == sorted(held, reverse=True), "what is gone does not come back"
        for ring, there in zip(rings[at:], held):
            if there:
                assert FernetRing(ring).decrypt(text) == b"four lines of a note"
                continue
            destroyed += 1
            with pytest.raises(UnknownKey):
                FernetRing(ring).decrypt(text)
    assert destroyed > 0


@pytest.mark.parametrize("name", ["fernet", "base64"])
def test_a_copy_from_before_a_destruction_is_not_read(name):
    last = LIVES[name][-1]
    assert last["min_epoch"] == last["epoch"]
    with pytest.raises(KeyringError):
        Keyring.from_document({**LIVES[name][-2], "min_epoch": last["min_epoch"]})


def test_private_halves_are_in_no_public_ring():
    public = [document for document in LIVES["ed25519"] if "BEGIN PUBLIC KEY" in document["value"]]
    private = [document for document in LIVES["ed25519"][1:] if "BEGIN PRIVATE KEY" in document["value"]]
    assert len(public) == len(private) == len({document["epoch"] for document in public})
    for halves in zip(private, public):
        assert "PRIVATE" not in json.dumps(halves[1])
        assert [entry["gen"] for entry in halves[0]["keys"]] == [entry["gen"] for entry in halves[1]["keys"]]
        jwks = Keyring.from_document(halves[1]).as_jwks()["keys"]
        assert {entry["kid"] for entry in jwks} == {entry["kid"] for entry in halves[1]["keys"]}


def test_a_token_verifies_until_its_own_end_and_not_after():
    """A token that the active key signed just before its promotion ended is verified under every later ring as long as the
    key is in it, whatever is active by then; after its own end it is refused although its key is still accepted."""
    for name in ("hex", "ed25519"):
        rings = [Keyring.from_document(document) for document in LIVES[name]]
        rings = [ring for ring in rings if "PUBLIC" not in ring.active.material]
        signer = next(ring for ring in rings if ring.active.generation == 2).active
        algorithm = signer.algorithm or "HS256"
        now = int(time.time())
        alive, over = (
            jwt.encode({"sub": "ada", "exp": end}, signer.material, algorithm=algorithm, headers={"kid": signer.kid})
            for end in (now + 600, now - 1)
        )
        verified = 0
        for ring in rings[rings.index(next(ring for ring in rings if ring.by_kid(signer.kid))) :]:
            key = ring.by_kid(jwt.get_unverified_header(alive)["kid"])
            if key is None:
                assert ring is rings[-1], "it is in each ring but the last"
                continue
            secret = key.public_pem() if key.asymmetric else key.material
            assert jwt.decode(alive, secret, algorithms=[key.algorithm or "HS256"])["sub"] == "ada"
            verified += ring.active.generation > 2
            with pytest.raises(jwt.ExpiredSignatureError):
                jwt.decode(over, secret, algorithms=[key.algorithm or "HS256"])
        assert verified >= 3, "it outlived two promotions"
