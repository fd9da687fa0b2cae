"""Two hundred consumers of one dynamic role on a few hosts, with real agents and a real PostgreSQL (delivery, test 4): the
agents' tokens reach the end of their longest life, and the server is killed and started again meanwhile. Each host takes one
new user, not all at the same moment, nobody is ever refused or cut off, and no user stays.

How the same goes for two hundred hosts with five roles each is computed in `crates/cache/tests/fleet.rs`. That programs restart
a few at a time is shown in `test_supervise_watch.py`.
"""

import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from datetime import datetime

import psycopg
import pytest

from agent_host import POLICY, ROLE, Agent, prepare
from conftest import real
from kill_cells import SLOW
from postgres_server import PostgresServer
from real_process import until

HOSTS = int(os.environ.get("COFFRE_FLEET_HOSTS", "5"))
CONSUMERS = int(os.environ.get("COFFRE_FLEET_CONSUMERS", "200"))
# The longest life of a token, and with it of its users.
LIFE = int(os.environ.get("COFFRE_FLEET_SECONDS", "40")) * SLOW
# A token says how long it lives at the most when it is renewed for less than was asked, after two thirds of it. The user that
# takes the place of the old one comes in what is left then, and both are good for a twelfth of the life at least. Half of
# that is left for a machine that is slow to wake a consumer.
RECYCLE = LIFE * 0.04
OWN_CONNECTIONS = 3
PER_HOST = -(-CONSUMERS // HOSTS)

CREATE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE guests"
    f" CONNECTION LIMIT {PER_HOST + 3}"
)

# It has its user in its environment: it cannot change it, and is started anew.
FROZEN = """
import json, os, psycopg, signal, time
def say(event):
    with open(os.environ["SAID"], "a") as file:
        file.write(json.dumps([event, time.time(), os.environ["DB_USER"]]) + "\\n")
signal.signal(signal.SIGTERM, lambda *_: (say("stopped"), os._exit(0)))
try:
    target = dict(host="127.0.0.1", port=os.environ["DB_PORT"], dbname="atmr", user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"])
    with psycopg.connect(**target, autocommit=True) as session:
        say("started")
        while True:
            session.execute("SELECT 1")
            time.sleep(0.2)
except psycopg.Error as error:
    say(repr(error))
"""


class Roomy(PostgresServer):
    """Takes a connection of every consumer, and not many more."""

    def command(self) -> list[str]:
        return [f"max_connections={CONSUMERS + 50}" if word.startswith("max_connections=") else word for word in super().command()]


class Fleet:
    """Hosts with an agent each, their consumers, and everything that they saw."""

    def __init__(self, binary, directory, server, postgres):
        self.server, self.postgres = server, postgres
        self.over, self.lock = threading.Event(), threading.Lock()
        self.failures, self.users, self.logins, self.queries = [], [set() for _ in range(HOSTS)], 0, 0
        self.open: Counter[str] = Counter()
        self.agents = [self.host(binary, directory / f"host-{at}") for at in range(HOSTS)]
        turns = itertools.islice(itertools.cycle(range(HOSTS)), CONSUMERS)
        self.threads = [threading.Thread(target=self.consume, args=(at,), daemon=True) for at in turns]
        self.threads.append(threading.Thread(target=self.watch, daemon=True))

    def host(self, binary, directory) -> Agent:
        agent = Agent(binary, directory, self.server).identify()
        agent.listen = "max_connections = 512"
        agent.env = {"SAID": str(directory / "said.jsonl"), "DB_PORT": str(self.postgres.port)}
        program = directory / "frozen.py"
        program.write_text(FROZEN)
        agent.extra = (
            f'[[process]]\nname = "frozen"\ncommand = ["{sys.executable}", "{program}"]\non_crash = "backoff"\ngrace = "5s"\nmin_uptime = "1s"\n'
            'secrets = { DB_USER = "db/creds/app#username", DB_PASSWORD = "db/creds/app#password" }\n'
        )
        agent.configure().spawn()
        return agent

    def consume(self, at: int) -> None:
        """A pool of one connection: the user is fetched where a connection is made, and it is made anew again and again."""
        draw = random.Random(f"{at} {threading.get_ident()}")
        self.over.wait(draw.uniform(0, 2 * RECYCLE))
        while not self.over.is_set():
            doing = "asking the agent"
            try:
                status, body = self.agents[at].get("/v1/db/creds/app")
                assert status == 200, body
                creds = json.loads(body)["data"]
                doing = f"logging in as {creds['username']}"
                self.use(at, creds, time.monotonic() + draw.uniform(RECYCLE / 2, RECYCLE))
                self.over.wait(draw.uniform(0, 2 * RECYCLE))
            except Exception as error:  # noqa: BLE001 (whatever a consumer meets is what the test is about)
                with self.lock:
                    self.failures.append((round(time.time() - self.begun, 1), at, doing, repr(error)))
                self.over.wait(0.5)

    def use(self, at: int, creds: dict, end: float) -> None:
        target = {"host": "127.0.0.1", "port": self.postgres.port, "dbname": "atmr"}
        with psycopg.connect(**target, user=creds["username"], password=creds["password"], autocommit=True) as session:
            with self.lock:
                self.users[at].add(creds["username"])
                self.logins += 1
            while time.monotonic() < end and not self.over.is_set():
                session.execute("SELECT 1")
                with self.lock:
                    self.queries += 1
                self.over.wait(0.5)

    def watch(self) -> None:
        """The most connections that each user had at a time."""
        with psycopg.connect(self.postgres.url, autocommit=True) as session:
            while not self.over.wait(0.2):
                for user, count in session.execute("SELECT usename, count(*) FROM pg_stat_activity WHERE usename IS NOT NULL GROUP BY 1"):
                    self.open[user] = max(self.open[user], count)

    def start(self) -> None:
        for agent in self.agents:
            agent.wait_for(lambda agent=agent: agent.health()[0] == 200, "health")
        self.begun = time.time()
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        for agent in self.agents:
            agent.stop()

    def issued(self) -> list[float]:
        """When users were made, by the server's own record."""
        entries = map(json.loads, self.server.audit.read_text().splitlines())
        made = [entry for entry in entries if entry["type"] == "response" and entry["request"]["path"] == "db/creds/app" and not entry.get("error")]
        return sorted(datetime.fromisoformat(entry["time"][:26] + "+00:00").timestamp() for entry in made)

    def frozen(self) -> list[list]:
        return [[json.loads(line) for line in open(agent.env["SAID"])] for agent in self.agents]


