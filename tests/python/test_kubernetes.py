"""Kubernetes logins against the cluster's public keys, with hvac where hvac has a method."""

import hvac
import pytest

from service_accounts import claims, new_key, pem, token

HOST = "https://192.168.99.100:8443"
# hvac's own tests write this: nothing is read from it before it is used.
CA = "-----BEGIN CERTIFICATE-----\\n.....\\n-----END CERTIFICATE-----"


@pytest.fixture(scope="module")
def keys():
    return {algorithm: new_key(algorithm) for algorithm in ["RS256", "ES256", "ES384", "EdDSA"]}


@pytest.fixture(scope="module")
def client(server, keys):
    client = server.client()
    client.sys.enable_auth_method("kubernetes")
    written = [pem(key) for key in keys.values()]
    # hvac lets only certificates through as `pem_keys`.
    assert server.call("POST", "auth/kubernetes/config", {"kubernetes_host": HOST, "pem_keys": written}).status_code == 204
    client.auth.kubernetes.create_role(
        "App", bound_service_account_names=["app"], bound_service_account_namespaces=["default"], policies=["p"], ttl="1h", audience="vault"
    )
    return client


def login(server, role, jwt):
    return server.call("POST", "auth/kubernetes/login", {"role": role, "jwt": jwt}, token="")


def test_the_config(client, server):
    methods = client.auth.kubernetes
    client.sys.enable_auth_method("kubernetes", path="config-test")
    with pytest.raises(hvac.exceptions.InvalidPath):
        methods.read_config(mount_point="config-test")
    with pytest.raises(hvac.exceptions.InvalidRequest, match="kubernetes_ca_cert must be given when disable_local_ca_jwt is true"):
        methods.configure(HOST, disable_local_ca_jwt=True, mount_point="config-test")
    assert methods.configure(HOST, kubernetes_ca_cert=CA, token_reviewer_jwt="a.secret.one", issuer="bob", mount_point="config-test")
    read = methods.read_config(mount_point="config-test")
    assert (read["kubernetes_host"], read["kubernetes_ca_cert"], read["issuer"]) == (HOST, CA, "bob")
    assert read["disable_iss_validation"] is True and "a.secret.one" not in str(read)
    for wrong in [{}, {"kubernetes_host": ""}, {"kubernetes_host": "10.0.0.1"}, {"kubernetes_host": HOST, "pem_keys": ["x"]}]:
        assert server.call("POST", "auth/config-test/config", wrong).status_code == 400
    assert methods.read_config(mount_point="config-test") == read, "what was refused changed nothing"


def test_roles(client, server):
    methods = client.auth.kubernetes
    client.sys.enable_auth_method("kubernetes", path="roles-test")
    with pytest.raises(hvac.exceptions.InvalidPath):
        methods.list_roles(mount_point="roles-test")
    with pytest.raises(hvac.exceptions.InvalidPath):
        methods.read_role("nobody", mount_point="roles-test")
    for body in [{}, {"bound_service_account_names": "a"}, {"bound_service_account_namespaces": "a"}]:
        assert server.call("POST", "auth/roles-test/role/r", body).status_code == 400
    both = {"bound_service_account_names": ["*"], "bound_service_account_namespaces": ["*"]}
    assert methods.create_role("R", **both, mount_point="roles-test", alias_name_source="serviceaccount_name", token_type="service")
    read = methods.read_role("r", mount_point="roles-test")
    assert read["bound_service_account_names"] == ["*"] and read["alias_name_source"] == "serviceaccount_name"
    assert read["token_type"] == "service" and read["token_policies"] == []
    for wrong in [{"alias_name_source": "x"}, {"token_ttl": 2, "token_max_ttl": 1}, {"bound_service_account_names": "a,*"}]:
        assert server.call("POST", "auth/roles-test/role/r", both | wrong).status_code == 400
    assert methods.list_roles(mount_point="roles-test")["keys"] == ["r"]
    methods.delete_role("r", mount_point="roles-test")
    methods.delete_role("r", mount_point="roles-test")


@pytest.mark.parametrize(
    "algorithm,key", [("RS256", "RS256"), ("RS384", "RS256"), ("RS512", "RS256"), ("PS256", "RS256"), ("PS512", "RS256")] + [(a, a) for a in ["ES256", "ES384", "EdDSA"]]
)
def test_a_login_with_each_kind_of_signature(client, server, keys, algorithm, key):
    answer = login(server, "app", token(keys[key], algorithm, claims()))
    assert answer.status_code == 200, answer.text
    auth = answer.json()["auth"]
    assert auth["metadata"] == {
        "role": "app",
        "service_account_name": "app",
        "service_account_namespace": "default",
        "service_account_secret_name": "",
        "service_account_uid": "11111111-2222-4333-8444-555555555555",
    }
    assert auth["token_policies"] == ["default", "p"] and auth["lease_duration"] == 3600


def test_a_login_of_hvac_and_its_renewal(client, server, keys):
    made = client.auth.kubernetes.login("app", token(keys["ES256"], "ES256", claims()), use_token=False)["auth"]["client_token"]
    seen = client.auth.token.lookup(made)["data"]
    assert seen["display_name"] == "kubernetes-default-app" and seen["path"] == "auth/kubernetes/login"
    assert server.call("POST", "auth/token/renew-self", {}, token=made).status_code == 200
    role = client.auth.kubernetes.read_role("app")
    client.auth.kubernetes.delete_role("app")
    try:
        assert server.call("POST", "auth/token/renew-self", {}, token=made).status_code == 400
    finally:
        assert server.call("POST", "auth/kubernetes/role/app", role).status_code == 204


def test_who_is_not_bound_is_refused(client, server, keys):
    for other in [claims(name="other"), claims(namespace="other"), claims(name="app", sub="system:serviceaccount:default:other")]:
        assert login(server, "app", token(keys["ES256"], "ES256", other)).status_code == 403


def test_what_is_missing_is_named(client, server):
    for body, text in [({"jwt": "x"}, "missing role"), ({"role": "app"}, "missing jwt"), ({"role": "nobody", "jwt": "x"}, 'invalid role name "nobody"')]:
        answer = server.call("POST", "auth/kubernetes/login", body, token="")
        assert (answer.status_code, answer.json()["errors"]) == (400, [text])


def test_the_issuer_counts_if_asked_for(client, server, keys):
    config = {"kubernetes_host": HOST, "pem_keys": [pem(keys["ES256"])], "disable_iss_validation": False}
    assert server.call("POST", "sys/auth/strict", {"type": "kubernetes"}).status_code == 204
    bound = {"bound_service_account_names": "*", "bound_service_account_namespaces": "*"}
    assert server.call("POST", "auth/strict/role/r", bound).status_code == 200, "a warning: everybody may"
    for issuer, status in [(None, 403), ("https://cluster", 200)]:
        assert server.call("POST", "auth/strict/config", config | ({"issuer": issuer} if issuer else {})).status_code == 204
        body = {"role": "r", "jwt": token(keys["ES256"], "ES256", claims())}
        assert server.call("POST", "auth/strict/login", body, token="").status_code == status
