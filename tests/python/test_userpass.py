"""Userpass as hvac and plain requests see it: users, logins, imported hashes, renewal, lockout by configuration."""

import json

import hvac
import pytest

from coffre_server import Server

# Made with the Python package bcrypt 5, of "from elsewhere" and of 72 times "a".
ELSEWHERE = "$2b$05$m11eXhJCwhr5VDUdPAJyoOpSfQ70Ptv8Nfcue6zZkU6CH3AU4jdzO"
LONG = "$2b$05$8HKeip6G.nZ1yuMo9ruJ.ezj.Z37VHPfs1x.AdD9qsVgQGfVi5Tte"


@pytest.fixture(scope="module")
def client(server):
    client = server.client()
    client.sys.enable_auth_method("userpass")
    return client


def login(server, name, password, mount="userpass"):
    return server.call("POST", f"auth/{mount}/login/{name}", {"password": password}, token="")


def test_a_user_s_life(client, server):
    users = client.auth.userpass
    with pytest.raises(hvac.exceptions.InvalidPath):
        users.list_user()
    users.create_or_update_user("Mitch", "m1tch", policies="b,A", token_ttl="1h")
    assert users.list_user()["data"]["keys"] == ["mitch"]
    read = users.read_user("mitch")["data"]
    assert read["policies"] == read["token_policies"] == ["a", "b"], "written under the older name, shown under both"
    assert (read["token_ttl"], read["token_type"], read["token_bound_cidrs"]) == (3600, "default", [])
    assert "m1tch" not in json.dumps(read) and "argon2" not in json.dumps(read).lower()
    auth = users.login("MITCH", "m1tch", use_token=False)["auth"]
    assert auth["metadata"] == {"username": "mitch"}
    assert auth["token_policies"] == ["a", "b", "default"] and auth["lease_duration"] == 3600
    seen = client.auth.token.lookup(auth["client_token"])["data"]
    assert seen["display_name"] == "userpass-mitch" and seen["path"] == "auth/userpass/login/mitch"
    users.update_password_on_user("mitch", "other")
    assert login(server, "mitch", "m1tch").status_code == 400
    assert login(server, "mitch", "other").status_code == 200
    assert server.call("POST", "auth/userpass/users/mitch/policies", {"token_policies": ["c"]}).status_code == 204
    read = users.read_user("mitch")["data"]
    assert read["token_policies"] == ["c"] and "policies" not in read
    users.delete_user("mitch")
    users.delete_user("mitch")
    with pytest.raises(hvac.exceptions.InvalidPath):
        users.read_user("mitch")
    gone = login(server, "mitch", "other")
    assert (gone.status_code, gone.json()["errors"]) == (400, ["invalid username or password"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"password": ""},
        {"password": "x", "password_hash": "$2b$04$" + "a" * 53},
        {"password_hash": "$1$no$bcrypt"},
        {"password": "x", "token_ttl": "2h", "token_max_ttl": "1h"},
        {"password": "x", "token_type": "batch", "token_num_uses": 1},
        {"password": "x", "token_policies": "root"},
        {"password": "x", "token_bound_cidrs": "10.0.0.1/8"},
    ],
)
def test_what_is_refused_leaves_nothing(client, server, body):
    assert server.call("POST", "auth/userpass/users/refused", body).status_code == 400
    assert server.call("GET", "auth/userpass/users/refused").status_code == 404


def test_a_change_of_what_is_not_there(client, server):
    assert server.call("POST", "auth/userpass/users/nobody/password", {"password": "x"}).status_code == 404
    assert server.call("POST", "auth/userpass/users/nobody/policies", {"policies": "x"}).status_code == 404


def test_an_imported_hash_is_replaced_at_the_first_login(client, server):
    assert server.call("POST", "auth/userpass/users/moved", {"password_hash": ELSEWHERE}).status_code == 204
    assert login(server, "moved", "wrong").status_code == 400
    for _ in range(2):
        assert login(server, "moved", "from elsewhere").status_code == 200
    assert server.call("POST", "auth/userpass/users/long", {"password_hash": LONG}).status_code == 204
    for wrong in ["a" * 72 + "b", "a" * 71 + "\0"]:
        assert login(server, "long", wrong).status_code == 400
    assert login(server, "long", "a" * 72).status_code == 200


