"""A full disk: nothing is acknowledged that was not kept, what was kept stays readable, and when there is space again
the server goes on without a restart. The disk is a small tmpfs of its own, which only root may mount.
"""

import subprocess

import pytest

from coffre_server import Server

SIZE = "32m"


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_k12_a_full_disk_loses_nothing(binary, small_disk):
    server = Server(binary, small_disk / "server").bring_up()
    try:
        server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        server.client().sys.disable_audit_device("file")  # its log shares the disk; this test is about the storage
        kept = {}
        ballast = small_disk / "ballast"
        with open(ballast, "wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass
        refused = 0
        for number in range(400):
            body = {"data": {"value": f"{number}-" + "y" * 4096}}
            answer = server.call("POST", f"kv/data/full/{number}", body)
            if answer.status_code == 200:
                kept[number] = body["data"]
            else:
                assert answer.status_code >= 500, (answer.status_code, answer.text)
                refused += 1
        assert refused > 0, "the disk was never full"
        for number, data in kept.items():
            assert server.call("GET", f"kv/data/full/{number}").json()["data"]["data"] == data
        ballast.unlink()
        last = 0
        for number in range(400, 440):
            last = server.call("POST", f"kv/data/full/{number}", {"data": {"value": "after"}}).status_code
            if last == 200:
                break
        assert last == 200, "there is space again, and writes are still refused"
        server.kill()
        server.start()
        server.unseal()
        for number, data in kept.items():
            assert server.call("GET", f"kv/data/full/{number}").json()["data"]["data"] == data
    finally:
        server.stop()
