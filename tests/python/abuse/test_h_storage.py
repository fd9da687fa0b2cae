"""Rows H as somebody sees them who has the files of the server: rot, and what is spilled next to them."""

import base64
import os
import random
import shutil

import pytest

from coffre_server import Server
from project import Project

FLIPS = int(os.environ.get("COFFRE_ABUSE_FLIPS", "300"))
ROUNDS = 10
SECRETS = 20
PAGE = 4096


def flip(path, dice, bits):
    """Turns bits in pages that are in use: most of a young file is empty."""
    content = bytearray(path.read_bytes())
    used = [at for at in range(0, len(content), PAGE) if any(content[at : at + PAGE])]
    for _ in range(bits):
        content[dice.choice(used) + dice.randrange(PAGE)] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def values_after(server, written):
    """How many values are still given, and given right; none if the server refuses to start or to unseal."""
    try:
        server.start()
    except AssertionError as refused:
        assert "the server ended with" in str(refused) and server.process.returncode > 0, refused
        return 0
    for key in server.keys[:3]:
        answer = server.call("PUT", "sys/unseal", {"key": key}, token="")
    if answer.status_code != 200 or answer.json()["sealed"]:
        return 0
    right = 0
    for name, value in written.items():
        found = server.call("GET", f"kv/data/{name}")
        if found.status_code == 200:
            assert found.json()["data"]["data"] == {"k": value}, name
            right += 1
    return right


def test_h5_rotten_bits_are_refused_or_harmless(fresh_server):
    """Random bits of the closed database turn: the server refuses it, or each value is right or refused, and the sound file still serves all."""
    server, seed = fresh_server, int(os.environ.get("COFFRE_ABUSE_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    dice = random.Random(seed)
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    written = {f"s{number}": f"value-{number}-" + "v" * 500 for number in range(SECRETS)}
    for name, value in written.items():
        assert server.call("POST", f"kv/data/{name}", {"data": {"k": value}}).status_code == 200
    server.stop()
    [database] = [path for path in (server.directory / "coffre.redb").rglob("*.redb") if path.is_file()]
    sound = server.directory / "sound"
    shutil.copy2(database, sound)
    harm = 0
    for number in range(ROUNDS):
        shutil.copy2(sound, database)
        flip(database, dice, 1 if number < ROUNDS // 2 else FLIPS // (ROUNDS // 2))
        harm += values_after(server, written) < SECRETS
        server.stop()
        told = server.log.read_bytes()
        assert b"panicked" not in told and not [value for value in written.values() if value.encode() in told]
    assert harm > 0, "no bit that was turned mattered"
    shutil.copy2(sound, database)
    assert values_after(server, written) == SECRETS


def written_forms(value: str) -> list[bytes]:
    """A value as it may rest in a file: plain, in hexadecimal digits, and in base64 at each of the three offsets."""
    raw = value.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for pad in range(3):
        text = base64.b64encode(b"\0" * pad + raw)
        found.append(text[4 if pad else 0 : -4])
    return found


@pytest.mark.parametrize("sealed", [False, True])
def test_h11_no_plaintext_is_spilled(binary, tmp_path, monkeypatch, sealed):
    """After initialisation, writes and a migration no file of the server, the client or the temporary folder holds a value, a share or the root token."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    server, value = Server(binary, tmp_path / "server").bring_up(), "CANARYh11-93d0aa41c7"
    try:
        server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        server.call("POST", "kv/data/a", {"data": {"k": value}})
        server.call("POST", "kv/data/a", {"data": {"k": value + "2"}})
        project = Project(binary, tmp_path / "atmr", {"VAULT_ADDR": server.address, "VAULT_TOKEN": server.root, "COFFRE_ENV": "dev"})
        before = project.dotenv.read_bytes()
        project.coffre("migrate", "plan")
        project.coffre("migrate", "apply", "-yes")
        if sealed:
            server.client().sys.seal()
        looked_at = 0
        for path in tmp_path.rglob("*"):
            if not path.is_file() or path in (project.dotenv, binary):
                continue
            looked_at, content = looked_at + 1, path.read_bytes()
            for secret in (value, server.root, *server.keys):
                assert not [form for form in written_forms(secret) if form in content], f"{path} holds {secret[:6]}"
            assert not [key for key in server.keys if base64.b64decode(key) in content], path
            project.assert_no_secret(str(path), content)
        assert looked_at >= 4 and project.dotenv.read_bytes() == before
    finally:
        server.stop()
