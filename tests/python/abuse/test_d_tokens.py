"""Rows D: tokens of both kinds, their uses, children, ends and wrapped answers."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from coffre_server import Server

RACES = int(os.environ.get("COFFRE_D8_ROUNDS", "15"))
FAILURES = int(os.environ.get("COFFRE_A10_ROUNDS", "40"))
MAKER = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    server = Server(binary, tmp_path_factory.mktemp("d")).bring_up()
    assert server.call("POST", "sys/policies/acl/maker", {"policy": MAKER}).status_code == 204
    assert server.call("POST", "sys/mounts/kv", {"type": "kv"}).status_code == 204
    assert server.call("POST", "kv/a", {"v": "1"}).status_code == 204
    yield server
    server.stop()


def made(server, body, token=None, path="auth/token/create"):
    answer = server.call("POST", path, body, token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()["auth"]


def status(server, method, path, token, body=None, **options):
    return server.call(method, path, body, token=token, **options).status_code


def lives(server, token):
    code = status(server, "GET", "auth/token/lookup-self", token)
    assert code in (200, 403), code
    return code == 200


def accessors(server):
    return set(server.call("LIST", "auth/token/accessors").json()["data"]["keys"])


def test_d1_batch_tokens_can_do_less_and_die_with_their_parent(server):
    """A batch token makes, renews, keeps and revokes nothing, is never root, and ends with its parent unless an orphan."""
    parent = made(server, {"policies": ["maker"]})["client_token"]
    batch = {"type": "batch", "policies": ["maker"], "ttl": "10m"}
    token, orphan = made(server, batch, parent)["client_token"], made(server, batch | {"no_parent": True}, parent)["client_token"]
    assert token.startswith("hvb.")
    assert status(server, "GET", "kv/a", token) == 200
    before = accessors(server)
    for path, body in [
        ("auth/token/create", {}),
        ("auth/token/create", {"type": "batch"}),
        ("auth/token/create-orphan", {}),
        ("auth/token/renew-self", {}),
        ("auth/token/renew", {"token": token}),
        ("auth/token/revoke-self", {}),
        ("auth/token/revoke", {"token": token}),
    ]:
        assert status(server, "POST", path, token, body) == 400, path
    assert status(server, "POST", "cubbyhole/a", token, {"v": "x"}) in (400, 403)
    for refused in [{"policies": ["root"]}, {"num_uses": 1}, {"period": "1h"}, {"explicit_max_ttl": "1h"}, {"id": "chosen-one"}]:
        assert status(server, "POST", "auth/token/create", None, {"type": "batch", "policies": ["maker"]} | refused) == 400, refused
    assert accessors(server) <= before  # others may have ended meanwhile
    assert lives(server, token) and lives(server, orphan)
    assert status(server, "POST", "auth/token/revoke", None, {"token": parent}) == 204
    assert not lives(server, token) and lives(server, orphan)


def test_d1_batch_tokens_outlive_restart_and_rotation(binary, tmp_path):
    """A cluster that is sealed, rotated and started anew accepts the batch tokens that it gave before."""
    server = Server(binary, tmp_path / "server").bring_up()
    try:
        token = made(server, {"type": "batch", "policies": ["default"], "ttl": "1h"})["client_token"]
        assert status(server, "POST", "sys/rotate", None) == 204
        server.kill()
        server.start().unseal()
        data = server.call("GET", "auth/token/lookup-self", token=token).json()["data"]
        assert (data["type"], data["accessor"], data["renewable"]) == ("batch", "", False)
    finally:
        server.stop()


def test_d2_uses_are_exact_when_200_ask_at_once(server):
    """Of 200 requests at once with a token of 10 uses exactly 10 are served; what policy refuses costs a use too."""
    token = made(server, {"policies": ["maker"], "num_uses": 10})["client_token"]
    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(lambda _: status(server, "GET", "kv/a", token), range(200)))
    assert (codes.count(200), codes.count(403)) == (10, 190)
    token = made(server, {"policies": ["default"], "num_uses": 2})["client_token"]
    assert [status(server, "GET", "kv/a", token) for _ in range(2)] == [403, 403]
    assert not lives(server, token)


def test_d2_a_kill_gives_no_use_twice(binary, tmp_path):
    """A server that is killed in the middle has served at most the token's number of uses in all its lives."""
    server = Server(binary, tmp_path / "server").bring_up()
    try:
        token = made(server, {"policies": ["default"], "num_uses": 60})["client_token"]
        served, stop = [], threading.Event()

        def ask(_):
            while not stop.is_set():
                try:
                    code = status(server, "GET", "auth/token/lookup-self", token)
                except requests.RequestException:
                    return
                if code != 200:
                    return
                served.append(code)

        for pause in (0.05, 0.15):
            with ThreadPoolExecutor(8) as pool:
                asking = [pool.submit(ask, n) for n in range(8)]
                time.sleep(pause)
                server.kill()
                stop.set()
                [one.result() for one in asking]
            stop.clear()
            server.start().unseal()
        while lives(server, token):
            served.append(200)
            assert len(served) <= 60
        assert len(served) <= 60
    finally:
        server.stop()


