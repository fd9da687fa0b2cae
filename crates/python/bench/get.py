"""How long one read of a secret takes, beside what people use instead. Prints a table; asserts nothing about time.

    python crates/python/bench/get.py [--json] [--coffre BINARY]

It needs the package (on `sys.path`, or staged by `cargo xtask package`), hvac and python-dotenv, and a `coffre` binary for
the server: `--coffre`, else COFFRE_BIN, else `target/release/coffre`, else `target/debug/coffre`. Every contender reads the
same value. Figures are nanoseconds for one read by one thread, the best of 60 short rounds; with threads, the time of the
round divided by the reads of all of them, because one Python interpreter runs one thread at a time.
"""

import argparse
import functools
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve()
REPOSITORY = HERE.parents[3]
sys.path.insert(0, str(REPOSITORY / "tests/python"))
try:
    import coffre
except ModuleNotFoundError:
    sys.path.insert(0, str(REPOSITORY / "target/python"))
    import coffre

import dotenv
import hvac
from coffre_server import DevServer

ROUNDS = 60
SECONDS_PER_ROUND = 0.02
THREADS = (1, 8)
VALUE = "bench-value-0123456789abcdef0123456789abcdef"
MANIFEST = """\
app = "atmr"
environments = ["prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments.add_argument("--coffre", type=Path, help="the binary that serves")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = DevServer(binary(given.coffre), Path(directory) / "server").start()
        try:
            rows = measure(server, Path(directory))
        finally:
            server.stop()
    if given.json:
        print(json.dumps(rows))
        return
    print(f"one read of a secret, nanoseconds, CPython {sys.version.split()[0]}")
    for row in rows:
        print(f"{row['what']:<44} {row['threads']} thread{'s' if row['threads'] > 1 else ' '} {row['ns']:>12,.0f}")


def binary(given: "Path | None") -> Path:
    named = [given, os.environ.get("COFFRE_BIN")]
    built = [REPOSITORY / "target/release/coffre", REPOSITORY / "target/debug/coffre"]
    for found in [Path(each) for each in named if each] or built:
        if found.is_file():
            return found
    sys.exit("there is no coffre binary: build one, or name it with --coffre")


def measure(server: DevServer, directory: Path) -> "list[dict]":
    client = server.client()
    client.sys.enable_secrets_engine("kv", path="atmr", options={"version": "2"})
    v2 = client.secrets.kv.v2
    v2.create_or_update_secret("prod/jwt/secret_key", {"value": VALUE}, mount_point="atmr")
    (directory / "coffre.toml").write_text(MANIFEST)
    (directory / ".env").write_text(f"JWT_SECRET_KEY={VALUE}\n")
    os.environ.update(VAULT_ADDR=server.address, VAULT_TOKEN=server.root, COFFRE_ENV="prod")
    os.environ["COFFRE_MANIFEST"] = str(directory / "coffre.toml")
    dotenv.load_dotenv(directory / ".env")

    def uncached(name: str) -> str:
        answer = v2.read_secret_version("prod/jwt/secret_key", mount_point="atmr", raise_on_deleted_version=True)
        return answer["data"]["data"]["value"]

    cached = functools.lru_cache(maxsize=None)(uncached)
    contenders = [
        ("coffre.get_secret", coffre.get_secret),
        ("os.environ (python-dotenv)", os.environ.__getitem__),
        ("hvac with functools.lru_cache, never fresh", cached),
        ("hvac, uncached", uncached),
    ]
    rows = []
    for what, read in contenders:
        if read("JWT_SECRET_KEY") != VALUE:
            sys.exit(f"{what} gave another value")
        rows += [{"what": what, "threads": count, "ns": nanoseconds(read, count)} for count in THREADS]
    return rows


def nanoseconds(read, threads: int) -> float:
    reads = calibrated(read)
    gc.disable()
    try:
        return min(round_of(read, threads, reads) for _ in range(ROUNDS)) / (reads * threads)
    finally:
        gc.enable()


def calibrated(read) -> int:
    """How many reads fill a round, about."""
    reads = 1
    while True:
        taken = repeat(read, reads)
        if taken > SECONDS_PER_ROUND * 1e9 / 10:
            return max(1, int(reads * SECONDS_PER_ROUND * 1e9 / taken))
        reads *= 4


def round_of(read, threads: int, reads: int) -> int:
    if threads == 1:
        return repeat(read, reads)
    start = threading.Barrier(threads + 1)

    def work() -> None:
        start.wait()
        repeat(read, reads)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter_ns()
    for worker in workers:
        worker.join()
    return time.perf_counter_ns() - began


def repeat(read, reads: int) -> int:
    began = time.perf_counter_ns()
    for _ in range(reads // 8):
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
        read("JWT_SECRET_KEY")
    for _ in range(reads % 8):
        read("JWT_SECRET_KEY")
    return time.perf_counter_ns() - began


if __name__ == "__main__":
    main()
