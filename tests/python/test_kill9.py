"""Acknowledged means durable and audited: the server is killed under load, again and again, and nothing may be missing.

COFFRE_KILLS is the number of cycles (10), COFFRE_SEED repeats a run. In each cycle writers build check-and-set chains,
tokens and their children, logins, counted uses, secret ids and policies come and go. After SIGKILL and a restart, what
was acknowledged must be there, what was under way must be there whole or not at all, no use may have come back, and no
token but the root token may be without an end.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
import requests

CYCLES = int(os.environ.get("COFFRE_KILLS", "10"))
SEED = int(os.environ.get("COFFRE_SEED", str(random.SystemRandom().randrange(1 << 32))))
WRITERS = 4
KEYS_PER_WRITER = 3
USES = 5


class ServerGone(Exception):
    """The request was sent and no answer came: it may have happened or not."""


class Unexpected(Exception):
    """The server answered something that it should not have."""


@dataclass
class Link:
    """One keep-alive connection with the root token. Answers are acknowledgements."""

    server: object
    session: requests.Session = field(default_factory=requests.Session)

    def __call__(self, method, path, body=None, expect=(200, 204), token=None):
        try:
            headers = {"X-Vault-Token": token or self.server.root}
            answer = self.session.request(method, f"{self.server.address}/v1/{path}", json=body, headers=headers, timeout=20)
        except requests.RequestException as error:
            raise ServerGone from error
        if answer.status_code not in expect:
            raise Unexpected(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


@dataclass
class Record:
    """What one cycle was told. `pending` holds what was sent without an answer."""

    kv: dict[str, dict] = field(default_factory=dict)  # path -> {"version", "data"} acknowledged last
    kv_pending: dict[str, dict] = field(default_factory=dict)
    alive: dict[str, str] = field(default_factory=dict)  # kind:id -> "yes" | "no" | "unknown"
    policies: dict[str, set] = field(default_factory=dict)  # name -> texts that may be found; None is "not there"
    uses: dict[str, int] = field(default_factory=dict)  # token -> uses that were answered
    request_ids: set[str] = field(default_factory=set)
    silent: Counter = field(default_factory=Counter)  # path -> acknowledgements without a body
    acked: int = 0
    errors: list[str] = field(default_factory=list)

    def ack(self, path, answer):
        self.acked += 1
        if answer.status_code == 200:
            self.request_ids.add(answer.json()["request_id"])
        else:
            self.silent[path] += 1


def kv_writer(link, record, cycle, number, seed):
    rng = random.Random(seed)
    paths = [f"c{cycle}/w{number}/k{key}" for key in range(KEYS_PER_WRITER)]
    while True:
        path = rng.choice(paths)
        version = record.kv.get(path, {"version": 0})["version"]
        data = {"n": version + 1, "by": number, "text": "x" * rng.choice((1, 100, 5000)), "tag": rng.getrandbits(64)}
        record.kv_pending[path] = {"version": version + 1, "data": data}
        answer = link("POST", f"chain/data/{path}", {"data": data, "options": {"cas": version}})
        if answer.json()["data"]["version"] != version + 1:
            raise Unexpected(f"{path}: version {answer.json()['data']['version']} after {version}")
        record.kv[path] = record.kv_pending.pop(path)
        record.ack(f"chain/data/{path}", answer)


def token_worker(link, record, cycle, _number, _seed):
    count = 0
    while True:
        count += 1
        name = f"kill-{cycle}-{count}"
        record.alive[f"token:{name}"] = "unknown"
        record.ack("auth/token/create", link("POST", "auth/token/create", {"id": name, "policies": ["default"], "ttl": "1h"}))
        record.alive[f"token:{name}"] = "yes"
        if count % 2:
            record.alive[f"token:{name}"] = "unknown"
            record.ack("auth/token/revoke", link("POST", "auth/token/revoke", {"token": name}))
            record.alive[f"token:{name}"] = "no"


def login_worker(link, record, cycle, number, _seed):
    """Logins, each with a child; every other one is revoked, and its child with it."""
    count = 0
    while True:
        count += 1
        answer = link("POST", "auth/approle/login", {"role_id": "killed-role-id", "secret_id": "killed-for-ever"})
        record.ack("auth/approle/login", answer)
        parent, child = answer.json()["auth"]["client_token"], f"child-{cycle}-{number}-{count}"
        record.alive[f"token:{parent}"] = "yes"
        record.alive[f"token:{child}"] = "unknown"
        body = {"id": child, "policies": ["default"], "ttl": "30m"}
        record.ack("auth/token/create", link("POST", "auth/token/create", body, token=parent))
        record.alive[f"token:{child}"] = "yes"
        if count % 2:
            record.alive[f"token:{parent}"] = record.alive[f"token:{child}"] = "unknown"
            record.ack("auth/token/revoke", link("POST", "auth/token/revoke", {"token": parent}))
            record.alive[f"token:{parent}"] = record.alive[f"token:{child}"] = "no"


def uses_worker(link, record, cycle, number, _seed):
    """Tokens that may be used a few times; the kill falls between uses or into one."""
    count = 0
    while True:
        count += 1
        token = f"uses-{cycle}-{number}-{count}"
        body = {"id": token, "policies": ["default"], "ttl": "1h", "num_uses": USES}
        record.ack("auth/token/create", link("POST", "auth/token/create", body))
        record.uses[token] = 0
        for _ in range(count % (USES + 1)):
            record.ack("auth/token/lookup-self", link("GET", "auth/token/lookup-self", token=token))
            record.uses[token] += 1


def policy_worker(link, record, cycle, number, _seed):
    count = 0
    while True:
        count += 1
        name = f"kill-{cycle}-{number}-{count % 3}"
        text = None if count % 4 == 0 else f'path "chain/data/{count}" {{ capabilities = ["read"] }}'
        before = record.policies.get(name, {None})
        record.policies[name] = before | {text}
        path = f"sys/policies/acl/{name}"
        record.ack(path, link("DELETE", path) if text is None else link("PUT", path, {"policy": text}))
        record.policies[name] = {text}


def secret_id_worker(link, record, cycle, _number, _seed):
    count = 0
    base = "auth/approle/role/killed"
    while True:
        count += 1
        name = f"secret-{cycle}-{count}"
        record.alive[f"secret:{name}"] = "unknown"
        record.ack(f"{base}/custom-secret-id", link("POST", f"{base}/custom-secret-id", {"secret_id": name}))
        record.alive[f"secret:{name}"] = "yes"
        if count % 2:
            record.alive[f"secret:{name}"] = "unknown"
            record.ack(f"{base}/secret-id/destroy", link("POST", f"{base}/secret-id/destroy", {"secret_id": name}))
            record.alive[f"secret:{name}"] = "no"


def under_load_until_killed(server, cycle, rng):
    """Runs all workers, kills the server at a random moment, and gives back what was acknowledged."""
    record = Record()
    killed = threading.Event()

    def run(work, number, seed):
        try:
            work(Link(server), record, cycle, number, seed)
        except ServerGone:
            if not killed.is_set():
                # The kill may be seen here before it is announced there.
                killed.wait(1) or record.errors.append(f"cycle {cycle}: connection lost before the kill")
        except Unexpected as error:
            record.errors.append(f"cycle {cycle}: {error}")

    others = [token_worker, login_worker, uses_worker, secret_id_worker, policy_worker]
    jobs = [(kv_writer, n) for n in range(WRITERS)] + [(work, 0) for work in others]
    threads = [threading.Thread(target=run, args=(work, n, rng.getrandbits(32))) for work, n in jobs]
    [t.start() for t in threads]
    time.sleep(rng.uniform(0.02, 0.8))
    server.kill()
    killed.set()
    [t.join() for t in threads]
    return record


def check_kv(link, record, totals):
    for path in record.kv.keys() | record.kv_pending.keys():
        acked = record.kv.get(path, {"version": 0, "data": None})
        pending = record.kv_pending.get(path)
        answer = link("GET", f"chain/data/{path}", expect=(200, 404))
        found = answer.json()["data"] if answer.status_code == 200 else None
        version = found["metadata"]["version"] if found else 0
        if version == acked["version"]:
            expected = acked["data"]
        elif pending and version == pending["version"]:
            expected = pending["data"]
        else:
            totals["lost" if version < acked["version"] else "half"] += 1
            continue
        if (found and found["data"]) != expected:
            totals["half"] += 1
        check_chain(link, path, version, totals)


def check_chain(link, path, version, totals):
    """The versions of the metadata have no hole, and the oldest and newest of them can be read."""
    answer = link("GET", f"chain/metadata/{path}", expect=(200, 404))
    if answer.status_code == 404:
        totals["half"] += version != 0
        return
    data = answer.json()["data"]
    numbers = sorted(map(int, data["versions"]))
    whole = data["current_version"] == version and numbers == list(range(data["oldest_version"] or 1, version + 1))
    if not whole:
        totals["half"] += 1
    elif numbers:
        oldest = link("GET", f"chain/data/{path}?version={numbers[0]}", expect=(200, 404))
        totals["half"] += oldest.status_code != 200 or oldest.json()["data"]["data"]["n"] != numbers[0]


def check_alive(link, record, totals):
    for key, state in record.alive.items():
        kind, name = key.split(":")
        if kind == "token":
            there = link("POST", "auth/token/lookup", {"token": name}, expect=(200, 403)).status_code == 200
        else:
            path = "auth/approle/role/killed/secret-id/lookup"
            there = link("POST", path, {"secret_id": name}, expect=(200, 204)).status_code == 200
        if state != "unknown" and there != (state == "yes"):
            totals["lost"] += 1


def check_policies(link, record, totals):
    for name, allowed in record.policies.items():
        answer = link("GET", f"sys/policies/acl/{name}", expect=(200, 404))
        found = answer.json()["data"]["policy"] if answer.status_code == 200 else None
        totals["lost"] += found not in allowed


def check_uses(link, record, totals):
    """Spends what is left of each counted token: before and after the kill together it was never used too often."""
    for token, before in record.uses.items():
        after = 0
        while after <= USES and link("GET", "auth/token/lookup-self", expect=(200, 403), token=token).status_code == 200:
            after += 1
        totals["uses too many"] += max(0, before + after - USES)
    record.uses.clear()


def check_ends(link, totals, seen):
    """Every token but the root token has an end. Only those that were not seen before are looked up."""
    accessors = link("LIST", "auth/token/accessors").json()["data"]["keys"]
    for accessor in set(accessors) - seen:
        seen.add(accessor)
        answer = link("POST", "auth/token/lookup-accessor", {"accessor": accessor}, expect=(200, 400, 403, 404))
        if answer.status_code == 200:
            data = answer.json()["data"]
            totals["immortal"] += data["expire_time"] is None and data["policies"] != ["root"]


def check_audit(server, record, offset, totals):
    """Every acknowledged request has its response line. Returns where the next cycle's lines begin."""
    with open(server.audit, "rb") as log:
        log.seek(offset)
        lines = log.read().splitlines()
    ids, silent = set(), Counter()
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            totals["torn audit lines"] += 1
            continue
        if entry["type"] == "response":
            ids.add(entry["request"]["id"])
            silent[entry["request"]["path"]] += 1
    totals["unaudited"] += len(record.request_ids - ids)
    totals["unaudited"] += sum(max(0, count - silent[path]) for path, count in record.silent.items())
    return os.path.getsize(server.audit)