def test_d3_a_token_of_few_uses_makes_no_children(server):
    """Whoever holds a token of few uses cannot turn it into one of many."""
    token = made(server, {"policies": ["maker"], "num_uses": 5})["client_token"]
    before = accessors(server)
    assert status(server, "POST", "auth/token/create", token, {}) == 400
    assert status(server, "POST", "auth/token/create-orphan", token, {}) == 400
    assert status(server, "POST", "auth/token/create", token, {"type": "batch"}) == 400
    assert accessors(server) <= before  # others may have ended meanwhile


def wrapped(server, body, ttl="60s"):
    answer = server.call("POST", "sys/wrapping/wrap", body, headers={"X-Vault-Wrap-TTL": ttl})
    return answer.json()["wrap_info"]


def test_d4_one_of_100_unwraps_gets_the_answer(server):
    """A wrapped answer is given once, however many ask at the same moment, and the rest is in the audit log."""
    token = wrapped(server, {"v": "once"})["token"]
    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(lambda _: status(server, "POST", "sys/wrapping/unwrap", "", {"token": token}), range(100)))
    assert (codes.count(200), codes.count(400)) == (1, 99)
    for path in ("lookup", "unwrap", "rewrap"):
        assert status(server, "POST", f"sys/wrapping/{path}", None, {"token": token}) == 400, path
    unwraps = [line for line in server.audit.read_text().splitlines() if "sys/wrapping/unwrap" in line and '"type":"response"' in line]
    assert len(unwraps) >= 101


def test_d5_wrapping_tokens_and_tokens_are_not_confused(server):
    """An ordinary token is not unwrapped nor used up by the try; a wrapping token opens nothing else; forged ones nothing."""
    token = made(server, {"policies": ["maker"], "num_uses": 3})["client_token"]
    assert status(server, "POST", "sys/wrapping/unwrap", None, {"token": token}) == 400
    data = server.call("POST", "auth/token/lookup", {"token": token}).json()["data"]
    assert data["num_uses"] == 3
    wrap = wrapped(server, {"v": "x"})
    assert status(server, "GET", "kv/a", wrap["token"]) == 403
    wrap = wrapped(server, {"v": "x"})
    shown = server.call("POST", "sys/wrapping/lookup", {"token": wrap["token"]}).json()["data"]
    assert shown["creation_path"] == "sys/wrapping/wrap"
    forged = "eyJhbGciOiJub25lIn0.eyJ0eXBlIjoid3JhcHBpbmcifQ."
    assert status(server, "POST", "sys/wrapping/unwrap", None, {"token": forged}) == 400
    assert status(server, "POST", "sys/wrapping/unwrap", forged) in (400, 403)


def test_d6_a_cubbyhole_belongs_to_one_token(server):
    """Neither parent, root, accessor nor a later token of the same id reads what a token put into its cubbyhole."""
    parent = made(server, {"policies": ["maker"]})["client_token"]
    child = made(server, {"policies": ["maker"], "id": "cubby-owner"}, parent)
    token = child["client_token"]
    assert status(server, "POST", "cubbyhole/a", token, {"v": "mine"}) == 204
    for other in (parent, server.root, made(server, {"policies": ["maker"]}, token)["client_token"]):
        assert status(server, "GET", "cubbyhole/a", other) == 404
    assert status(server, "GET", "cubbyhole/a", child["accessor"]) == 403
    assert status(server, "POST", "auth/token/revoke", None, {"token": token}) == 204
    again = made(server, {"policies": ["maker"], "id": "cubby-owner"})["client_token"]
    assert again == token
    assert status(server, "GET", "cubbyhole/a", again) == 404


def test_d8_no_child_outlives_a_parent_that_is_revoked_meanwhile(server):
    """However creating and revoking meet, afterwards no child of a revoked parent is let in."""
    for _ in range(RACES):
        parent = made(server, {"policies": ["maker"]})["client_token"]
        children, kinds = [], ["service", "batch"]
        with ThreadPoolExecutor(9) as pool:
            body = {"policies": ["default"], "ttl": "1h"}
            making = [pool.submit(server.call, "POST", "auth/token/create", body | {"type": kinds[n % 2]}, token=parent) for n in range(8)]
            pool.submit(server.call, "POST", "auth/token/revoke", {"token": parent}).result()
            for one in making:
                answer = one.result()
                assert answer.status_code in (200, 403), answer.text
                if answer.status_code == 200:
                    children.append(answer.json()["auth"]["client_token"])
        assert not any(lives(server, child) for child in children)


def test_d9_no_renewal_passes_the_explicit_maximum(server):
    """Renewed again and again with odd increments, a token ends at its explicit maximum, and never looks endless."""
    token = made(server, {"policies": ["default"], "explicit_max_ttl": "5s"})["client_token"]
    begun = time.monotonic()
    increments = [0, 1, -1, 10**18, "9999999h", 1e308, "60s"]
    ended = None
    for step in range(200):
        answer = server.call("POST", "auth/token/renew-self", {"increment": increments[step % len(increments)]}, token=token)
        assert answer.status_code in (200, 400, 403), answer.text
        if answer.status_code == 200:
            assert 1 <= answer.json()["auth"]["lease_duration"] <= 5
        if answer.status_code == 403:
            ended = time.monotonic() - begun
            break
        time.sleep(0.05)
    assert ended is not None and 4 <= ended <= 6.5, ended
    assert not lives(server, token)


