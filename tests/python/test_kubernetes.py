"""Kubernetes logins, with hvac where hvac has a method: against the cluster's public keys, and by an API server's review.

The API server is a stand-in of a few lines (`ApiServer`): no Kubernetes runs here.
"""

import http.server
import json
import ssl
import threading
import time
import uuid

import hvac
import pytest
from cryptography.hazmat.primitives import serialization

from coffre_server import certificate_of, free_port, write_certificate, write_chain
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


class ApiServer:
    """A stand-in of a cluster's API server: it answers each TokenReview with `reply`, over TLS, and keeps what it was sent.

    No Kubernetes runs here. What it answers has the form of the Kubernetes API's reference ("TokenReview v1").
    """

    def __init__(self, pair):
        self.asked, self.reply = [], None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((self.path, self.headers["Authorization"], body))
                status, content, headers = outer.reply(body)
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"https://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def reviewed(namespace="default", name="app", uid="11111111-2222-4333-8444-555555555555", audiences=("vault",), authenticated=True):
    user = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": uid, "groups": ["system:serviceaccounts"]}
    status = {"authenticated": authenticated} | ({"user": user, "audiences": list(audiences)} if authenticated else {"error": "no"})
    content = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
    return lambda _: (201, content, {"Content-Type": "application/json"})


@pytest.fixture
def cluster(tmp_path):
    pair = write_certificate(tmp_path / "api.pem")
    api = ApiServer(pair)
    api.ca = pair[0].read_text()
    yield api
    api.stop()


@pytest.fixture
def ask(client, server, cluster, keys):
    """Logs in at a mount whose cluster is the stand-in."""
    path = f"review-{uuid.uuid4().hex[:8]}"
    client.sys.enable_auth_method("kubernetes", path=path)
    config = {"kubernetes_host": cluster.address, "kubernetes_ca_cert": cluster.ca, "token_reviewer_jwt": "the.reviewers.token", "disable_local_ca_jwt": True}
    role = {"bound_service_account_names": "app", "bound_service_account_namespaces": "default", "audience": "vault"}
    assert server.call("POST", f"auth/{path}/role/app", role).status_code == 204

    def ask(payload=None, **changes):
        assert server.call("POST", f"auth/{path}/config", config | changes).status_code == 204
        ask.jwt = token(keys["ES256"], "ES256", payload or claims())
        answer = server.call("POST", f"auth/{path}/login", {"role": "app", "jwt": ask.jwt}, token="")
        assert "the.reviewers.token" not in answer.text and ask.jwt not in answer.text
        return answer

    return ask


def test_a_review_by_the_api_server(cluster, ask):
    cluster.reply = reviewed()
    answer = ask()
    assert answer.status_code == 200, answer.text
    metadata = answer.json()["auth"]["metadata"]
    assert metadata["service_account_name"] == "app" and metadata["service_account_uid"].startswith("1111")
    [(path, bearer, body)] = cluster.asked
    assert (path, bearer) == ("/apis/authentication.k8s.io/v1/tokenreviews", "Bearer the.reviewers.token")
    assert body["kind"] == "TokenReview" and body["spec"] == {"token": ask.jwt, "audiences": ["vault"]}


def test_without_a_reviewer_a_token_reviews_itself(cluster, ask):
    cluster.reply = reviewed()
    assert ask(token_reviewer_jwt="").status_code == 200
    assert cluster.asked[0][1] == f"Bearer {ask.jwt}"
    cluster.reply = lambda _: (401, b"{}", {})
    assert ask(token_reviewer_jwt="").status_code == 403


@pytest.mark.parametrize(
    "said",
    [
        {"authenticated": False},
        {"namespace": "other"},
        {"name": "other"},
        {"uid": "22222222-2222-4333-8444-555555555555"},
        {"uid": ""},
        {"audiences": ["other"]},
        {"audiences": []},
    ],
)
def test_a_review_that_says_otherwise_is_a_refusal(cluster, ask, said):
    cluster.reply = reviewed(**said)
    answer = ask()
    assert (answer.status_code, len(cluster.asked)) == (403, 1)
    cluster.reply = reviewed()
    assert ask().status_code == 200, "the same login with the right review"