@pytest.mark.timeout(60 + 5 * CYCLES)
def test_kill_9_loses_nothing(fresh_server):
    print(f"\nCOFFRE_SEED={SEED}")
    server, rng = fresh_server, random.Random(SEED)
    link = Link(server)
    link("POST", "sys/mounts/chain", {"type": "kv", "options": {"version": "2"}})
    link("POST", "sys/auth/approle", {"type": "approle"})
    maker = 'path "auth/token/create" { capabilities = ["update", "sudo"] }'
    link("PUT", "sys/policies/acl/maker", {"policy": maker})
    terms = {"token_policies": "maker", "role_id": "killed-role-id", "token_ttl": "1h"}
    link("POST", "auth/approle/role/killed", terms)
    link("POST", "auth/approle/role/killed/custom-secret-id", {"secret_id": "killed-for-ever"})
    totals, history, seen = Counter(), [], set()
    for cycle in range(CYCLES):
        offset = os.path.getsize(server.audit)
        record = under_load_until_killed(server, cycle, rng)
        assert record.errors == []
        check_audit(server, record, offset, totals)
        server.start().unseal()
        link = Link(server)
        check_kv(link, record, totals)
        check_alive(link, record, totals)
        check_policies(link, record, totals)
        check_uses(link, record, totals)
        check_ends(link, totals, seen)
        totals["acked"] += record.acked
        record.request_ids.clear()
        history.append(record)
        assert not any(totals[bad] for bad in ("lost", "half", "immortal", "uses too many")), (cycle, totals)
    # What was right after its own kill must still be right after the later ones.
    for record in rng.sample(history, min(len(history), 20)):
        check_kv(link, record, totals)
        check_alive(link, record, totals)
        check_policies(link, record, totals)
    print(f"cycles {CYCLES}, acked writes {totals['acked']}, lost {totals['lost']}, half {totals['half']}, "
          f"unaudited {totals['unaudited']}, torn audit lines {totals['torn audit lines']}, immortal {totals['immortal']}, "
          f"uses too many {totals['uses too many']}, tokens seen {len(seen)}")
    assert totals["acked"] > CYCLES, "the load did nothing; the run proves nothing"
    assert (totals["lost"], totals["half"], totals["unaudited"]) == (0, 0, 0)
    assert (totals["immortal"], totals["uses too many"]) == (0, 0)
    # One line may be cut short by each kill; what follows it must begin on a line of its own.
    assert totals["torn audit lines"] <= CYCLES
