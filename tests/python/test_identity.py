"""The identity store as hvac sees it: the calls of hvac's own tests for it, then what a login, a group and a template do."""

import concurrent.futures

import hvac.exceptions
import pytest


@pytest.fixture(scope="module")
def accessor(server) -> str:
    """The accessor of a login method."""
    server.call("POST", "sys/auth/people", {"type": "approle"})
    return server.call("GET", "sys/auth").json()["people/"]["accessor"]


@pytest.fixture
def identity(server):
    """hvac's identity API over an empty store."""
    identity = server.client().secrets.identity
    yield identity
    for listing, delete in [
        (identity.list_entities, identity.delete_entity),
        (identity.list_groups, identity.delete_group),
    ]:
        try:
            for name in listing()["data"]["keys"]:
                delete(name)
        except hvac.exceptions.InvalidPath:
            pass


def approle(server, mount: str, role: str, policies: str = "", **fields) -> tuple[str, str]:
    """A role's id and a secret id that does not wear out."""
    server.call("POST", f"auth/{mount}/role/{role}", {"token_policies": policies} | fields)
    role_id = server.call("GET", f"auth/{mount}/role/{role}/role-id").json()["data"]["role_id"]
    return role_id, server.call("POST", f"auth/{mount}/role/{role}/secret-id").json()["data"]["secret_id"]


def login(server, mount: str, credentials: tuple[str, str]):
    body = dict(zip(("role_id", "secret_id"), credentials))
    return server.call("POST", f"auth/{mount}/login", body, token="")


def write_policy(server, name: str, text: str) -> None:
    assert server.call("PUT", f"sys/policies/acl/{name}", {"policy": text}).status_code == 204


class TestEntities:
    @pytest.mark.parametrize("metadata", [None, {"something": "meta"}])
    def test_create_update_read(self, identity, metadata):
        made = identity.create_or_update_entity("test-entity", metadata=metadata)["data"]
        assert set(made) == {"id", "name", "aliases"} and made["aliases"] is None
        again = identity.create_or_update_entity("test-entity", entity_id=made["id"], metadata={"a": "b"})
        assert again.status_code == 204
        by_name = identity.create_or_update_entity_by_name("test-entity", policies=["default"])
        assert by_name.status_code == 204
        read = identity.read_entity(made["id"])["data"]
        assert read == identity.read_entity_by_name("test-entity")["data"]
        assert (read["metadata"], read["policies"], read["disabled"]) == ({"a": "b"}, ["default"], False)
        assert set(read) >= {
            "aliases", "creation_time", "direct_group_ids", "group_ids", "id", "inherited_group_ids",
            "last_update_time", "merged_entity_ids", "name", "namespace_id",
        }
        assert read["merged_entity_ids"] is None and read["aliases"] == [] and read["namespace_id"] == "root"
        assert identity.update_entity(made["id"], name="renamed").status_code == 204
        assert identity.read_entity_by_name("renamed")["data"]["id"] == made["id"]
        with pytest.raises(hvac.exceptions.InvalidPath):
            identity.read_entity_by_name("test-entity")

    def test_made_by_name_or_without(self, server, identity):
        assert identity.create_or_update_entity_by_name("by-name")["data"]["name"] == "by-name"
        anonymous = server.call("POST", "identity/entity", {}).json()["data"]
        assert anonymous["name"].startswith("entity_") and len(anonymous["name"]) == 15

    def test_what_is_not_there(self, identity):
        for read in (identity.read_entity, identity.read_entity_by_name, identity.read_entity_alias):
            with pytest.raises(hvac.exceptions.InvalidPath):
                read(None)
        for delete in (identity.delete_entity, identity.delete_entity_by_name, identity.delete_entity_alias):
            assert delete("nobody").status_code == 204
        for listing in (identity.list_entities, identity.list_entities_by_name, identity.list_entity_aliases):
            with pytest.raises(hvac.exceptions.InvalidPath):
                listing()

    @pytest.mark.parametrize("method", ["LIST", "GET"])
    def test_lists(self, identity, accessor, method):
        made = identity.create_or_update_entity("test-entity")["data"]["id"]
        alias = identity.create_or_update_entity_alias("somebody", made, accessor)["data"]["id"]
        by_id = identity.list_entities(method=method)["data"]
        assert by_id["keys"] == [made] and by_id["key_info"][made]["name"] == "test-entity"
        assert by_id["key_info"][made]["aliases"][0]["mount_path"] == "auth/people/"
        assert identity.list_entities_by_name(method=method)["data"]["keys"] == ["test-entity"]
        aliases = identity.list_entity_aliases(method=method)["data"]
        assert aliases["keys"] == [alias] and aliases["key_info"][alias]["canonical_id"] == made

    def test_batch_delete(self, server, identity):
        ids = [identity.create_or_update_entity(f"test-{n}")["data"]["id"] for n in range(3)]
        assert server.call("POST", "identity/entity/batch-delete", {"entity_ids": ids[:2]}).status_code == 204
        assert identity.list_entities()["data"]["keys"] == ids[2:]

    @pytest.mark.parametrize("body", [
        {"name": "a//b"}, {"name": "../a"}, {"name": " a"}, {"name": "a\nb"}, {"name": "x" * 600},
        {"metadata": {"k": "v" * 600}}, {"metadata": {str(n): "v" for n in range(65)}}, {"policies": ["a b"]},
        {"id": "00000000-0000-0000-0000-000000000000", "name": "x"}, {"id": "../../core/mount/x"},
    ])
    def test_nonsense_is_refused(self, server, body):
        before = server.call("LIST", "identity/entity/id").json()
        assert server.call("POST", "identity/entity", body).status_code == 400
        assert server.call("LIST", "identity/entity/id").json().get("data") == before.get("data")

    def test_names_are_unique_in_every_spelling(self, server, identity):
        identity.create_or_update_entity("Bob")
        assert server.call("POST", "identity/entity", {"name": "BOB"}).status_code == 400
        assert server.call("GET", "identity/entity/name/bob").status_code == 404
        assert server.call("GET", "identity/entity/name/Bob").status_code == 200