@pytest.mark.parametrize("other", [{"namespace": "other"}, {"name": "other"}, {"aud": ["other"]}, {"exp": 1}, {"sub": "system:serviceaccount:default:other"}])
def test_what_could_never_do_is_not_asked_about(cluster, ask, other):
    cluster.reply = reviewed()
    assert ask(claims(**other)).status_code == 403 and cluster.asked == []


def test_i8_an_api_server_that_fails_or_leads_elsewhere_is_named_and_not_followed(cluster, ask):
    for reply, text in [
        (lambda _: (302, b"", {"Location": f"{cluster.address}/elsewhere"}), "status 302"),
        (lambda _: (201, b'{"kind":"TokenReview","x":"' + b"x" * (2 << 20) + b'"}', {}), "too long"),
        (lambda _: (200, b"<html>", {}), "no TokenReview"),
        (lambda _: (401, b"{}", {}), "token_reviewer_jwt"),
        (lambda _: (403, b"{}", {}), "system:auth-delegator"),
        (lambda _: (500, b"{}", {}), "status 500"),
    ]:
        cluster.asked.clear()
        cluster.reply = reply
        answer = ask()
        assert answer.status_code == 502 and text in answer.json()["errors"][0], answer.text
        assert [path for path, _, _ in cluster.asked] == ["/apis/authentication.k8s.io/v1/tokenreviews"], "asked once, there alone"


def test_a_slow_api_server_is_not_waited_for(cluster, ask):
    cluster.reply = lambda body: time.sleep(14) or reviewed()(body)
    begun = time.monotonic()
    answer = ask()
    assert answer.status_code == 502 and "in time" in answer.json()["errors"][0]
    assert 9 < time.monotonic() - begun < 13


def test_an_api_server_that_is_down_or_another_one(cluster, ask, tmp_path):
    cluster.reply = reviewed()
    other = write_certificate(tmp_path / "other.pem")[0].read_text()
    for changes, text in [
        ({"kubernetes_ca_cert": other}, "certificate"),
        ({"kubernetes_ca_cert": CA}, "kubernetes_ca_cert"),
        ({"kubernetes_ca_cert": "", "disable_local_ca_jwt": False}, "kubernetes_ca_cert"),
        ({"kubernetes_host": "http://10.0.0.1:6443"}, "kubernetes_host"),
        ({"kubernetes_host": f"https://127.0.0.1:{free_port()}"}, "cannot be reached"),
    ]:
        answer = ask(**changes)
        assert answer.status_code == 502 and text in answer.json()["errors"][0], answer.text
    assert cluster.asked == [], "no token went to a server that is not the configured one"


def test_a_certificate_below_an_authority(client, ask, tmp_path):
    api = ApiServer(write_chain(tmp_path / "authority.pem"))
    try:
        api.reply = reviewed()
        answer = ask(kubernetes_host=api.address, kubernetes_ca_cert=(tmp_path / "authority.pem").read_text())
        assert answer.status_code == 200, answer.text
    finally:
        api.stop()


def test_keys_in_certificates_as_hvac_sends_them(client, server, keys):
    client.sys.enable_auth_method("kubernetes", path="certified")
    paper = certificate_of(keys["ES256"], keys["ES256"], "cluster", "cluster", authority=False)
    written = paper.public_bytes(serialization.Encoding.PEM).decode().strip()
    methods = client.auth.kubernetes
    methods.configure(HOST, pem_keys=[written], mount_point="certified")
    methods.create_role("app", bound_service_account_names=["app"], bound_service_account_namespaces=["default"], mount_point="certified")
    for key, status in [("ES256", 200), ("ES384", 403)]:
        body = {"role": "app", "jwt": token(keys[key], key, claims())}
        assert server.call("POST", "auth/certified/login", body, token="").status_code == status
