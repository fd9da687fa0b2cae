"""Rows D7, D10 to D13 as far as tokens show them: a token is a lease of the path that made it."""

import time

import pytest

from coffre_server import Server


@pytest.fixture
def server(binary, tmp_path):
    server = Server(binary, tmp_path).bring_up()
    yield server
    server.stop()


def make(server, token=None, **body):
    answer = server.call("POST", "auth/token/create", {"ttl": "1h", **body}, token)
    assert answer.status_code == 200, answer.text
    return answer.json()["auth"]["client_token"]


def lives(server, token):
    return server.call("GET", "auth/token/lookup-self", token=token).status_code == 200


def users(server, path, names):
    assert server.call("POST", f"sys/auth/{path}", {"type": "userpass"}).status_code == 204
    tokens = {}
    for name in names:
        assert server.call("POST", f"auth/{path}/users/{name}", {"password": "pw"}).status_code == 204
        login = server.call("POST", f"auth/{path}/login/{name}", {"password": "pw"})
        tokens[name] = login.json()["auth"]["client_token"]
    return tokens


def test_d10_what_a_method_gave_ends_with_it_also_through_a_kill(server):
    """After a method was disabled, no token that its logins made works, and none stands in a lease list."""
    tokens = users(server, "going", [f"user{n}" for n in range(10)])
    assert server.call("DELETE", "sys/auth/going").status_code == 204
    server.kill()
    server.start()
    server.unseal()
    assert not any(lives(server, token) for token in tokens.values())
    assert server.call("LIST", "sys/leases/lookup/auth/going").status_code == 404


def test_d11_knowing_a_lease_id_is_not_enough(server):
    """Without a grant for it nobody looks up, renews or revokes a lease, by whatever path."""
    victim = users(server, "some", ["ann"])["ann"]
    folder = "auth/some/login/ann"
    name = server.call("LIST", f"sys/leases/lookup/{folder}").json()["data"]["keys"][0]
    lease = f"{folder}/{name}"
    other = make(server, policies=["nothing"], no_default_policy=True)
    for path in ["leases/lookup", "leases/renew", "leases/revoke", f"leases/revoke/{lease}", "revoke", "renew",
                 f"leases/revoke-prefix/{folder}", f"leases/revoke-force/{folder}"]:
        refused = server.call("PUT", f"sys/{path}", {"lease_id": lease}, other)
        assert refused.status_code == 403, path
    assert server.call("PUT", "sys/revoke", {"lease_id": lease}).status_code == 404
    assert server.call("PUT", "sys/leases/renew", {"lease_id": lease}).status_code == 400
    assert lives(server, victim)
    rule = 'path "sys/leases/revoke/auth/some/*" { capabilities = ["update"] }'
    assert server.call("POST", "sys/policies/acl/some", {"policy": rule}).status_code == 204
    granted = make(server, policies=["some"], no_default_policy=True)
    assert server.call("PUT", "sys/leases/revoke", {"lease_id": lease}, granted).status_code == 403
    assert lives(server, victim)
    assert server.call("PUT", f"sys/leases/revoke/{lease}", {"sync": True}, granted).status_code == 204
    assert not lives(server, victim)


def test_d12_a_prefix_is_whole_segments(server):
    """Revoking what lies below `login/ann` does not touch `login/anna`."""
    tokens = users(server, "some", ["ann", "anna"])
    assert server.call("PUT", "sys/leases/revoke-prefix/auth/some/login/an", {"sync": True}).status_code == 204
    assert lives(server, tokens["ann"]) and lives(server, tokens["anna"])
    assert server.call("PUT", "sys/leases/revoke-prefix/auth/some/login/ann", {"sync": True}).status_code == 204
    assert not lives(server, tokens["ann"]) and lives(server, tokens["anna"])
    assert server.call("PUT", "sys/leases/revoke-prefix/auth/some/", {"sync": True}).status_code == 204
    assert not lives(server, tokens["anna"])


def test_d13_what_ended_while_the_server_was_down_is_refused_from_the_first_request(server):
    """A token whose time ran out while nobody served is refused by the first answer, and soon gone from the lists."""
    short, long = make(server, ttl="1s"), make(server)
    server.kill()
    time.sleep(1.5)
    server.start()
    server.unseal()
    assert not lives(server, short)
    assert lives(server, long)
    deadline = time.monotonic() + 30
    while len(server.call("LIST", "sys/leases/lookup/auth/token/create").json()["data"]["keys"]) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_d7_a_tree_falls_with_its_top_in_the_lease_lists_too(server):
    """Revoking a token as a lease ends its children; none of them stays listed."""
    rule = 'path "auth/token/create" { capabilities = ["update"] }'
    assert server.call("POST", "sys/policies/acl/maker", {"policy": rule}).status_code == 204
    top = make(server, policies=["maker"])
    name = server.call("LIST", "sys/leases/lookup/auth/token/create").json()["data"]["keys"][0]
    child = make(server, top)
    leaf = make(server, child)
    lease = f"auth/token/create/{name}"
    assert server.call("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True}).status_code == 204
    assert not any(lives(server, token) for token in [top, child, leaf])
    assert server.call("LIST", "sys/leases/lookup/auth/token/create").status_code == 404


def test_a_mounts_lifetimes_are_those_of_its_tokens_and_secrets(server):
    """`default_lease_ttl` of a mount is the life of what it gives when nothing else is said."""
    config = {"type": "userpass", "config": {"default_lease_ttl": "10m", "max_lease_ttl": "20m"}}
    assert server.call("POST", "sys/auth/brief", config).status_code == 204
    assert server.call("POST", "auth/brief/users/ann", {"password": "pw"}).status_code == 204
    login = server.call("POST", "auth/brief/login/ann", {"password": "pw"}).json()["auth"]
    assert login["lease_duration"] == 600
    mount = {"type": "kv", "config": {"default_lease_ttl": "5m"}}
    assert server.call("POST", "sys/mounts/kv1", mount).status_code == 204
    assert server.call("POST", "kv1/a", {"v": "x"}).status_code == 204
    read = server.call("GET", "kv1/a").json()
    assert (read["lease_duration"], read["lease_id"], read["renewable"]) == (300, "", False)


def test_the_calls_of_operators(server):
    """Counting, tidying and listing trouble answer as Vault's clients expect."""
    assert server.call("GET", "sys/leases/count?type=irrevocable").json()["data"] == {"lease_count": 0, "counts": {}}
    trouble = server.call("GET", "sys/leases?type=irrevocable").json()["data"]
    assert trouble == {"lease_count": 0, "leases": []}
    tidied = server.call("POST", "sys/leases/tidy")
    assert tidied.status_code == 202 and tidied.json()["warnings"]
    lost = server.call("PUT", "sys/leases/lookup", {"lease_id": "none/such"})
    assert (lost.status_code, lost.json()["errors"]) == (400, ["invalid lease"])
    revoked = server.call("PUT", "sys/leases/revoke", {"lease_id": "none/such"})
    assert (revoked.status_code, revoked.content) == (202, b"")