@pytest.fixture
def fleet(binary, tmp_path, fresh_server):
    for postgres in real(Roomy):
        for sql in ["CREATE ROLE guests NOLOGIN", "CREATE ROLE dbadmin LOGIN CREATEROLE PASSWORD 'dbadmin'", "GRANT guests TO dbadmin WITH ADMIN OPTION"]:
            postgres.execute(sql)
        prepare(fresh_server, token_ttl=f"{int(LIFE)}s", token_max_ttl=f"{int(LIFE)}s")
        fresh_server.client().sys.create_or_update_policy(ROLE, POLICY + 'path "db/creds/app" { capabilities = ["read"] }\n')
        url = f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/atmr?sslmode=disable"
        config = {"plugin_name": "postgresql-database-plugin", "connection_url": url, "username": "dbadmin", "password": "dbadmin",
                  "allowed_roles": "app", "max_open_connections": OWN_CONNECTIONS}
        for path, body in [("sys/mounts/db", {"type": "database"}), ("db/config/app", config),
                           ("db/roles/app", {"db_name": "app", "creation_statements": CREATE, "default_ttl": "1h", "max_ttl": "24h"})]:
            assert fresh_server.call("POST", path, body).status_code in (200, 204)
        fleet = Fleet(binary, tmp_path, fresh_server, postgres)
        try:
            yield fleet
        finally:
            fleet.end()


def managed(postgres) -> set[str]:
    return {name for (name,) in postgres.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%%'", [])}


@pytest.mark.timeout(300 * SLOW)
def test_two_hundred_consumers_of_a_role_whose_tokens_end(fleet, capsys):
    fleet.start()
    first = {name for name in managed(fleet.postgres)}
    assert len(first) == HOSTS, "one user for all consumers and programs of a host"
    time.sleep(LIFE * 0.3)
    fleet.server.kill()
    time.sleep(LIFE * 0.1)
    fleet.server.start()
    fleet.server.unseal()
    # Beyond the end of the first tokens, which takes their users with it.
    begun = fleet.issued()
    left = begun[HOSTS - 1] + LIFE - time.time()
    time.sleep(max(left, 0) + LIFE * 0.1)
    gone = until(lambda: not (managed(fleet.postgres) & first), 10 * SLOW)
    fleet.end()
    issued, frozen = fleet.issued(), fleet.frozen()
    made, renewed = issued[:HOSTS], issued[HOSTS:]
    spread = [round((at - made[0]) / LIFE, 2) for at in renewed]
    restarts = [event for events in frozen for event, _, _ in events]
    with capsys.disabled():
        print(
            f"\n{CONSUMERS} consumers on {HOSTS} hosts, life {LIFE:.0f} s: {fleet.logins} logins, {fleet.queries} queries, "
            f"{len(fleet.failures)} failures; {len(issued)} users; new ones at {spread} of the life; most connections "
            f"{max(fleet.open[user] for users in fleet.users for user in users)} of a user, {fleet.open['dbadmin']} of ours"
        )
    assert fleet.failures[:9] == [] and fleet.logins > CONSUMERS * 3
    assert gone, "users of tokens that have ended are gone"
    assert [len(users) for users in fleet.users] == [2] * HOSTS and len(issued) == 2 * HOSTS, "one new user for each host"
    assert len(set.union(*fleet.users)) == 2 * HOSTS, "hosts share no user"
    assert made[0] + LIFE * 0.55 < renewed[0] and renewed[-1] < made[-1] + LIFE, "before the old ones end"
    assert renewed[-1] - renewed[0] > LIFE * 0.01, "not all at once"
    assert fleet.open["dbadmin"] <= OWN_CONNECTIONS
    assert max(fleet.open[user] for users in fleet.users for user in users) <= PER_HOST + 3
    assert restarts.count("started") == 2 * HOSTS and not any("connection failed" in event for event in restarts), frozen
    assert fleet.server.call("PUT", "sys/leases/revoke-prefix/db").status_code in (202, 204)
    assert until(lambda: managed(fleet.postgres) == set(), 20 * SLOW), "no user is left"
    assert "FATAL:  password authentication failed" not in fleet.postgres.text()
