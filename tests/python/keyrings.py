"""Documents of key rings, as the rotation writes them, for tests."""

import base64
import os

from coffre.keyring import kid_of


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def key(material: str, generation: int, state: str = "accept", alg: str | None = None) -> dict:
    entry = {"kid": kid_of(material, alg), "gen": generation, "state": state, "mat": material}
    return entry | ({"alg": alg} if alg else {})


def ring(keys: list[dict], epoch: int = 1, legacy: str | None = None, target: str = "test") -> dict:
    """A keyring/1 document; `legacy` is the material of that key."""
    active = next(entry for entry in keys if entry["state"] == "active")
    document = {"schema": "keyring/1", "target": target, "epoch": epoch, "active": active["kid"], "keys": keys}
    document |= {"value": active["mat"], "_w": os.urandom(8).hex()}
    return document | ({"legacy": kid_of(legacy)} if legacy else {})