class TestMerge:
    def test_aliases_and_groups_move(self, identity, accessor):
        to, gone = (identity.create_or_update_entity(name)["data"]["id"] for name in ("stays", "goes"))
        alias = identity.create_or_update_entity_alias("somebody", gone, accessor)["data"]["id"]
        group = identity.create_or_update_group("g", member_entity_ids=[gone])["data"]["id"]
        assert identity.merge_entities(from_entity_ids=[gone], to_entity_id=to).status_code == 204
        read = identity.read_entity(to)["data"]
        assert (read["merged_entity_ids"], read["direct_group_ids"]) == ([gone], [group])
        assert [alias["id"] for alias in read["aliases"]] == [alias]
        assert identity.read_group(group)["data"]["member_entity_ids"] == [to]
        with pytest.raises(hvac.exceptions.InvalidPath):
            identity.read_entity(gone)

    def test_two_aliases_on_one_mount_need_a_decision(self, identity, accessor):
        to, gone = (identity.create_or_update_entity(name)["data"]["id"] for name in ("stays", "goes"))
        ids = [identity.create_or_update_entity_alias(name, who, accessor)["data"]["id"] for name, who in [("a", to), ("b", gone)]]
        with pytest.raises(hvac.exceptions.InvalidRequest):
            identity.merge_entities(from_entity_ids=[gone], to_entity_id=to)
        assert [alias["id"] for alias in identity.read_entity(gone)["data"]["aliases"]] == ids[1:]
        merged = identity.merge_entities([gone], to, conflicting_alias_ids_to_keep=[ids[1]])
        assert merged.status_code == 204
        assert [alias["id"] for alias in identity.read_entity(to)["data"]["aliases"]] == ids[1:]
        assert identity.list_entity_aliases()["data"]["keys"] == ids[1:]

    def test_nonsense_is_refused(self, identity):
        one = identity.create_or_update_entity("one")["data"]["id"]
        for source, to in [([one], one), (["nobody"], one), ([one], "nobody")]:
            with pytest.raises(hvac.exceptions.InvalidRequest):
                identity.merge_entities(from_entity_ids=source, to_entity_id=to)


