"""What applications do with the hvac client: AppRole, KV, cubbyhole, wrapping, tokens, and what policies must refuse."""

import itertools
import threading
import time

import pytest
from hvac import exceptions

COUNTER = itertools.count()


@pytest.fixture(scope="module")
def root(server):
    return server.client()


@pytest.fixture
def kv2(root):
    """A new KV version 2 mount."""
    path = f"kv2-{next(COUNTER)}"
    root.sys.enable_secrets_engine("kv", path=path, options={"version": "2"})
    return path


@pytest.fixture
def kv1(root):
    path = f"kv1-{next(COUNTER)}"
    root.sys.enable_secrets_engine("kv", path=path, options={"version": "1"})
    return path


@pytest.fixture(scope="module")
def approle(root):
    """The method is on at `approle/`; gives a maker of roles."""
    root.sys.enable_auth_method("approle")

    def role(policies=("default",), **options):
        name = f"role-{next(COUNTER)}"
        answer = root.auth.approle.create_or_update_approle(name, token_policies=list(policies), **options)
        assert answer.status_code == 204
        return name

    return role


def policy(root, text):
    name = f"policy-{next(COUNTER)}"
    assert root.sys.create_or_update_policy(name, text).status_code == 204
    return name


def token_with(server, root, text):
    """A client which holds only the given policy."""
    name = policy(root, text)
    token = root.auth.token.create(policies=[name], no_default_policy=True)["auth"]["client_token"]
    return server.client(token=token)