def test_a_login_from_elsewhere_is_refused(client, server):
    bound = {"password": "x", "token_bound_cidrs": "10.0.0.0/8"}
    assert server.call("POST", "auth/userpass/users/bound", bound).status_code == 204
    refused = login(server, "bound", "x")
    assert refused.status_code == 403 and "permission denied" in refused.json()["errors"][0]
    assert server.call("POST", "auth/userpass/users/bound", {"token_bound_cidrs": "127.0.0.0/8"}).status_code == 204
    assert login(server, "bound", "x").status_code == 200


def test_a_batch_token(client, server):
    user = {"password": "x", "token_type": "batch"}
    assert server.call("POST", "auth/userpass/users/light", user).status_code == 204
    auth = login(server, "light", "x").json()["auth"]
    assert auth["token_type"] == "batch" and auth["client_token"].startswith("hvb.")


def test_renewal_asks_the_user_again(client, server):
    write = lambda body: server.call("POST", "auth/userpass/users/renewer", body)
    renew = lambda token: server.call("POST", "auth/token/renew-self", {}, token=token).status_code
    assert write({"password": "x", "token_policies": "a"}).status_code == 204
    token = login(server, "renewer", "x").json()["auth"]["client_token"]
    assert renew(token) == 200
    assert write({"token_policies": "a,b"}).status_code == 204
    assert renew(token) == 400
    assert write({"token_policies": "a"}).status_code == 204
    assert renew(token) == 200
    assert server.call("DELETE", "auth/userpass/users/renewer").status_code == 204
    assert renew(token) == 400
    assert write({"password": "x", "token_policies": "a"}).status_code == 204
    assert renew(token) == 400, "a user of the same name is somebody else"


def test_policies_see_one_spelling(client, server):
    rules = 'path "auth/userpass/users/*" { capabilities = ["read"] } path "auth/userpass/users/guarded" { capabilities = ["deny"] }'
    client.sys.create_or_update_acl_policy("reader", rules)
    token = client.auth.token.create(policies=["reader"])["auth"]["client_token"]
    assert server.call("POST", "auth/userpass/users/guarded", {"password": "x"}).status_code == 204
    for name in ["guarded", "Guarded", "GUARDED"]:
        assert server.call("GET", f"auth/userpass/users/{name}", token=token).status_code == 403


def test_the_command_line_logs_in(client, server, binary, tmp_path):
    import subprocess

    from coffre_server import clean_environment

    assert server.call("POST", "auth/userpass/users/typed", {"password": "x"}).status_code == 204
    command = [binary, "login", "-method=userpass", "-token-only", "username=typed", "password=x"]
    env = clean_environment(VAULT_ADDR=server.address, HOME=str(tmp_path))
    token = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()
    assert client.auth.token.lookup(token)["data"]["display_name"] == "userpass-typed"


def test_lockout_by_configuration(binary, tmp_path):
    server = Server(binary, tmp_path / "lockout")
    config = json.loads(server.config.read_text())
    config["user_lockout"] = {"all": {"lockout_duration": "30m"}, "userpass": {"lockout_threshold": "2"}}
    server.config.write_text(json.dumps(config))
    server.bring_up()
    try:
        server.client().sys.enable_auth_method("userpass")
        assert server.call("POST", "auth/userpass/users/alice", {"password": "x"}).status_code == 204
        for _ in range(2):
            assert login(server, "alice", "wrong").status_code == 400
        assert login(server, "alice", "x").status_code == 403
        accessor = server.client().sys.list_auth_methods()["data"]["userpass/"]["accessor"]
        locked = server.call("GET", "sys/locked-users", params={"mount_accessor": accessor}).json()["data"]
        assert locked["total"] == 1 and locked["by_namespace"][0]["mount_accessors"][0]["alias_identifiers"] == ["alice"]
        assert server.call("POST", f"sys/locked-users/{accessor}/unlock/alice").status_code == 204
        assert login(server, "alice", "x").status_code == 200
    finally:
        server.stop()
