"""Row K6: logins cost work, and the work is bounded."""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from coffre_server import Server

LOGINS = int(os.environ.get("COFFRE_K6_LOGINS", "300"))


def test_k6_a_flood_of_logins_leaves_the_server_answering(binary, tmp_path):
    """Hundreds of logins at once are hashed few at a time, what does not fit is told to come back, health stays quick."""
    server = Server(binary, tmp_path / "k6").bring_up()
    try:
        off = {"type": "userpass", "config": {"user_lockout_config": {"lockout_disable": True}}}
        assert server.call("POST", "sys/auth/userpass", off).status_code == 204
        assert server.call("POST", "auth/userpass/users/alice", {"password": "right"}).status_code == 204

        def wrong(n):
            url = f"{server.address}/v1/auth/userpass/login/{['alice', f'x{n}'][n % 2]}"
            return requests.post(url, json={"password": "wrong"}, timeout=60).status_code

        with ThreadPoolExecutor(150) as pool:
            logins = [pool.submit(wrong, n) for n in range(LOGINS)]
            session, health = requests.Session(), []
            while not all(login.done() for login in logins):
                begun = time.perf_counter()
                assert session.get(f"{server.address}/v1/sys/health", timeout=20).status_code == 200
                health.append(time.perf_counter() - begun)
                time.sleep(0.01)
            statuses = [login.result() for login in logins]
        assert set(statuses) <= {400, 429, 503} and 400 in statuses
        assert 429 in statuses or 503 in statuses, "nothing was turned away: the queue has no bound"
        assert statistics.quantiles(health, n=100)[98] < 0.5, "the load generator shares these cores"
        right = requests.post(f"{server.address}/v1/auth/userpass/login/alice", json={"password": "right"}, timeout=20)
        assert right.status_code == 200
    finally:
        server.stop()