class TestKv2:
    def test_versions_count_up_and_stay_readable(self, root, kv2):
        v2 = root.secrets.kv.v2
        for number in (1, 2, 3):
            written = v2.create_or_update_secret("a/b", {"n": number, "text": f"é{number}"}, mount_point=kv2)["data"]
            assert written["version"] == number
            assert (written["deletion_time"], written["destroyed"], written["custom_metadata"]) == ("", False, None)
        assert v2.read_secret_version("a/b", mount_point=kv2)["data"]["data"] == {"n": 3, "text": "é3"}
        old = v2.read_secret_version("a/b", version=1, mount_point=kv2)["data"]
        assert old["data"] == {"n": 1, "text": "é1"}
        assert set(old["metadata"]) == {"version", "created_time", "deletion_time", "destroyed", "custom_metadata"}

    def test_numbers_keep_their_digits(self, server, kv2):
        text = '{"data":{"big":123456789012345678901234567890,"small":1.50}}'
        headers = {"X-Vault-Token": server.root, "Content-Type": "application/json"}
        assert server.call("POST", f"{kv2}/data/n", headers=headers, data=text).status_code == 200
        read = server.call("GET", f"{kv2}/data/n").text
        assert "123456789012345678901234567890" in read and "1.50" in read

    def test_check_and_set(self, root, kv2):
        v2 = root.secrets.kv.v2
        v2.create_or_update_secret("s", {"v": "1"}, cas=0, mount_point=kv2)
        for stale in (0, 2):
            with pytest.raises(exceptions.InvalidRequest, match="check-and-set parameter did not match the current version"):
                v2.create_or_update_secret("s", {"v": "x"}, cas=stale, mount_point=kv2)
        assert v2.create_or_update_secret("s", {"v": "2"}, cas=1, mount_point=kv2)["data"]["version"] == 2

    def test_check_and_set_lets_exactly_one_of_many_through(self, server, root, kv2):
        won, barrier = [], threading.Barrier(8)

        def race(number):
            client = server.client()
            barrier.wait()
            try:
                client.secrets.kv.v2.create_or_update_secret("race", {"by": number}, cas=0, mount_point=kv2)
                won.append(number)
            except exceptions.InvalidRequest:
                pass

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert len(won) == 1
        assert root.secrets.kv.v2.read_secret_version("race", mount_point=kv2)["data"]["data"] == {"by": won[0]}

    def test_a_key_or_mount_can_demand_check_and_set(self, root, kv2):
        v2 = root.secrets.kv.v2
        v2.update_metadata("s", cas_required=True, mount_point=kv2)
        with pytest.raises(exceptions.InvalidRequest, match="check-and-set parameter required for this call"):
            v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        v2.configure(max_versions=3, cas_required=True, mount_point=kv2)
        with pytest.raises(exceptions.InvalidRequest, match="check-and-set parameter required for this call"):
            v2.create_or_update_secret("other", {"v": "1"}, mount_point=kv2)
        config = v2.read_configuration(mount_point=kv2)["data"]
        assert (config["max_versions"], config["cas_required"], config["delete_version_after"]) == (3, True, "0s")

    def test_deleted_versions_tell_so_and_come_back(self, server, root, kv2):
        v2 = root.secrets.kv.v2
        v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        v2.create_or_update_secret("s", {"v": "2"}, mount_point=kv2)
        assert v2.delete_latest_version_of_secret("s", mount_point=kv2).status_code == 204
        answer = server.call("GET", f"{kv2}/data/s")
        body = answer.json()
        assert answer.status_code == 404
        assert body["data"]["data"] is None
        assert body["data"]["metadata"]["version"] == 2 and body["data"]["metadata"]["deletion_time"] != ""
        assert "errors" not in body
        assert v2.read_secret_version("s", version=1, mount_point=kv2)["data"]["data"] == {"v": "1"}
        assert v2.undelete_secret_versions("s", [2], mount_point=kv2).status_code == 204
        assert v2.read_secret_version("s", mount_point=kv2)["data"]["data"] == {"v": "2"}
        assert v2.delete_secret_versions("s", [1], mount_point=kv2).status_code == 204
        assert server.call("GET", f"{kv2}/data/s?version=1").status_code == 404

    def test_destroyed_versions_do_not_come_back(self, server, root, kv2):
        v2 = root.secrets.kv.v2
        for number in (1, 2, 3):
            v2.create_or_update_secret("s", {"v": str(number)}, mount_point=kv2)
        assert v2.destroy_secret_versions("s", [1, 2, 99], mount_point=kv2).status_code == 204
        v2.undelete_secret_versions("s", [1], mount_point=kv2)
        answer = server.call("GET", f"{kv2}/data/s?version=1")
        assert (answer.status_code, answer.json()["data"]["data"]) == (404, None)
        assert answer.json()["data"]["metadata"]["destroyed"] is True
        versions = v2.read_secret_metadata("s", mount_point=kv2)["data"]["versions"]
        assert [versions[n]["destroyed"] for n in ("1", "2", "3")] == [True, True, False]

    def test_the_version_lists_are_required(self, server, root, kv2):
        root.secrets.kv.v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        for verb in ("delete", "undelete", "destroy"):
            answer = server.call("POST", f"{kv2}/{verb}/s", {})
            assert (answer.status_code, answer.json()["errors"]) == (400, ["No version number provided"])

    def test_metadata_shape_and_custom_metadata(self, server, root, kv2):
        v2 = root.secrets.kv.v2
        v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        v2.update_metadata("s", max_versions=7, delete_version_after="30m", custom_metadata={"owner": "me", "x": "1"}, mount_point=kv2)
        data = v2.read_secret_metadata("s", mount_point=kv2)["data"]
        assert set(data) >= {
            "versions", "current_version", "oldest_version", "created_time", "updated_time",
            "max_versions", "cas_required", "delete_version_after", "custom_metadata",
        }
        assert (data["max_versions"], data["delete_version_after"]) == (7, "30m0s")
        assert data["custom_metadata"] == {"owner": "me", "x": "1"}
        assert set(data["versions"]["1"]) >= {"created_time", "deletion_time", "destroyed"}
        merge = {"Content-Type": "application/merge-patch+json"}
        answer = server.call("PATCH", f"{kv2}/metadata/s", {"custom_metadata": {"x": None, "y": "2"}}, headers=merge)
        assert answer.status_code == 204
        assert v2.read_secret_metadata("s", mount_point=kv2)["data"]["custom_metadata"] == {"owner": "me", "y": "2"}
        too_long = server.call("POST", f"{kv2}/metadata/s", {"custom_metadata": {"k": "v" * 513}})
        assert too_long.status_code == 400

    def test_metadata_can_exist_before_the_first_version(self, root, kv2):
        v2 = root.secrets.kv.v2
        v2.update_metadata("s", max_versions=2, mount_point=kv2)
        assert v2.read_secret_metadata("s", mount_point=kv2)["data"]["current_version"] == 0
        assert v2.create_or_update_secret("s", {"v": "1"}, cas=0, mount_point=kv2)["data"]["version"] == 1

    def test_the_oldest_versions_go(self, server, root, kv2):
        v2 = root.secrets.kv.v2
        v2.update_metadata("s", max_versions=2, mount_point=kv2)
        for number in range(5):
            v2.create_or_update_secret("s", {"v": number}, mount_point=kv2)
        data = v2.read_secret_metadata("s", mount_point=kv2)["data"]
        assert (sorted(data["versions"]), data["oldest_version"], data["current_version"]) == (["4", "5"], 4, 5)
        gone = server.call("GET", f"{kv2}/data/s?version=3")
        assert (gone.status_code, gone.json()) == (404, {"errors": []})

    def test_deleting_the_metadata_leaves_nothing(self, server, root, kv2):
        v2 = root.secrets.kv.v2
        v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        assert v2.delete_metadata_and_all_versions("s", mount_point=kv2).status_code == 204
        for path in (f"{kv2}/data/s", f"{kv2}/metadata/s"):
            answer = server.call("GET", path)
            assert (answer.status_code, answer.json()) == (404, {"errors": []})
        assert v2.create_or_update_secret("s", {"v": "1"}, cas=0, mount_point=kv2)["data"]["version"] == 1

    def test_patch_merges(self, server, root, kv2):
        root.secrets.kv.v2.create_or_update_secret("s", {"a": "1", "b": {"c": "2", "d": "3"}}, mount_point=kv2)
        merge = {"Content-Type": "application/merge-patch+json"}
        answer = server.call("PATCH", f"{kv2}/data/s", {"data": {"b": {"c": None, "e": "4"}}}, headers=merge)
        assert (answer.status_code, answer.json()["data"]["version"]) == (200, 2)
        read = root.secrets.kv.v2.read_secret_version("s", mount_point=kv2)["data"]["data"]
        assert read == {"a": "1", "b": {"d": "3", "e": "4"}}
        assert server.call("PATCH", f"{kv2}/data/none", {"data": {"a": "1"}}, headers=merge).status_code == 404
        stale = {"data": {"a": "2"}, "options": {"cas": 1}}
        assert server.call("PATCH", f"{kv2}/data/s", stale, headers=merge).status_code == 400
        assert server.call("PATCH", f"{kv2}/data/s", {"data": {"a": "2"}}).status_code == 415
        assert root.secrets.kv.v2.patch("s", {"a": "5"}, mount_point=kv2)["data"]["version"] == 3

    def test_subkeys_show_the_tree_without_values(self, server, root, kv2):
        root.secrets.kv.v2.create_or_update_secret("s", {"a": "1", "b": {"c": {"d": "2"}}}, mount_point=kv2)
        answer = server.call("GET", f"{kv2}/subkeys/s")
        assert answer.status_code == 200
        assert answer.json()["data"]["subkeys"] == {"a": None, "b": {"c": {"d": None}}}
        assert answer.json()["data"]["metadata"]["version"] == 1
        assert server.call("GET", f"{kv2}/subkeys/s?depth=1").json()["data"]["subkeys"] == {"a": None, "b": None}

    def test_lists_have_folders_and_an_empty_list_is_missing(self, server, root, kv2):
        for path in ("b", "a/x", "a/y/z"):
            root.secrets.kv.v2.create_or_update_secret(path, {"v": "1"}, mount_point=kv2)
        assert root.secrets.kv.v2.list_secrets("", mount_point=kv2)["data"]["keys"] == ["a/", "b"]
        assert root.secrets.kv.v2.list_secrets("a", mount_point=kv2)["data"]["keys"] == ["x", "y/"]
        assert server.call("GET", f"{kv2}/metadata/a/?list=true").json()["data"]["keys"] == ["x", "y/"]
        missing = server.call("LIST", f"{kv2}/metadata/none")
        assert (missing.status_code, missing.json()) == (404, {"errors": []})

    def test_missing_is_404_with_empty_errors(self, server, kv2):
        answer = server.call("GET", f"{kv2}/data/none")
        assert (answer.status_code, answer.json()) == (404, {"errors": []})
        assert server.call("DELETE", f"{kv2}/data/none").status_code == 204

    def test_a_path_of_version_1_style_is_explained(self, server, root, kv2):
        root.secrets.kv.v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        answer = server.call("GET", f"{kv2}/s")
        assert answer.status_code == 404
        assert answer.json()["warnings"] and "errors" not in answer.json()

    def test_data_is_required(self, server, kv2):
        answer = server.call("POST", f"{kv2}/data/s", {"v": "1"})
        assert (answer.status_code, answer.json()["errors"]) == (400, ["no data provided"])

    def test_versions_delete_themselves(self, server, root, kv2):
        root.secrets.kv.v2.update_metadata("s", delete_version_after="1s", mount_point=kv2)
        written = root.secrets.kv.v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        assert written["data"]["deletion_time"] != ""
        assert server.call("GET", f"{kv2}/data/s").status_code == 200
        time.sleep(1.2)
        answer = server.call("GET", f"{kv2}/data/s")
        assert (answer.status_code, answer.json()["data"]["data"]) == (404, None)