class TestAliases:
    def test_create_update_read(self, identity, accessor):
        who = identity.create_or_update_entity("test-entity")["data"]["id"]
        made = identity.create_or_update_entity_alias("test-alias", who, accessor)["data"]
        assert made == {"id": made["id"], "canonical_id": who}
        assert identity.create_or_update_entity_alias("test-alias", who, accessor)["data"] == made
        assert identity.update_entity_alias(made["id"], "renamed", who, accessor)["data"] == made
        read = identity.read_entity_alias(made["id"])["data"]
        assert (read["name"], read["mount_path"], read["mount_type"]) == ("renamed", "auth/people/", "approle")
        assert read["local"] is False and read["metadata"] is None and read["custom_metadata"] is None
        assert identity.read_entity(who)["data"]["aliases"] == [read]
        assert identity.delete_entity_alias(made["id"]).status_code == 204
        assert identity.read_entity(who)["data"]["aliases"] == []

    def test_without_an_entity_it_gets_one(self, identity, accessor):
        made = identity.create_or_update_entity_alias("alone", None, accessor)["data"]
        assert identity.read_entity(made["canonical_id"])["data"]["aliases"][0]["id"] == made["id"]

    def test_custom_metadata(self, server, identity, accessor):
        made = identity.create_or_update_entity_alias("alone", None, accessor)["data"]
        body = {"id": made["id"], "name": "alone", "mount_accessor": accessor, "custom_metadata": {"foo": "bar"}}
        assert server.call("POST", "identity/entity-alias", body).status_code == 200
        assert identity.read_entity_alias(made["id"])["data"]["custom_metadata"] == {"foo": "bar"}

    def test_one_for_each_mount(self, identity, accessor):
        who = identity.create_or_update_entity("test-entity")["data"]["id"]
        identity.create_or_update_entity_alias("one", who, accessor)
        with pytest.raises(hvac.exceptions.InvalidRequest):
            identity.create_or_update_entity_alias("two", who, accessor)

    def test_invalid_accessor(self, identity, accessor):
        made = identity.create_or_update_entity_alias("alone", None, accessor)["data"]
        with pytest.raises(hvac.exceptions.InvalidRequest, match="invalid mount accessor"):
            identity.update_entity_alias(made["id"], "alone", made["canonical_id"], "not a valid accessor")


