"""Rows E: AppRole, where somebody guesses, replays, reaches for another role's things, or races."""

import os
import statistics
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from coffre_server import Server

ROUNDS = int(os.environ.get("COFFRE_E2_ROUNDS", "150"))
TIDIES = int(os.environ.get("COFFRE_E10_ROUNDS", "60"))
OFF = {"type": "approle", "config": {"user_lockout_config": {"lockout_disable": True}}}


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    server = Server(binary, tmp_path_factory.mktemp("e")).bring_up()
    assert server.call("POST", "sys/auth/approle", OFF).status_code == 204
    yield server
    server.stop()


def role(server, name, **fields):
    assert server.call("POST", f"auth/approle/role/{name}", fields or {"token_policies": "default"}).status_code == 204
    return server.call("GET", f"auth/approle/role/{name}/role-id").json()["data"]["role_id"]


def secret(server, name, **fields):
    answer = server.call("POST", f"auth/approle/role/{name}/secret-id", fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def login(server, role_id, secret_id, mount="approle", session=requests):
    url = f"{server.address}/v1/auth/{mount}/login"
    return session.post(url, json={"role_id": role_id, "secret_id": secret_id}, timeout=30)


def test_e1_a_limited_secret_id_gives_no_more_tokens_than_it_may(server):
    """A secret id for five uses gives five tokens, however many ask at once."""
    role_id = role(server, "e1")
    made = secret(server, "e1", num_uses=5)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: login(server, role_id, made["secret_id"]).status_code, range(100)))
    assert (answers.count(200), answers.count(400)) == (5, 95)


def test_e2_an_unknown_role_looks_like_a_wrong_secret(server):
    """A login tells nobody whether a role id exists: same status, same text, same time."""
    known, session = role(server, "e2"), requests.Session()
    best = None
    for _ in range(12):  # A busy machine is given its chances; a difference in the work shows in all of them.
        times = {known: [], str(uuid.uuid4()): []}
        for _ in range(ROUNDS):
            for role_id, spent in times.items():
                begun = time.perf_counter()
                answer = login(server, role_id, str(uuid.uuid4()), session=session)
                spent.append(time.perf_counter() - begun)
                assert (answer.status_code, answer.json()["errors"]) == (400, ["invalid role or secret ID"])
        medians = [statistics.median(spent) for spent in times.values()]
        best = max(medians) / min(medians)
        if best < 1.05:
            return
    pytest.fail(f"ratio of medians: {best}")


def test_e3_no_role_destroys_another_s_secret_id(server):
    """An accessor means nothing below another role: what it names stays and works."""
    role_id, _ = role(server, "e3a"), role(server, "e3b")
    made = secret(server, "e3a")
    path, body = "auth/approle/role/e3b/secret-id-accessor", {"secret_id_accessor": made["secret_id_accessor"]}
    for verb in ["destroy", "lookup"]:
        assert server.call("POST", f"{path}/{verb}", body).status_code in (403, 404)
    assert login(server, role_id, made["secret_id"]).status_code == 200


def test_e4_only_accessors_are_listed(server):
    """A list of secret ids shows accessors and nothing else; a secret id of another role is not found."""
    role(server, "e4a"), role(server, "e4b")
    made = [secret(server, "e4a") for _ in range(3)]
    listed = server.call("LIST", "auth/approle/role/e4a/secret-id")
    assert sorted(listed.json()["data"]["keys"]) == sorted(one["secret_id_accessor"] for one in made)
    assert not any(one["secret_id"] in listed.text for one in made)
    body = {"secret_id": made[0]["secret_id"]}
    assert server.call("POST", "auth/approle/role/e4b/secret-id/lookup", body).status_code in (204, 404)
    own = server.call("POST", "auth/approle/role/e4a/secret-id/lookup", body)
    assert own.status_code == 200 and made[0]["secret_id"] not in own.text


def test_e5_networks_bind_where_they_are_written(server):
    """A secret id's networks lie within the role's, a login from outside is refused, and a token keeps its own."""
    role_id = role(server, "e5", secret_id_bound_cidrs="127.0.0.0/8,10.0.0.0/8", token_bound_cidrs="127.0.0.0/16")
    assert server.call("POST", "auth/approle/role/e5/secret-id", {"cidr_list": "0.0.0.0/0"}).status_code == 400
    outside = secret(server, "e5", cidr_list=["10.0.0.0/16"])
    assert login(server, role_id, outside["secret_id"]).status_code == 403
    inside = secret(server, "e5", cidr_list=["127.0.0.1/32"])
    auth = login(server, role_id, inside["secret_id"]).json()["auth"]
    seen = server.call("POST", "auth/token/lookup", {"token": auth["client_token"]}).json()["data"]
    assert seen["bound_cidrs"] == ["127.0.0.0/16"]