def test_d17_chosen_ids_need_sudo_and_a_form(server):
    """Only who may do all chooses an id, and none that is short, looks like a path or another kind, or exists."""
    assert status(server, "POST", "sys/policies/acl/plain", None, {"policy": 'path "auth/token/create" { capabilities = ["update"] }'}) == 204
    plain = made(server, {"policies": ["plain"]})["client_token"]
    before = accessors(server)
    assert status(server, "POST", "auth/token/create", plain, {"id": "chosen-by-plain"}) == 400
    for odd in ["a", "s.x", "../x", "x.y", "hvs.abcdefgh", "hvb.abcdefgh", server.root]:
        assert status(server, "POST", "auth/token/create", None, {"id": odd}) == 400, odd
    assert accessors(server) <= before  # others may have ended meanwhile
    answer = server.call("POST", "auth/token/create", {"id": "chosen-by-root", "policies": ["default"]})
    assert answer.status_code == 200 and answer.json()["warnings"]
    assert status(server, "POST", "auth/token/create", None, {"id": "chosen-by-root"}) == 400


def test_d18_a_root_that_ends_makes_no_root_that_does_not(server):
    """A root token with an end cannot make one without, by no way of asking."""
    brief = made(server, {"policies": ["root"], "ttl": "10m"})["client_token"]
    before = accessors(server)
    for path, body in [
        ("auth/token/create", {}),
        ("auth/token/create", {"policies": ["root"]}),
        ("auth/token/create", {"policies": ["root"], "no_parent": True}),
        ("auth/token/create", {"policies": ["root"], "ttl": "0"}),
        ("auth/token/create-orphan", {"policies": ["root"]}),
    ]:
        assert status(server, "POST", path, brief, body) == 400, (path, body)
    assert accessors(server) <= before  # others may have ended meanwhile
    assert made(server, {"policies": ["root"], "ttl": "1m"}, brief)["lease_duration"] == 60


def test_d19_an_accessor_is_not_a_token(server):
    """With an accessor nobody gets in, and looking up by accessor shows no token."""
    auth = made(server, {"policies": ["default"]})
    assert status(server, "GET", "auth/token/lookup-self", auth["accessor"]) == 403
    data = server.call("POST", "auth/token/lookup-accessor", {"accessor": auth["accessor"]}).json()["data"]
    assert data["id"] == "" and auth["client_token"] not in str(data)
    renewed = server.call("POST", "auth/token/renew-accessor", {"accessor": auth["accessor"]}).json()["auth"]
    assert renewed["client_token"] == ""
    unknown = server.call("POST", "auth/token/revoke-accessor", {"accessor": "nobodys"})
    assert unknown.status_code == 200 and unknown.json()["warnings"]


def test_d21_no_spelling_of_a_ttl_means_no_end(server):
    """A lifetime that makes no sense is refused or cut; never does it become a token without an end."""
    for ttl in ["1", 1.5, "1h1", "∞", "-1", -1, 10**18, "9999999h", 1e308, "1e5", "0x10", True, [], {"a": 1}, "NaN"]:
        for field in ("ttl", "explicit_max_ttl", "period"):
            answer = server.call("POST", "auth/token/create", {"policies": ["default"], field: ttl})
            assert answer.status_code in (200, 400), (field, ttl, answer.text)
            if answer.status_code == 200:
                assert 1 <= answer.json()["auth"]["lease_duration"] <= 768 * 3600, (field, ttl)
                token = answer.json()["auth"]["client_token"]
                data = server.call("POST", "auth/token/lookup", {"token": token}).json()["data"]
                assert data["expire_time"] is not None


def test_a10_failing_logins_leave_no_tokens(server):
    """Logins that fail, for whatever reason, leave neither tokens nor accessors behind."""
    assert status(server, "POST", "sys/auth/approle", None, {"type": "approle"}) == 204
    role = {"token_policies": "default", "token_bound_cidrs": "10.99.0.0/16"}
    assert status(server, "POST", "auth/approle/role/r", None, role) == 204
    role_id = server.call("GET", "auth/approle/role/r/role-id").json()["data"]["role_id"]
    secret_id = server.call("POST", "auth/approle/role/r/secret-id").json()["data"]["secret_id"]
    before = accessors(server)
    for _ in range(FAILURES):
        for body in [
            {"role_id": role_id, "secret_id": secret_id},  # right, but from outside the token's networks
            {"role_id": role_id, "secret_id": "wrong"},
            {"role_id": "wrong", "secret_id": secret_id},
            {},
        ]:
            answer = server.call("POST", "auth/approle/login", body, token="")
            assert answer.status_code in (400, 403) and "auth" not in answer.json()
    assert accessors(server) <= before  # others may have ended meanwhile