class TestGroups:
    @pytest.mark.parametrize("group_type", ["internal", "external"])
    def test_create_update_read(self, identity, group_type):
        internal = group_type == "internal"
        entity = identity.create_or_update_entity("test-entity")["data"]["id"]
        inner = identity.create_or_update_group("test-member")["data"]["id"]
        members = {"member_entity_ids": [entity], "member_group_ids": [inner]} if internal else {}
        made = identity.create_or_update_group("test-group", group_type=group_type, metadata={"a": "b"}, **members)
        made = made["data"]
        assert set(made) == {"id", "name"}
        read = identity.read_group(made["id"])["data"]
        assert read["member_entity_ids"] == ([entity] if internal else None)
        assert read["member_group_ids"] == ([inner] if internal else None)
        assert (read["type"], read["metadata"], read["alias"], read["modify_index"]) == (group_type, {"a": "b"}, {}, 1)
        assert read == identity.read_group_by_name("test-group")["data"]
        again = identity.create_or_update_group("test-group", group_id=made["id"], group_type=group_type)
        assert again.status_code == 204
        assert identity.update_group(made["id"], "renamed", group_type=group_type).status_code == 204
        assert identity.create_or_update_group_by_name("renamed", group_type=group_type).status_code == 204
        if internal:
            assert identity.read_group(inner)["data"]["parent_group_ids"] == [made["id"]]
            inherited = identity.create_or_update_entity("deep")["data"]["id"]
            identity.update_group(inner, "test-member", member_entity_ids=[inherited])
            deep = identity.read_entity(inherited)["data"]
            assert (deep["direct_group_ids"], deep["inherited_group_ids"]) == ([inner], [made["id"]])
            assert deep["group_ids"] == sorted([inner, made["id"]])

    def test_refusals(self, server, identity):
        made = identity.create_or_update_group("test-group")["data"]["id"]
        entity = identity.create_or_update_entity("test-entity")["data"]["id"]
        with pytest.raises(hvac.exceptions.InvalidRequest, match="group type cannot be changed"):
            identity.update_group(made, "test-group", group_type="external")
        refused = [
            {"name": "x", "type": "cosmic"}, {"name": "x", "type": "external", "member_entity_ids": [entity]},
            {"name": "x", "member_entity_ids": ["nobody"]}, {"name": "x", "member_group_ids": ["nobody"]},
            {"name": "TEST-GROUP"}, {"id": made, "member_group_ids": [made]},
        ]
        for body in refused:
            assert server.call("POST", "identity/group", body).status_code == 400, body
        assert identity.list_groups_by_name()["data"]["keys"] == ["test-group"]

    def test_no_circles(self, server, identity):
        a = identity.create_or_update_group("a")["data"]["id"]
        b = identity.create_or_update_group("b", member_group_ids=[a])["data"]["id"]
        c = identity.create_or_update_group("c", member_group_ids=[b])["data"]["id"]
        answer = server.call("POST", f"identity/group/id/{a}", {"member_group_ids": [c]})
        assert answer.status_code == 400 and "cyclic" in answer.json()["errors"][0]
        assert identity.read_group(a)["data"]["member_group_ids"] is None

    @pytest.mark.parametrize("method", ["LIST", "GET"])
    def test_lists_and_deletion(self, identity, method):
        made = identity.create_or_update_group("test-group")["data"]["id"]
        listed = identity.list_groups(method=method)["data"]
        assert listed["keys"] == [made] and listed["key_info"][made]["name"] == "test-group"
        assert identity.list_groups_by_name(method=method)["data"]["keys"] == ["test-group"]
        assert identity.delete_group_by_name("test-group").status_code == 204
        assert identity.delete_group(made).status_code == 204
        for read in (identity.list_groups, lambda: identity.read_group(made), lambda: identity.read_group_alias(None)):
            with pytest.raises(hvac.exceptions.InvalidPath):
                read()

    def test_a_deleted_group_leaves_its_members(self, identity):
        entity = identity.create_or_update_entity("test-entity")["data"]["id"]
        group = identity.create_or_update_group("g", member_entity_ids=[entity])["data"]["id"]
        identity.delete_group(group)
        assert identity.read_entity(entity)["data"]["group_ids"] == []


class TestGroupAliases:
    @pytest.mark.parametrize("method", ["LIST", "GET"])
    def test_create_update_read(self, identity, accessor, method):
        made = identity.create_or_update_group_alias("devs", mount_accessor=accessor)["data"]
        again = identity.create_or_update_group_alias("devs", alias_id=made["id"], mount_accessor=accessor)["data"]
        assert again == made
        assert identity.update_group_alias(made["id"], "ops", mount_accessor=accessor)["data"] == made
        read = identity.read_group_alias(made["id"])["data"]
        assert (read["id"], read["name"], read["canonical_id"]) == (made["id"], "ops", made["canonical_id"])
        assert identity.list_group_aliases(method=method)["data"]["keys"] == [made["id"]]
        group = identity.read_group(made["canonical_id"])["data"]
        assert group["type"] == "external" and group["alias"]["name"] == "ops"
        assert identity.delete_group_alias(made["id"]).status_code == 204
        assert identity.read_group(made["canonical_id"])["data"]["alias"] == {}

    def test_internal_groups_have_none(self, identity, accessor):
        group = identity.create_or_update_group("inner")["data"]["id"]
        with pytest.raises(hvac.exceptions.InvalidRequest):
            identity.create_or_update_group_alias("x", mount_accessor=accessor, canonical_id=group)
        with pytest.raises(hvac.exceptions.InvalidRequest, match="invalid mount accessor"):
            identity.create_or_update_group_alias("x", mount_accessor="nowhere")