class TestKv1:
    def test_write_replaces_and_read_gives_the_map_itself(self, root, kv1):
        v1 = root.secrets.kv.v1
        assert v1.create_or_update_secret("a/b", {"x": "1", "y": "2"}, mount_point=kv1).status_code == 204
        assert v1.create_or_update_secret("a/b", {"x": "3"}, mount_point=kv1).status_code == 204
        read = v1.read_secret("a/b", mount_point=kv1)
        assert (read["data"], read["lease_duration"], read["lease_id"]) == ({"x": "3"}, 2764800, "")
        assert v1.list_secrets("", mount_point=kv1)["data"]["keys"] == ["a/"]
        assert v1.delete_secret("a/b", mount_point=kv1).status_code == 204
        assert v1.delete_secret("a/b", mount_point=kv1).status_code == 204
        with pytest.raises(exceptions.InvalidPath):
            v1.read_secret("a/b", mount_point=kv1)

    def test_a_ttl_key_sets_the_lease_duration(self, root, kv1):
        root.secrets.kv.v1.create_or_update_secret("t", {"x": "1", "ttl": "1h"}, mount_point=kv1)
        assert root.secrets.kv.v1.read_secret("t", mount_point=kv1)["lease_duration"] == 3600

    def test_an_empty_write_is_refused(self, server, kv1):
        answer = server.call("POST", f"{kv1}/a", {})
        assert answer.status_code == 400
        assert "missing data fields" in answer.json()["errors"][0]


