"""Rows K: what one client can take of the server. Sizes fit CI on a debug build; the environment makes them larger:
COFFRE_ABUSE_CLIENTS (slow clients of each kind), COFFRE_ABUSE_REQUESTS (random requests), COFFRE_ABUSE_NAMES (names in a
list), COFFRE_ABUSE_SECONDS (how long one bounded thing may take)."""

import json
import os
import random
import resource
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from coffre_server import Server, clean_environment, wait_for_banner
from wire import Probe, ask, connect, read, request, resident, send

CLIENTS = int(os.environ.get("COFFRE_ABUSE_CLIENTS", "150"))
REQUESTS = int(os.environ.get("COFFRE_ABUSE_REQUESTS", "2500"))
NAMES = int(os.environ.get("COFFRE_ABUSE_NAMES", "1200"))
SECONDS = float(os.environ.get("COFFRE_ABUSE_SECONDS", "20"))
MIB = 1 << 20


@pytest.fixture(scope="module")
def vault(binary, tmp_path_factory):
    server = Server(binary, tmp_path_factory.mktemp("resources")).bring_up()
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "1"}})
    yield server
    server.stop()


def alive(server) -> None:
    assert server.process.poll() is None
    assert server.call("GET", "sys/health").status_code == 200


def test_k1_bodies_that_would_grow_are_refused_unread(vault):
    """What is small on the wire and large in memory is refused before anybody is authenticated, at once and in proportion."""
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    bodies = {
        "objects in objects": deep,
        "arrays in arrays": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "a million names": b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}",
        "a million texts": b'{"a":[' + b",".join([b'"a"'] * 1_000_000) + b"]}",
        "a text of 30 MB": b'{"a":"' + b"a" * (30 * MIB) + b'"}',
        "a number of a million digits": b'{"data":{"a":' + b"1" * 1_000_000 + b"}}",
        "a million escapes": b'{"a":"' + b"\\u0041" * 1_000_000 + b'"}',
    }
    alive(vault)
    for name, body in bodies.items():
        before, begun = resident(vault.process), time.monotonic()
        reply = ask(vault, "POST", "/v1/kv/a", body=body, token="")
        assert reply.status in (400, 413), (name, reply)
        assert time.monotonic() - begun < SECONDS, name
        assert resident(vault.process) - before < 3 * len(body) + 16 * MIB, name
    # An exponent costs nothing: such a number is kept as it was written.
    assert ask(vault, "POST", "/v1/kv/a", body=b'{"a":1e999999}', token="").status == 403
    assert ask(vault, "POST", "/v1/kv/a", body=b'{"a":1e999999}').status == 204
    assert b"1e999999" in ask(vault, "GET", "/v1/kv/a").body


def test_k3_no_body_is_larger_than_the_limit(vault):
    """A body beyond the limit is 413, announced or in chunks, and what came of it is not kept."""
    before = resident(vault.process)
    announced = request("POST", "/v1/kv/a", [("Content-Length", str(10 << 30))], token=vault.root)
    assert send(vault, announced).status == 413
    with connect(vault) as stream:
        stream.sendall(request("POST", "/v1/kv/a", [("Transfer-Encoding", "chunked")], token=vault.root))
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 200:
                stream.sendall(chunk)
                sent += 1
        except OSError:
            pass
        assert sent < 60, "the server stopped reading soon after 32 MiB"
        assert read(stream).status in (0, 413)
    assert resident(vault.process) - before < 96 * MIB
    alive(vault)


def test_k3_many_large_bodies_wait_for_their_turn(vault):
    """Of many large bodies at once only a few are in memory; the others stay with their senders, and small requests pass."""
    before, count, size = resident(vault.process), 24, 20 * MIB
    streams = [connect(vault) for _ in range(count)]
    stop = threading.Event()

    def feed(stream):
        stream.settimeout(0.2)
        head = request("POST", "/v1/kv/a", [("Content-Length", str(size + 1))], token=vault.root)
        left = [memoryview(head), memoryview(b'{"a":"' + b"a" * size)]
        while left and not stop.is_set():
            try:
                sent = stream.send(left[0][:65536])
                left[0] = left[0][sent:]
                if not left[0]:
                    left.pop(0)
            except TimeoutError:
                continue
            except OSError:
                return

    feeders = [threading.Thread(target=feed, args=(stream,)) for stream in streams]
    [feeder.start() for feeder in feeders]
    peak, until = 0, time.monotonic() + 8
    while time.monotonic() < until:
        peak = max(peak, resident(vault.process) - before)
        assert vault.call("POST", "kv/small", {"k": "v"}).status_code == 204
        time.sleep(0.2)
    stop.set()
    [feeder.join() for feeder in feeders]
    [stream.close() for stream in streams]
    # Eight of them, each in room that doubles as it grows; all of them would be 24 times that.
    assert peak < 8 * 3 * size / 2 + 64 * MIB, peak / MIB
    alive(vault)