class TestLookup:
    def test_entities(self, identity, accessor):
        who = identity.create_or_update_entity("test-entity")["data"]["id"]
        alias = identity.create_or_update_entity_alias("test-alias", who, accessor)["data"]["id"]
        for criteria in (
            {"entity_id": who}, {"name": "test-entity"}, {"alias_id": alias},
            {"alias_name": "test-alias", "alias_mount_accessor": accessor},
        ):
            found = identity.lookup_entity(**criteria)["data"]
            assert found["id"] == who and found["aliases"][0]["name"] == "test-alias"
        for criteria in (
            {"entity_id": "entity_id"}, {"name": "nobody"}, {"alias_id": "x"},
            {"alias_name": "test-alias", "alias_mount_accessor": "elsewhere"},
        ):
            assert identity.lookup_entity(**criteria).status_code == 204

    def test_groups(self, identity, accessor):
        group = identity.create_or_update_group("test-group", group_type="external")["data"]["id"]
        made = identity.create_or_update_group_alias("devs", mount_accessor=accessor, canonical_id=group)
        for criteria in (
            {"group_id": group}, {"name": "test-group"}, {"alias_id": made["data"]["id"]},
            {"alias_name": "devs", "alias_mount_accessor": accessor},
        ):
            found = identity.lookup_group(**criteria)["data"]
            assert found["id"] == group and found["alias"]["name"] == "devs"
        assert identity.lookup_group(group_id="group_id").status_code == 204

    def test_one_question_at_a_time(self, server):
        for body in ({}, {"id": "a", "name": "b"}, {"alias_name": "x"}):
            assert server.call("POST", "identity/lookup/entity", body).status_code == 400