class TestCubbyhole:
    def test_each_token_has_its_own(self, server, root):
        tokens = [root.auth.token.create(policies=["default"])["auth"]["client_token"] for _ in range(2)]
        assert server.call("POST", "cubbyhole/mine", {"v": "1"}, token=tokens[0]).status_code == 204
        assert server.call("GET", "cubbyhole/mine", token=tokens[0]).json()["data"] == {"v": "1"}
        assert server.call("LIST", "cubbyhole", token=tokens[0]).json()["data"]["keys"] == ["mine"]
        for other in (tokens[1], server.root):
            assert server.call("GET", "cubbyhole/mine", token=other).status_code == 404
        assert server.call("LIST", "cubbyhole", token=tokens[1]).status_code == 404
        assert server.call("DELETE", "cubbyhole/mine", token=tokens[0]).status_code == 204


class TestWrapping:
    def test_wrap_lookup_unwrap_once(self, server, root):
        wrapped = root.sys.wrap({"secret": "s3"}, ttl=120)
        info = wrapped["wrap_info"]
        assert (info["ttl"], info["creation_path"]) == (120, "sys/wrapping/wrap")
        assert set(info) >= {"token", "accessor", "ttl", "creation_time", "creation_path"}
        assert (wrapped["data"], wrapped["auth"]) == (None, None)
        looked = server.call("POST", "sys/wrapping/lookup", {"token": info["token"]}, token="")
        assert looked.status_code == 200
        assert (looked.json()["data"]["creation_ttl"], looked.json()["data"]["creation_path"]) == (120, "sys/wrapping/wrap")
        assert root.sys.unwrap(info["token"])["data"] == {"secret": "s3"}
        with pytest.raises(exceptions.InvalidRequest, match="wrapping token is not valid or does not exist"):
            root.sys.unwrap(info["token"])

    def test_the_token_itself_may_unwrap(self, server, root):
        token = root.sys.wrap({"a": "b"})["wrap_info"]["token"]
        answer = server.call("POST", "sys/wrapping/unwrap", token=token)
        assert (answer.status_code, answer.json()["data"]) == (200, {"a": "b"})
        assert server.call("POST", "sys/wrapping/unwrap", token=token).status_code in (400, 403)

    def test_only_one_of_many_can_unwrap(self, server, root):
        token = root.sys.wrap({"a": "b"})["wrap_info"]["token"]
        codes, barrier = [], threading.Barrier(8)

        def race():
            barrier.wait()
            codes.append(server.call("POST", "sys/wrapping/unwrap", {"token": token}, token="").status_code)

        threads = [threading.Thread(target=race) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert sorted(codes)[0] == 200 and codes.count(200) == 1, codes

    @pytest.mark.parametrize(("asked", "ttl"), [("300", 300), ("5m", 300), ("10s", 10), ("1m", 60)])
    def test_any_answer_can_be_wrapped(self, server, kv2, asked, ttl):
        server.call("POST", f"{kv2}/data/s", {"data": {"v": "1"}})
        answer = server.call("GET", f"{kv2}/data/s", headers={"X-Vault-Wrap-TTL": asked}).json()
        assert (answer["wrap_info"]["ttl"], answer["wrap_info"]["creation_path"]) == (ttl, f"{kv2}/data/s")
        assert answer["data"] is None
        inner = server.call("POST", "sys/wrapping/unwrap", {"token": answer["wrap_info"]["token"]}, token="").json()
        assert inner["data"]["data"] == {"v": "1"}

    def test_rewrap_keeps_path_and_ttl_and_ends_the_old_one(self, server, root):
        old = root.sys.wrap({"a": "b"}, ttl=90)["wrap_info"]["token"]
        new = server.call("POST", "sys/wrapping/rewrap", {"token": old})
        info = new.json()["wrap_info"]
        assert (new.status_code, info["ttl"], info["creation_path"]) == (200, 90, "sys/wrapping/wrap")
        assert server.call("POST", "sys/wrapping/unwrap", {"token": old}).status_code == 400
        assert root.sys.unwrap(info["token"])["data"] == {"a": "b"}

    def test_a_wrapped_answer_expires(self, server, root):
        token = root.sys.wrap({"a": "b"}, ttl=1)["wrap_info"]["token"]
        time.sleep(1.3)
        assert server.call("POST", "sys/wrapping/unwrap", {"token": token}, token="").status_code in (400, 403)

    def test_wrap_needs_the_header_and_a_good_ttl(self, server):
        plain = server.call("POST", "sys/wrapping/wrap", {"a": "b"})
        assert (plain.status_code, plain.json()["errors"]) == (400, ["endpoint requires response wrapping to be used"])
        for bad in ("-1", "soon"):
            assert server.call("POST", "sys/wrapping/wrap", {"a": "b"}, headers={"X-Vault-Wrap-TTL": bad}).status_code == 400

    def test_an_error_is_not_wrapped(self, server, kv2):
        answer = server.call("GET", f"{kv2}/data/none", headers={"X-Vault-Wrap-TTL": "60"})
        assert (answer.status_code, answer.json()) == (404, {"errors": []})


class TestApprole:
    def test_the_plans_role(self, root, approle):
        name = approle(["atmr-api"], token_ttl="24h", token_max_ttl="48h")
        role = root.auth.approle.read_role(name)["data"]
        assert (role["token_policies"], role["token_ttl"], role["token_max_ttl"]) == (["atmr-api"], 86400, 172800)
        assert (role["bind_secret_id"], role["token_type"]) == (True, "default")
        assert name in root.auth.approle.list_roles()["data"]["keys"]

    def test_login_shape(self, server, root, approle):
        name = approle(["p1"], token_ttl=3600)
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret = root.auth.approle.generate_secret_id(name, metadata={"host": "h1"})["data"]
        assert set(secret) >= {"secret_id", "secret_id_accessor", "secret_id_ttl", "secret_id_num_uses"}
        client = server.client(token="")
        auth = client.auth.approle.login(role_id, secret["secret_id"])["auth"]
        assert auth["policies"] == auth["token_policies"] == ["default", "p1"]
        assert auth["metadata"] == {"role_name": name, "host": "h1"}
        assert (auth["lease_duration"], auth["renewable"], auth["token_type"], auth["orphan"]) == (3600, True, "service", True)
        assert isinstance(auth["entity_id"], str) and auth["accessor"]
        assert client.token == auth["client_token"]
        me = client.auth.token.lookup_self()["data"]
        assert (me["path"], me["display_name"]) == ("auth/approle/login", "approle")

    def test_a_wrapped_secret_id_is_opened_once(self, server, root, approle):
        name = approle()
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        wrap = root.auth.approle.generate_secret_id(name, wrap_ttl="60s")["wrap_info"]
        assert wrap["creation_path"] == f"auth/approle/role/{name}/secret-id"
        assert wrap.get("wrapped_accessor")
        app = server.client(token="")
        secret_id = app.sys.unwrap(wrap["token"])["data"]["secret_id"]
        assert app.auth.approle.login(role_id, secret_id)["auth"]["client_token"]
        with pytest.raises(exceptions.InvalidRequest):
            server.client(token="").sys.unwrap(wrap["token"])

    def test_wrong_credentials_all_say_the_same(self, server, root, approle):
        name, other = approle(), approle()
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        foreign = root.auth.approle.generate_secret_id(other)["data"]["secret_id"]
        for credentials in ((role_id, "wrong"), ("wrong", foreign), (role_id, foreign), (role_id, "")):
            answer = server.call("POST", "auth/approle/login", {"role_id": credentials[0], "secret_id": credentials[1]}, token="")
            assert answer.status_code == 400
            assert "invalid role or secret ID" in answer.json()["errors"][0] or credentials[1] == ""
        assert server.call("POST", "auth/approle/login", {"secret_id": foreign}, token="").status_code == 400

    def test_uses_are_counted_and_end(self, server, root, approle):
        name = approle(secret_id_num_uses=2)
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret_id = root.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        for _ in range(2):
            server.client(token="").auth.approle.login(role_id, secret_id)
        with pytest.raises(exceptions.InvalidRequest, match="invalid role or secret ID"):
            server.client(token="").auth.approle.login(role_id, secret_id)

    def test_secret_ids_expire_and_are_destroyed(self, server, root, approle):
        name = approle(secret_id_ttl="1s")
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret_id = root.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        time.sleep(1.3)
        with pytest.raises(exceptions.InvalidRequest, match="invalid role or secret ID"):
            server.client(token="").auth.approle.login(role_id, secret_id)
        name = approle()
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret = root.auth.approle.generate_secret_id(name)["data"]
        assert root.auth.approle.read_secret_id(name, secret["secret_id"])["data"]["secret_id_accessor"] == secret["secret_id_accessor"]
        assert root.auth.approle.list_secret_id_accessors(name)["data"]["keys"] == [secret["secret_id_accessor"]]
        assert root.auth.approle.destroy_secret_id(name, secret["secret_id"]).status_code == 204
        with pytest.raises(exceptions.InvalidRequest):
            server.client(token="").auth.approle.login(role_id, secret["secret_id"])
        assert server.call("POST", f"auth/approle/role/{name}/secret-id/lookup", {"secret_id": "none"}).status_code == 204

    def test_accessors_look_up_and_destroy(self, server, root, approle):
        name = approle()
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret = root.auth.approle.generate_secret_id(name, metadata={"k": "v"})["data"]
        data = root.auth.approle.read_secret_id_accessor(name, secret["secret_id_accessor"])["data"]
        assert data["metadata"] == {"k": "v"} and "secret_id" not in data
        assert root.auth.approle.destroy_secret_id_accessor(name, secret["secret_id_accessor"]).status_code == 204
        with pytest.raises(exceptions.InvalidPath):
            root.auth.approle.read_secret_id_accessor(name, secret["secret_id_accessor"])
        with pytest.raises(exceptions.InvalidRequest):
            server.client(token="").auth.approle.login(role_id, secret["secret_id"])

    def test_custom_ids(self, server, root, approle):
        name = approle()
        assert root.auth.approle.update_role_id(name, f"{name}-id").status_code == 204
        assert root.auth.approle.read_role_id(name)["data"]["role_id"] == f"{name}-id"
        root.auth.approle.create_custom_secret_id(name, "my-own-secret-id")
        assert server.client(token="").auth.approle.login(f"{name}-id", "my-own-secret-id")["auth"]

    def test_missing_and_deleted_roles(self, server, root, approle):
        name = approle()
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret_id = root.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        assert root.auth.approle.delete_role(name).status_code == 204
        with pytest.raises(exceptions.InvalidRequest):
            server.client(token="").auth.approle.login(role_id, secret_id)
        assert server.call("GET", f"auth/approle/role/{name}").status_code == 404
        answer = server.call("POST", f"auth/approle/role/{name}/secret-id", {})
        assert answer.status_code == 404 and "does not exist" in answer.json()["errors"][0]

    def test_single_field_views(self, server, root, approle):
        name = approle()
        assert server.call("POST", f"auth/approle/role/{name}/token-ttl", {"token_ttl": "2h"}).status_code == 204
        assert server.call("GET", f"auth/approle/role/{name}/token-ttl").json()["data"] == {"token_ttl": 7200}
        assert server.call("DELETE", f"auth/approle/role/{name}/token-ttl").status_code == 204
        assert root.auth.approle.read_role(name)["data"]["token_ttl"] == 0

    def test_a_role_needs_a_constraint_and_an_order_of_ttls(self, server, approle):
        name = approle()
        answer = server.call("POST", f"auth/approle/role/{name}-x", {"bind_secret_id": False})
        assert answer.status_code == 400 and "at least one constraint" in answer.json()["errors"][0]
        assert server.call("POST", f"auth/approle/role/{name}-y", {"token_ttl": "2h", "token_max_ttl": "1h"}).status_code == 400

    def test_login_where_nothing_is_mounted_is_denied(self, server):
        answer = server.call("POST", "auth/nowhere/login", {"role_id": "a", "secret_id": "b"}, token="")
        assert answer.status_code == 403 and "permission denied" in answer.json()["errors"][0]


class TestTokens:
    def test_create_and_look_up(self, server, root):
        auth = root.auth.token.create(policies=["p1"], ttl="1h", display_name="ci", meta={"k": "v"})["auth"]
        assert auth["policies"] == ["default", "p1"] and auth["lease_duration"] == 3600
        assert auth["client_token"].startswith("hvs.")
        data = root.auth.token.lookup(auth["client_token"])["data"]
        assert set(data) >= {
            "id", "accessor", "policies", "path", "meta", "display_name", "num_uses", "orphan", "creation_time",
            "creation_ttl", "expire_time", "ttl", "explicit_max_ttl", "entity_id", "type", "renewable", "issue_time",
        }
        assert (data["display_name"], data["meta"], data["orphan"], data["type"]) == ("token-ci", {"k": "v"}, False, "service")
        assert data["path"] == "auth/token/create" and 3590 < data["ttl"] <= 3600
        own = server.client(token=auth["client_token"]).auth.token.lookup_self()["data"]
        assert own["id"] == auth["client_token"]

    def test_a_policy_that_does_not_exist_is_warned_of(self, root):
        answer = root.auth.token.create(policies=["no-such-policy"])
        assert any('"no-such-policy" does not exist' in w for w in answer["warnings"])

    def test_accessors_do_not_show_tokens(self, server, root):
        auth = root.auth.token.create(policies=["default"])["auth"]
        data = root.auth.token.lookup_accessor(auth["accessor"])["data"]
        assert data["id"] == "" and auth["client_token"] not in str(data)
        assert auth["accessor"] in root.auth.token.list_accessors()["data"]["keys"]
        assert root.auth.token.renew_accessor(auth["accessor"])["auth"]["client_token"] == ""
        assert root.auth.token.revoke_accessor(auth["accessor"]).status_code == 204
        with pytest.raises((exceptions.InvalidRequest, exceptions.Forbidden), match="invalid accessor"):
            root.auth.token.lookup_accessor(auth["accessor"])

    def test_renewal_moves_the_end_but_not_beyond_the_maximum(self, server, root):
        auth = root.auth.token.create(policies=["default"], ttl="10m", explicit_max_ttl="20m")["auth"]
        renewed = server.client(token=auth["client_token"]).auth.token.renew_self(increment="15m")["auth"]
        assert 890 < renewed["lease_duration"] <= 900
        capped = root.auth.token.renew(auth["client_token"], increment="10h")
        assert capped["auth"]["lease_duration"] <= 1200 and capped["warnings"]
        fixed = root.auth.token.create(policies=["default"], renewable=False, ttl="10m")["auth"]["client_token"]
        with pytest.raises(exceptions.InvalidRequest):
            root.auth.token.renew(fixed)

    def test_revocation_takes_the_children_and_the_cubbyhole(self, server, root):
        maker = policy(root, 'path "auth/token/create" { capabilities = ["create", "update"] }')
        parent = root.auth.token.create(policies=[maker])["auth"]["client_token"]
        child = server.client(token=parent).auth.token.create()["auth"]["client_token"]
        grandchild = server.client(token=child).auth.token.create()["auth"]["client_token"]
        orphan = root.auth.token.create_orphan(policies=["default"])["auth"]["client_token"]
        assert root.auth.token.revoke(parent).status_code == 204
        for token in (parent, child, grandchild):
            assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 403
        assert server.call("GET", "auth/token/lookup-self", token=orphan).status_code == 200
        assert root.auth.token.revoke("hvs.unknown").status_code == 204

    def test_revoke_orphan_spares_the_children(self, server, root):
        maker = policy(root, 'path "auth/token/create" { capabilities = ["create", "update"] }')
        parent = root.auth.token.create(policies=[maker])["auth"]["client_token"]
        child = server.client(token=parent).auth.token.create()["auth"]["client_token"]
        assert root.auth.token.revoke_and_orphan_children(parent).status_code == 204
        assert server.call("GET", "auth/token/lookup-self", token=child).json()["data"]["orphan"] is True

    def test_tokens_expire(self, server, root):
        token = root.auth.token.create(policies=["default"], ttl="1s")["auth"]["client_token"]
        assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 200
        time.sleep(1.3)
        assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 403

    def test_uses_are_counted_even_when_refused(self, server, root):
        token = root.auth.token.create(policies=["default"], num_uses=2)["auth"]["client_token"]
        assert server.call("GET", "sys/mounts", token=token).status_code == 403
        assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 200
        assert server.call("GET", "auth/token/lookup-self", token=token).status_code == 403

    def test_children_cannot_gain_policies(self, server, root):
        client = token_with(server, root, 'path "auth/token/create" { capabilities = ["create", "update"] }')
        for policies in (["root"], ["default", "other"]):
            with pytest.raises((exceptions.InvalidRequest, exceptions.Forbidden)):
                client.auth.token.create(policies=policies)

    def test_unknown_tokens_are_refused_at_lookup(self, server):
        answer = server.call("POST", "auth/token/lookup", {"token": "hvs.unknown"})
        assert answer.status_code == 403 and "bad token" in answer.json()["errors"][0]


class TestPolicies:
    def test_read_of_one_environment_only(self, server, root, kv2):
        for environment in ("prod", "dev"):
            root.secrets.kv.v2.create_or_update_secret(f"{environment}/flask", {"v": "1"}, mount_point=kv2)
        client = token_with(server, root, f'path "{kv2}/data/prod/*" {{ capabilities = ["read"] }}')
        assert client.secrets.kv.v2.read_secret_version("prod/flask", mount_point=kv2)["data"]["data"] == {"v": "1"}
        refused = [
            ("GET", "data/dev/flask", None), ("POST", "data/prod/flask", {"data": {"v": "2"}}), ("DELETE", "data/prod/flask", None),
            ("LIST", "metadata/prod", None), ("GET", "metadata/prod/flask", None), ("POST", "destroy/prod/flask", {"versions": [1]}),
            ("POST", "undelete/prod/flask", {"versions": [1]}), ("DELETE", "metadata/prod/flask", None), ("GET", "data/prod", None),
            ("GET", "subkeys/prod/flask", None), ("POST", "config", {"max_versions": 1}),
        ]
        for method, path, body in refused:
            answer = server.call(method, f"{kv2}/{path}", body, token=client.token)
            assert (answer.status_code, "permission denied" in answer.json()["errors"][0]) == (403, True), (method, path)
        for path in ("sys/mounts", "sys/policies/acl", "sys/audit", "auth/token/lookup-self"):
            assert server.call("GET", path, token=client.token).status_code == 403, path
        assert root.secrets.kv.v2.read_secret_version("prod/flask", mount_point=kv2)["data"]["metadata"]["version"] == 1

    @pytest.mark.parametrize(
        "path", ["data/prod/../dev/flask", "data/prod/%2e%2e/dev/flask", "data/prod/./flask", "data/./prod/flask"]
    )
    def test_relative_paths_do_not_go_around(self, server, root, kv2, path):
        root.secrets.kv.v2.create_or_update_secret("dev/flask", {"v": "must not be read"}, mount_point=kv2)
        client = token_with(server, root, f'path "{kv2}/data/prod/*" {{ capabilities = ["read"] }}')
        code, text = raw_get(server, f"/v1/{kv2}/{path}", client.token)
        assert code in (400, 403, 404), code
        assert "must not be read" not in text

    def test_create_and_update_are_different(self, server, root, kv2):
        creator = token_with(server, root, f'path "{kv2}/data/*" {{ capabilities = ["create"] }}')
        updater = token_with(server, root, f'path "{kv2}/data/*" {{ capabilities = ["update"] }}')
        body = {"data": {"v": "1"}}
        assert server.call("POST", f"{kv2}/data/s", body, token=updater.token).status_code == 403
        assert server.call("POST", f"{kv2}/data/s", body, token=creator.token).status_code == 200
        assert server.call("POST", f"{kv2}/data/s", body, token=creator.token).status_code == 403
        assert server.call("POST", f"{kv2}/data/s", body, token=updater.token).status_code == 200

    def test_deny_wins_and_exact_beats_prefix_and_segments_match_once(self, server, root, kv2):
        text = f"""
            path "{kv2}/data/a/*"      {{ capabilities = ["read"] }}
            path "{kv2}/data/a/closed" {{ capabilities = ["deny"] }}
            path "{kv2}/data/+/x"      {{ capabilities = ["read"] }}
        """
        for path in ("a/open", "a/closed", "b/x", "b/c/x"):
            root.secrets.kv.v2.create_or_update_secret(path, {"v": "1"}, mount_point=kv2)
        token = token_with(server, root, text).token
        codes = {p: server.call("GET", f"{kv2}/data/{p}", token=token).status_code for p in ("a/open", "a/closed", "b/x", "b/c/x")}
        assert codes == {"a/open": 200, "a/closed": 403, "b/x": 200, "b/c/x": 403}

    def test_parameters_can_be_restricted(self, server, root, kv1):
        text = f"""path "{kv1}/*" {{
            capabilities        = ["create", "update"]
            allowed_parameters  = {{ "mode" = ["a", "b*"], "note" = [] }}
            required_parameters = ["mode"]
        }}"""
        token = token_with(server, root, text).token
        bodies = [({"mode": "a"}, 204), ({"mode": "bee", "note": "x"}, 204), ({"mode": "c"}, 403), ({"note": "x"}, 403),
                  ({"mode": "a", "other": "1"}, 403)]
        for body, code in bodies:
            assert server.call("POST", f"{kv1}/s", body, token=token).status_code == code, body

    def test_a_policy_takes_effect_at_once(self, server, root, kv2):
        name = policy(root, f'path "{kv2}/data/*" {{ capabilities = ["read"] }}')
        root.secrets.kv.v2.create_or_update_secret("s", {"v": "1"}, mount_point=kv2)
        token = root.auth.token.create(policies=[name])["auth"]["client_token"]
        assert server.call("GET", f"{kv2}/data/s", token=token).status_code == 200
        root.sys.create_or_update_policy(name, f'path "{kv2}/data/*" {{ capabilities = ["deny"] }}')
        assert server.call("GET", f"{kv2}/data/s", token=token).status_code == 403
        root.sys.delete_policy(name)
        assert server.call("GET", f"{kv2}/data/s", token=token).status_code == 403

    def test_capabilities_say_what_is_allowed(self, server, root, kv2):
        text = f'path "{kv2}/data/*" {{ capabilities = ["read", "update", "create"] }}'
        client = token_with(server, root, text)
        one = root.sys.get_capabilities([f"{kv2}/data/x"], token=client.token)
        assert one["data"]["capabilities"] == one["data"][f"{kv2}/data/x"] == ["read", "update", "create"]
        assert one["capabilities"] == ["read", "update", "create"]
        two = root.sys.get_capabilities([f"{kv2}/data/x", "sys/mounts"], token=client.token)["data"]
        assert two["sys/mounts"] == ["deny"] and "capabilities" not in two
        assert root.sys.get_capabilities(["anything"])["data"]["capabilities"] == ["root"]
        accessor = root.auth.token.lookup(client.token)["data"]["accessor"]
        by_accessor = root.sys.get_capabilities([f"{kv2}/data/x"], accessor=accessor)["data"]
        assert by_accessor["capabilities"] == ["read", "update", "create"]


def raw_get(server, target, token):
    """Sends the target as it stands; clients of higher level tidy dots away."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("GET", target, skip_host=False)
    connection.putheader("X-Vault-Token", token)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text