def test_e6_a_role_made_again_is_another_role(server):
    """Secret ids and the role id of a deleted role do not come back with its name."""
    old_id = role(server, "e6")
    old = secret(server, "e6")["secret_id"]
    assert server.call("DELETE", "auth/approle/role/e6").status_code == 204
    new_id = role(server, "e6")
    assert new_id != old_id
    for role_id in (old_id, new_id):
        assert login(server, role_id, old).status_code == 400
    assert server.call("LIST", "auth/approle/role/e6/secret-id").status_code == 404


def test_e7_a_role_s_name_has_one_case(server):
    """`ADMIN_ROLE` and `admin_role` are one role, for policies as well."""
    one = role(server, "ADMIN_ROLE")
    assert server.call("GET", "auth/approle/role/admin_role/role-id").json()["data"]["role_id"] == one
    rules = 'path "auth/approle/role/*" { capabilities = ["read"] } path "auth/approle/role/admin_role" { capabilities = ["deny"] }'
    client = server.client()
    client.sys.create_or_update_acl_policy("e7", rules)
    token = client.auth.token.create(policies=["e7"])["auth"]["client_token"]
    for name in ["admin_role", "ADMIN_ROLE", "Admin_Role"]:
        assert server.call("GET", f"auth/approle/role/{name}", token=token).status_code == 403
    made = login(server, one, secret(server, "Admin_Role")["secret_id"]).json()["auth"]
    assert made["metadata"]["role_name"] == "admin_role"


def test_e8_chosen_ids_are_not_shared(server):
    """A role id or secret id that is taken is refused, as is one of a few characters."""
    role(server, "e8a", role_id="chosen-role-id")
    assert server.call("POST", "auth/approle/role/e8b", {"role_id": "chosen-role-id"}).status_code == 400
    assert server.call("GET", "auth/approle/role/e8b").status_code == 404
    path = "auth/approle/role/e8a/custom-secret-id"
    assert server.call("POST", path, {"secret_id": "chosen-secret-id"}).status_code == 200
    assert server.call("POST", path, {"secret_id": "chosen-secret-id"}).status_code == 400
    assert server.call("POST", path, {"secret_id": "abc"}).status_code == 400
    assert login(server, "chosen-role-id", "chosen-secret-id").status_code == 200


def test_e9_a_role_without_any_guard_is_refused(server):
    """A role needs a secret id or a network; taking the last of them away is refused too."""
    assert server.call("POST", "auth/approle/role/e9", {"bind_secret_id": False}).status_code == 400
    role_id = role(server, "e9", bind_secret_id=True)
    assert server.call("POST", "auth/approle/role/e9/bind-secret-id", {"bind_secret_id": False}).status_code == 400
    assert login(server, role_id, "").status_code == 400


def test_e10_tidying_takes_no_valid_secret_id(server):
    """While expired secret ids are removed, logins with valid ones go on, and no accessor is left dangling."""
    role_id = role(server, "e10")
    kept = [secret(server, "e10") for _ in range(4)]

    def tidy(n):
        secret(server, "e10", ttl="1s")
        return server.call("POST", "auth/approle/tidy/secret-id").status_code

    with ThreadPoolExecutor(8) as pool:
        tidied = [pool.submit(tidy, n) for n in range(TIDIES // 3)]
        logins = [pool.submit(login, server, role_id, kept[n % 4]["secret_id"]) for n in range(TIDIES)]
        assert {one.result() for one in tidied} == {202}
        assert {one.result().status_code for one in logins} == {200}
    time.sleep(1.1)
    assert server.call("POST", "auth/approle/tidy/secret-id").status_code == 202
    keys = server.call("LIST", "auth/approle/role/e10/secret-id").json()["data"]["keys"]
    assert sorted(keys) == sorted(one["secret_id_accessor"] for one in kept)


def test_e11_the_first_logins_of_a_fresh_mount_do_not_block(server):
    """Fifty clients at once on a mount that was never used all get an answer in time."""
    assert server.call("POST", "sys/auth/e11", OFF).status_code == 204

    def first(_):
        begun = time.monotonic()
        status = login(server, "nobody", "nothing", mount="e11").status_code
        return status, time.monotonic() - begun

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(first, range(50)))
    assert {status for status, _ in answers} == {400}
    assert max(spent for _, spent in answers) < 2 * float(os.environ.get("COFFRE_SLOWNESS", "3"))