class TestLogin:
    def test_a_login_has_an_entity(self, server, identity, accessor):
        credentials = approle(server, "people", "first", "default")
        first, second = (login(server, "people", credentials).json()["auth"] for _ in range(2))
        assert first["entity_id"] and first["entity_id"] == second["entity_id"]
        assert "identity_policies" not in first and first["policies"] == first["token_policies"] == ["default"]
        entity = identity.read_entity(first["entity_id"])["data"]
        assert entity["name"].startswith("entity_") and len(entity["name"]) == 15
        (alias,) = entity["aliases"]
        assert (alias["name"], alias["mount_accessor"]) == (credentials[0], accessor)
        assert alias["metadata"] == {"role_name": "first"}
        looked = server.call("GET", "auth/token/lookup-self", token=first["client_token"]).json()["data"]
        assert looked["entity_id"] == first["entity_id"]
        own = server.call("GET", f"identity/entity/id/{first['entity_id']}", token=first["client_token"])
        assert own.status_code == 200
        assert f'"entity_id":"{first["entity_id"]}"' in server.audit.read_text()

    def test_fifty_first_logins_make_one_entity(self, server, identity):
        before = len(identity.list_entities()["data"]["keys"]) if "data" in server.call("LIST", "identity/entity/id").json() else 0
        credentials = approle(server, "people", "crowd", "default")
        with concurrent.futures.ThreadPoolExecutor(25) as pool:
            answers = list(pool.map(lambda _: login(server, "people", credentials), range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["auth"]["entity_id"] for answer in answers}) == 1
        assert len(identity.list_entities()["data"]["keys"]) == before + 1

    def test_policies_of_entity_and_groups_count_at_once(self, server, identity):
        write_policy(server, "own", 'path "cubbyhole/own" { capabilities = ["create", "update"] }')
        write_policy(server, "grouped", 'path "sys/policies/acl/own" { capabilities = ["read"] }')
        write_policy(server, "outer", 'path "sys/policies/acl" { capabilities = ["list"] }')
        auth = login(server, "people", approle(server, "people", "member", "default")).json()["auth"]
        token, who = auth["client_token"], auth["entity_id"]
        read = lambda: server.call("GET", "sys/policies/acl/own", token=token).status_code
        listed = lambda: server.call("LIST", "sys/policies/acl", token=token).status_code
        assert (read(), listed()) == (403, 403)
        inner = identity.create_or_update_group("inner", policies=["grouped"], member_entity_ids=[who])["data"]["id"]
        assert (read(), listed()) == (200, 403)
        outer = identity.create_or_update_group("outer", policies=["outer"], member_group_ids=[inner])["data"]["id"]
        assert (read(), listed()) == (200, 200)
        identity.update_entity(who, policies=["own"])
        looked = server.call("GET", "auth/token/lookup-self", token=token).json()["data"]
        assert (looked["policies"], looked["identity_policies"]) == (["default"], ["grouped", "outer", "own"])
        renewed = server.call("POST", "auth/token/renew-self", {}, token=token).json()["auth"]
        assert renewed["policies"] == ["default", "grouped", "outer", "own"]
        assert (renewed["token_policies"], renewed["entity_id"]) == (["default"], who)
        identity.update_group(inner, "inner", member_entity_ids=[])
        assert (read(), listed()) == (403, 403)
        identity.delete_group(outer)

    def test_children_belong_to_the_entity_and_orphans_to_nobody(self, server, identity):
        write_policy(server, "maker", 'path "auth/token/create*" { capabilities = ["update", "sudo"] }')
        auth = login(server, "people", approle(server, "people", "parent", "maker")).json()["auth"]
        child = server.call("POST", "auth/token/create", {"policies": ["default"]}, token=auth["client_token"]).json()["auth"]
        orphan = server.call("POST", "auth/token/create-orphan", {"policies": ["default"]}, token=auth["client_token"]).json()["auth"]
        assert (child["entity_id"], orphan["entity_id"]) == (auth["entity_id"], "")

    def test_tokens_of_a_merged_entity_are_the_other_ones(self, server, identity):
        write_policy(server, "joined", 'path "sys/policies/acl" { capabilities = ["list"] }')
        auth = login(server, "people", approle(server, "people", "merged", "default")).json()["auth"]
        to = identity.create_or_update_entity("stays", policies=["joined"])["data"]["id"]
        assert identity.merge_entities([auth["entity_id"]], to).status_code == 204
        looked = server.call("GET", "auth/token/lookup-self", token=auth["client_token"]).json()["data"]
        assert (looked["entity_id"], looked["identity_policies"]) == (to, ["joined"])
        assert server.call("LIST", "sys/policies/acl", token=auth["client_token"]).status_code == 200

    def test_it_survives_a_restart(self, fresh_server):
        server = fresh_server
        server.call("POST", "sys/auth/people", {"type": "approle"})
        credentials = approle(server, "people", "again", "default")
        auth = login(server, "people", credentials).json()["auth"]
        server.kill()
        server.start()
        server.unseal()
        assert login(server, "people", credentials).json()["auth"]["entity_id"] == auth["entity_id"]
        looked = server.call("GET", "auth/token/lookup-self", token=auth["client_token"]).json()["data"]
        assert looked["entity_id"] == auth["entity_id"]

    def test_the_mount_is_fixed(self, server):
        mounts = server.call("GET", "sys/mounts").json()["data"]
        assert (mounts["identity/"]["type"], mounts["identity/"]["description"]) == ("identity", "identity store")
        assert server.call("DELETE", "sys/mounts/identity").status_code == 400
        assert server.call("POST", "sys/mounts/identity/x", {"type": "kv"}).status_code == 400
