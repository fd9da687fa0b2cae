"""Tokens of an entity that is disabled or gone: row D20 of the abuse cases."""

import pytest


@pytest.fixture(scope="module")
def people(server):
    """Makes logins of one role; each is the whole `auth` block."""
    server.call("POST", "sys/auth/approle", {"type": "approle"})
    server.call("PUT", "sys/policies/acl/d20", {"policy": 'path "auth/token/create*" { capabilities = ["update", "sudo"] }'})

    def login(role: str):
        server.call("POST", f"auth/approle/role/{role}", {"token_policies": "default,d20"})
        role_id = server.call("GET", f"auth/approle/role/{role}/role-id").json()["data"]["role_id"]
        secret_id = server.call("POST", f"auth/approle/role/{role}/secret-id").json()["data"]["secret_id"]
        return server.call("POST", "auth/approle/login", {"role_id": role_id, "secret_id": secret_id}, token="")

    return login


def may(server, auth: dict) -> int:
    return server.call("GET", "auth/token/lookup-self", token=auth["client_token"]).status_code


def test_d20_a_disabled_entity_opens_nothing(server, people):
    """From the next request on, every token of a disabled entity is refused, its children too, and no login succeeds."""
    tokens = [people("d20").json()["auth"] for _ in range(3)]
    entity = tokens[0]["entity_id"]
    tokens.append(server.call("POST", "auth/token/create", {"policies": "default"}, token=tokens[0]["client_token"]).json()["auth"])
    other = people("d20-other").json()["auth"]
    for _ in range(3):
        assert [may(server, token) for token in tokens] == [200] * 4
        assert server.call("POST", f"identity/entity/id/{entity}", {"disabled": True}).status_code == 204
        assert [may(server, token) for token in tokens] == [403] * 4
        assert server.call("POST", "cubbyhole/a", {"v": "1"}, token=tokens[1]["client_token"]).status_code == 403
        assert server.call("POST", "auth/token/renew-self", {}, token=tokens[1]["client_token"]).status_code == 403
        refused = people("d20")
        assert refused.status_code == 403 and "client_token" not in refused.text
        assert may(server, other) == 200
        accessor = {"accessor": tokens[1]["accessor"], "paths": ["cubbyhole/a"]}
        assert server.call("POST", "sys/capabilities-accessor", accessor).json()["capabilities"] == ["deny"]
        assert server.call("POST", f"identity/entity/id/{entity}", {"disabled": False}).status_code == 204
    assert server.call("GET", "cubbyhole/a", token=tokens[1]["client_token"]).status_code == 404


@pytest.mark.parametrize("how", ["id", "name", "batch"])
def test_d20_a_deleted_entity_opens_nothing(server, people, how):
    """From the next request on, every token of a deleted entity is refused; the next login makes another entity."""
    auth = people(f"d20-{how}").json()["auth"]
    entity = auth["entity_id"]
    name = server.call("GET", f"identity/entity/id/{entity}").json()["data"]["name"]
    assert may(server, auth) == 200
    deleted = {
        "id": lambda: server.call("DELETE", f"identity/entity/id/{entity}"),
        "name": lambda: server.call("DELETE", f"identity/entity/name/{name}"),
        "batch": lambda: server.call("POST", "identity/entity/batch-delete", {"entity_ids": [entity]}),
    }[how]()
    assert deleted.status_code == 204
    assert may(server, auth) == 403
    again = people(f"d20-{how}").json()["auth"]
    assert again["entity_id"] not in ("", entity) and may(server, again) == 200
    assert may(server, auth) == 403


def test_d20_it_stays_so_over_a_restart(fresh_server):
    """A disabled entity's tokens are refused by the first request after a restart."""
    server = fresh_server
    server.call("POST", "sys/auth/approle", {"type": "approle"})
    server.call("POST", "auth/approle/role/d20", {"token_policies": "default"})
    role_id = server.call("GET", "auth/approle/role/d20/role-id").json()["data"]["role_id"]
    secret_id = server.call("POST", "auth/approle/role/d20/secret-id").json()["data"]["secret_id"]
    auth = server.call("POST", "auth/approle/login", {"role_id": role_id, "secret_id": secret_id}, token="").json()["auth"]
    server.call("POST", f"identity/entity/id/{auth['entity_id']}", {"disabled": True})
    server.kill()
    server.start()
    server.unseal()
    assert may(server, auth) == 403
    server.call("POST", f"identity/entity/id/{auth['entity_id']}", {"disabled": False})
    assert may(server, auth) == 200