def test_k4_slow_clients_are_closed_and_disturb_nobody(binary, tmp_path):
    """Half-open handshakes and heads end within 10 s, bodies within 30 s; others are served as if nothing was."""
    server = Server(binary, tmp_path / "server", tls=True).bring_up()
    try:
        begun = time.monotonic()
        half_open = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CLIENTS)]
        [stream.sendall(b"\x16\x03\x01\x02\x00\x01") for stream in half_open[::2]]
        heads = [connect(server) for _ in range(CLIENTS // 3)]
        [stream.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX-") for stream in heads]
        bodies = [connect(server) for _ in range(CLIENTS // 3)]
        [stream.sendall(request("POST", "/v1/sys/unseal", [("Content-Length", "1000")], b"{")) for stream in bodies]
        probe = Probe(server)
        for _ in range(40):
            probe.once()
            for stream in heads + bodies:
                try:
                    stream.sendall(b" ")
                except OSError:
                    pass
        assert sorted(probe.times)[-2] < max(1.0, SECONDS / 4), probe.times
        for kind, streams, limit in (("handshake", half_open, 10), ("head", heads, 10), ("body", bodies, 30)):
            for stream in streams:
                ended(stream, begun + limit + SECONDS / 2, kind)
        probe.once()
    finally:
        server.stop()


def ended(stream: socket.socket, deadline: float, kind: str) -> None:
    """The server closes this connection before the deadline, whatever it says before."""
    with stream:
        while True:
            stream.settimeout(max(0.05, deadline - time.monotonic()))
            try:
                if not stream.recv(65536):
                    return
            except TimeoutError:
                raise AssertionError(f"a slow {kind} was still open") from None
            except OSError:
                return


class Narrow(Server):
    """A server that may open few files."""

    files = 200

    def start(self) -> "Narrow":
        limit = (self.files, self.files)
        with open(self.log, "ab") as log:
            mark = log.tell()
            self.process = subprocess.Popen(
                [str(self.binary), "server", f"-config={self.config}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=clean_environment(), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
            )
        wait_for_banner(self.process, self.log, mark)
        return self


def cpu_seconds(process) -> float:
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_k4_k5_a_full_house_sends_away_who_asks_nothing(binary, tmp_path):
    """More silent connections than there is room for keep nobody out: the oldest that never asked has to leave."""
    server = Narrow(binary, tmp_path / "server").bring_up()
    try:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        probe = Probe(server)
        for _ in range(20):
            probe.once()
        assert sorted(probe.times)[-2] < max(1.0, SECONDS / 4), probe.times
        before = cpu_seconds(server.process)
        time.sleep(1.5)
        assert cpu_seconds(server.process) - before < 0.75, "the accept loop spins"
        [stream.close() for stream in silent]
        assert server.call("POST", "sys/mounts/kv", {"type": "kv"}).status_code == 204
    finally:
        server.stop()


def test_k5_without_file_descriptors_the_server_waits(vault):
    """When no file can be opened the server neither ends nor spins, and goes on when there are some again."""
    pid = vault.process.pid
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    kept = connect(vault)
    kept.sendall(request("GET", "/v1/sys/health"))
    assert read(kept).status == 200
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now - 2, old[1]))
    try:
        waiting = [socket.create_connection(("127.0.0.1", vault.port)) for _ in range(30)]
        before = cpu_seconds(vault.process)
        time.sleep(1.5)
        assert vault.process.poll() is None
        assert cpu_seconds(vault.process) - before < 0.75, "the accept loop spins"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    [stream.close() for stream in waiting + [kept]]
    alive(vault)


def test_k8_policies_of_any_size_are_refused_or_fast(vault):
    """Huge and deep policies and tokens with thousands of them are refused, or decide as fast as others."""
    deep = 'path "a" ' + "{ allowed_parameters = " * 50_000
    nested = '{"path":' + '{"a":' * 50_000 + "1" + "}" * 50_001
    for text in (deep, nested, "[" * 100_000, 'path "a" { capabilities = [' + '"read",' * 200_000 + "] }"):
        begun = time.monotonic()
        assert vault.call("PUT", "sys/policies/acl/odd", {"policy": text}).status_code in (400, 413)
        assert time.monotonic() - begun < SECONDS
        assert vault.call("GET", "sys/policies/acl/odd").status_code == 404
    wide = "\n".join(f'path "kv/{n}/+/x*" {{ capabilities = ["read"] }}' for n in range(2_000))
    assert vault.call("PUT", "sys/policies/acl/wide", {"policy": wide}).status_code in (204, 400)
    names = [f"p{n}" for n in range(9_000)] + ["wide"]
    made = vault.call("POST", "auth/token/create", {"policies": names})
    assert made.status_code in (200, 400)
    if made.status_code == 200:
        token = made.json()["auth"]["client_token"]
        begun = time.monotonic()
        for _ in range(20):
            assert vault.call("GET", "kv/1/y/xyz", token=token).status_code in (403, 404)
        assert time.monotonic() - begun < SECONDS
        assert vault.call("GET", "kv/2000/y/xyz", token=token).status_code == 403


def test_k9_lists_come_in_pages(vault):
    """`after` and `limit` give the list piece by piece in order; 0 and less is all, and what is no number is refused."""
    vault.call("POST", "sys/mounts/many", {"type": "kv", "options": {"version": "1"}})
    names = sorted(f"n{n:05}" for n in range(NAMES))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda name: vault.call("POST", f"many/{name}", {"k": "v"}).status_code, names)) == {204}

    def page(query):
        answer = vault.call("GET", f"many?list=true&{query}")
        return answer.json()["data"]["keys"] if answer.status_code == 200 else answer.status_code

    seen, before = [], resident(vault.process)
    while (part := page(f"limit=100&after={seen[-1] if seen else ''}")) != 404:
        assert len(part) <= 100
        seen += part
    assert seen == names
    assert resident(vault.process) - before < 32 * MIB
    for everything in ("", "limit=0", "limit=-1", "limit=-99999999999999999999", "limit=99999999999999999999"):
        assert page(everything) == names, everything
    for bad in ("limit=x", "limit=", "limit=1.5", "limit=1e2", "limit=%20", "limit=1&limit=2", "after=a&after=b"):
        assert page(bad) == 400, bad
    assert page("limit=1&after=n00000") == names[1:2] and page("after=zzz") == 404
    low = vault.call("POST", "auth/token/create", {"policies": ["default"]}).json()["auth"]["client_token"]
    assert vault.call("LIST", "many?limit=1", token=low).status_code == 403


@pytest.mark.parametrize("path", ["auth/token/accessors", "sys/policies/acl", "auth/approle/role", "cubbyhole", "kv2/metadata"])
def test_k9_every_list_has_pages(vault, path):
    """Lists that are made in memory are cut to the page as well, by the same rules."""
    vault.call("POST", "sys/auth/approle", {"type": "approle"})
    vault.call("POST", "sys/mounts/kv2", {"type": "kv", "options": {"version": "2"}})
    for name in ("a", "b", "c"):
        vault.call("POST", "auth/token/create", {})
        vault.call("PUT", f"sys/policies/acl/{name}", {"policy": ""})
        vault.call("POST", f"auth/approle/role/{name}", {})
        vault.call("POST", f"cubbyhole/{name}", {"k": "v"})
        vault.call("POST", f"kv2/data/{name}", {"data": {}})
    whole = sorted(vault.call("LIST", path).json()["data"]["keys"])
    assert len(whole) >= 3
    pages, after = [], ""
    while (answer := vault.call("LIST", f"{path}?limit=2&after={after}")).status_code == 200:
        keys = answer.json()["data"]["keys"]
        assert 1 <= len(keys) <= 2
        pages += keys
        after = keys[-1]
    assert answer.status_code == 404 and pages == whole
    assert vault.call("LIST", f"{path}?limit=abc").status_code == 400


def test_k10_state_before_any_login_is_bounded(empty_server):
    """Shares from strangers, whatever they are, neither pile up nor take memory; the right ones work afterwards."""
    server = empty_server
    made = server.call("PUT", "sys/init", {"secret_shares": 5, "secret_threshold": 3}).json()
    before = resident(server.process)
    for number in range(300):
        body = {"key": f"{number:066x}"} if number % 2 else {"key": "A" * 44}
        answer = server.call("PUT", "sys/unseal", body, token="")
        assert answer.status_code in (200, 400)
        assert server.call("GET", "sys/seal-status").json()["progress"] < 3
    assert resident(server.process) - before < 32 * MIB
    server.call("PUT", "sys/unseal", {"reset": True}, token="")
    for key in made["keys_base64"][:3]:
        status = server.call("PUT", "sys/unseal", {"key": key}, token="").json()
    assert status["sealed"] is False


def test_k11_random_requests_never_end_the_server(vault):
    """Random requests over the wire, well-formed and not, as root and as nobody: no answer is an internal error, and the
    process is the same afterwards."""
    seed = int(os.environ.get("COFFRE_ABUSE_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    document = vault.call("GET", "sys/internal/specs/openapi").json()
    kept_out = ("/sys/seal", "/sys/step-down", "revoke-self", "/sys/audit", "/sys/quotas", "/sys/rekey", "/sys/config/cors")
    paths = [path for path in document["paths"] if not any(word in path for word in kept_out)]
    pid, before = vault.process.pid, resident(vault.process)

    def run(worker):
        dice = random.Random(f"{seed}-{worker}")
        bad = []
        for _ in range(REQUESTS // 4):
            data = one(dice, paths, vault.root)
            reply = send(vault, data, silence=0.1, most=SECONDS)
            if 500 in reply.statuses:
                bad.append((data, reply.raw))
        return bad

    with ThreadPoolExecutor(4) as pool:
        bad = [found for each in pool.map(run, range(4)) for found in each]
    assert not bad, (seed, bad[0])
    assert vault.process.pid == pid
    alive(vault)
    assert resident(vault.process) - before < 256 * MIB


WORDS = ["a", "", "default", "kv", "0", "-1", "..", "%00", "\u00e9", "a b", "x" * 300, "{{identity.entity.id}}", "*", "+", "1h", "true", "null"]


def value(dice, depth=0):
    kind = dice.randrange(8 if depth < 3 else 6)
    if kind < 3:
        return dice.choice(WORDS)
    if kind < 6:
        return dice.choice([0, 1, -1, 1e308, 2**63, 2**70, True, False, None, 0.5])
    if kind == 6:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(WORDS): value(dice, depth + 1) for _ in range(dice.randrange(4))}


FIELDS = ["policies", "policy", "ttl", "data", "options", "type", "config", "key", "token", "versions", "path", "name", "meta", "role_id", "num_uses"]


def one(dice, paths, root) -> bytes:
    path = dice.choice(paths)
    while "{" in path:
        head, rest = path.split("{", 1)
        word = dice.choice(["zz", "kv", "default", "a%2fb", "%ff", "..", "x%20y"])
        path = f"{head}{word}{rest.split('}', 1)[1]}"
    method = dice.choice(["GET", "LIST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "GET", "HELP", "ZAP"])
    fields = {dice.choice(FIELDS): value(dice) for _ in range(dice.randrange(5))}
    body = json.dumps(fields).encode() if method in ("POST", "PUT", "PATCH") else b""
    headers = [("Connection", "close")]
    if method == "PATCH":
        headers.append(("Content-Type", "application/merge-patch+json"))
    if dice.random() < 0.1:
        headers.append((dice.choice(["X-Vault-Wrap-TTL", "Content-Type", "X-Vault-Namespace", "X-Forwarded-For"]), dice.choice(["60", "x", "-1", "a/b"])))
    query = dice.choice(["", "", "?list=true", "?limit=1", "?version=x", "?help=1", "?after=a&limit=2"])
    data = request(method, f"/v1{path}{query}", headers, body, root if dice.random() < 0.8 else dice.choice(["", "hvs.x"]))
    if dice.random() < 0.1 and data:
        # Broken somewhere.
        at = dice.randrange(len(data))
        data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
    return data
