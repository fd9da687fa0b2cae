"""Section K of the abuse list, the part that quotas bear: floods end in 429, early and cheaply."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

FLOOD = int(os.environ.get("COFFRE_ABUSE_FLOOD", "200"))


def test_k7_a_flood_of_tokens_ends_at_the_limit(server):
    """Who makes tokens without end is refused at the limit, also from many threads, and no token is made beyond it."""
    accessors = lambda: len(server.call("LIST", "auth/token/accessors").json()["data"]["keys"])
    before = accessors()
    assert server.call("POST", "sys/quotas/rate-limit/tokens", {"path": "auth/token/create", "rate": 25, "interval": "1h"}).status_code == 204
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: server.call("POST", "auth/token/create", {"ttl": "60s"}).status_code, range(FLOOD)))
    assert codes.count(200) == 25 and codes.count(429) == FLOOD - 25
    assert accessors() == before + 25
    assert server.call("POST", "AUTH/token/create", {}).status_code == 404, "another spelling is another path, not a way around"
    server.call("DELETE", "sys/quotas/rate-limit/tokens")


def test_k1_a_refused_request_is_refused_before_its_body(server):
    """Beyond the limit a body is not read: a large one is answered at once, and what it says does not matter."""
    server.call("POST", "sys/mounts/quick", {"type": "kv"})
    server.call("POST", "sys/quotas/rate-limit/quick", {"path": "quick/*", "rate": 1, "interval": "1h"})
    assert server.call("GET", "quick/a").status_code == 404
    began = time.monotonic()
    for body in (b"{" * 100_000, b'{"a":1', b"\xff\xfe", b'{"a":"' + b"x" * 1_000_000 + b'"}'):
        answer = server.call("POST", "quick/a", token="", data=body)
        assert answer.status_code == 429
    assert time.monotonic() - began < 5
    server.call("DELETE", "sys/quotas/rate-limit/quick")
    assert server.call("GET", "quick/a").status_code == 404
    server.call("DELETE", "sys/mounts/quick")


def test_k7_a_login_flood_is_limited_for_each_client(server):
    """Guessing role ids ends at the limit of the login path, before any lookup; other paths are served meanwhile."""
    server.client().sys.enable_auth_method("approle", path="flooded")
    server.call("POST", "sys/quotas/rate-limit/logins", {"path": "auth/flooded/login", "rate": 5, "interval": 60, "block_interval": "1h"})
    codes = [server.call("POST", "auth/flooded/login", {"role_id": f"guess{n}"}, token="").status_code for n in range(12)]
    assert codes == [400] * 5 + [429] * 7
    assert server.call("GET", "sys/mounts").status_code == 200
    server.client().sys.disable_auth_method("flooded")
