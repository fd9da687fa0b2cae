"""Rows C: spellings of paths, verbs, headers and framing. What policy checked is what is done, and nothing on the way
moves the boundary."""

import http.client
import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coffre_server import Server
from wire import ask, connect, read, request, send

OTHER = {"data": {"k": "OTHERS-VALUE"}}
MERGE = "application/merge-patch+json"

# Seen from below `app/`; none of them may lead to `other`.
SPELLINGS = [
    "app/../other", "app/%2e%2e/other", "app/%2E%2E/other", "app/..%2fother", "app/..%2Fother", "app/.%2e/other",
    "app/%2e./other", "app/%252e%252e/other", "app/..%252fother", "app//other", "app//../other", "app/./../other",
    "app/./other", "app/x/../../other", "app/x/..//../other", "app\\..\\other", "app/..\\other", "app%5c..%5cother",
    "app/%5c..%5cother", "app/..;/other", "app;/../other", "app/x;y", "app/x;y/../../other", "app/..%00/other",
    "app/..%0a/other", "app/..%0d%0a/other", "app/..%09/other", "app/%c0%ae%c0%ae/other", "app/%e0%80%ae%e0%80%ae/other",
    "app/%ef%bc%8e%ef%bc%8e/other", "app/..%c0%afother", "app/%uff0e%uff0e/other", "app/.../other", "app/....//other",
    "app/..?/other", "app/..%3f/other", "app/..%23/other", "app/..%20/other", "app/%20../other", "app/..%e2%80%8b/other",
    "app/%e2%80%8b../other", "app/..%ef%bb%bf/other", "app/*/../../other", "app/+/../../other", "app/../../data/other",
    "app/../../../kv/data/other", "app/%2e%2e%2f%2e%2e%2fdata/other", "../kv/data/other", "./app/../other", "/other",
    "app/..", "app/../", "app/%2e%2e", "app/.", "app/%2e", "app/..%2f", "%2e%2e/data/other", "app/~/../other",
    "app/%7e/../../other", "app/..%5cother",
]


@pytest.fixture(scope="module")
def vault(binary, tmp_path_factory):
    """A KV mount `kv/` with `other`, and a token for `app/` below it alone."""
    server = Server(binary, tmp_path_factory.mktemp("paths")).bring_up()
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    assert server.call("POST", "kv/data/other", OTHER).status_code == 200
    assert server.call("POST", "kv/data/app/x", {"data": {"k": "own"}}).status_code == 200
    everything = '{ capabilities = ["create", "read", "update", "patch", "delete", "list"] }'
    policy = "\n".join(f'path "kv/{part}/app/*" {everything}' for part in ("data", "metadata", "delete", "destroy", "undelete"))
    server.call("PUT", "sys/policies/acl/app", {"policy": policy})
    server.app = server.call("POST", "auth/token/create", {"policies": ["app"], "no_default_policy": True}).json()["auth"]["client_token"]
    yield server
    server.stop()


def unchanged(server) -> None:
    kept = server.call("GET", "kv/data/other").json()["data"]
    assert kept["data"] == OTHER["data"] and kept["metadata"]["version"] == 1, kept
    assert server.call("GET", "kv/metadata/other").json()["data"]["current_version"] == 1


def assert_denied_or_elsewhere(server, reply, told) -> None:
    assert reply.status in (200, 204, 400, 403, 404, 405), (told, reply)
    assert b"OTHERS-VALUE" not in reply.raw, told


def test_c1_no_traversal_reaches_a_neighbour_by_delete(vault):
    """A grant to delete below one folder deletes nothing outside of it, however the path is written."""
    for part in ("data", "metadata"):
        for spelling in SPELLINGS:
            reply = ask(vault, "DELETE", f"/v1/kv/{part}/{spelling}", token=vault.app)
            assert_denied_or_elsewhere(vault, reply, spelling)
    for target in ("//v1/kv/data/other", "/v1//kv/data/other", "/V1/kv/data/other", "/v1/./kv/data/other", "/v1/kv//data/other"):
        assert ask(vault, "DELETE", target, token=vault.app).status in (400, 403, 404), target
    unchanged(vault)


def test_c2_sixty_spellings_of_a_denied_path_reach_nothing(vault):
    """No spelling of a denied path returns or changes what is there, with any verb; what is not canonical is refused."""
    body = json.dumps({"data": {"k": "CHANGED"}}).encode()
    assert len(SPELLINGS) >= 60
    for spelling in SPELLINGS:
        for method, part, headers, sent in [
            ("GET", "data", (), b""), ("LIST", "metadata", (), b""), ("POST", "data", (), body),
            ("PATCH", "data", {"Content-Type": MERGE}, body), ("DELETE", "data", (), b""),
        ]:
            reply = ask(vault, method, f"/v1/kv/{part}/{spelling}", headers, sent, token=vault.app)
            assert_denied_or_elsewhere(vault, reply, (method, spelling))
    for odd in ("app/../other", "app//other", "app/./other", "app/%2e%2e/other", "app/..%2fother", "app%5cother", "app/x%00", "%ff"):
        assert ask(vault, "GET", f"/v1/kv/data/{odd}").status == 400, f"{odd}: also root is told that this is no path"
    unchanged(vault)


def test_c3_a_slash_at_the_end_is_another_path(vault):
    """`foo/` names a folder: writes to it are refused, and reading it does not give what is in `foo`."""
    assert ask(vault, "POST", "/v1/kv/data/other/", body=json.dumps(OTHER).encode()).status == 400
    assert ask(vault, "PATCH", "/v1/kv/data/other/", {"Content-Type": MERGE}, b'{"data":{"k":"x"}}').status == 400
    for method in ("GET", "DELETE"):
        reply = ask(vault, method, "/v1/kv/data/other/")
        assert reply.status == 404 and b"OTHERS-VALUE" not in reply.raw
    unchanged(vault)


def test_c4_only_clean_text_is_a_path(vault):
    """Invalid UTF-8, control characters and escaped slashes are refused; nothing is normalised, names come back byte by byte."""
    bad = ["%ff", "%c3", "%c0%ae", "%ed%a0%80", "a%2fb", "a%2Fb", "a%5cb", "%zz", "%", "%4", "%e2%80%ae", "%e2%80%8f", "%c2%80"]
    bad += [f"%{code:02x}" for code in [*range(0x20), 0x7F]]
    for name in bad:
        assert ask(vault, "GET", f"/v1/kv/data/{name}").status == 400, name
        assert ask(vault, "POST", f"/v1/kv/data/{name}", body=b'{"data":{}}').status == 400, name
    composed, decomposed = "\u00e9", "e\u0301"
    for name in (composed, decomposed):
        assert vault.call("POST", f"kv/data/norm/{name}", {"data": {"k": name}}).status_code == 200
    assert set(vault.call("LIST", "kv/metadata/norm").json()["data"]["keys"]) == {composed, decomposed}
    for name in (composed, decomposed):
        assert vault.call("GET", f"kv/data/norm/{name}").json()["data"]["data"] == {"k": name}


def test_c5_verbs_mean_one_thing(vault):
    """Overrides are ignored, HEAD has GET's rights and no body, unknown and lower-case verbs are 405, LIST has two forms."""
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert ask(vault, "GET", "/v1/kv/data/other", {header: "DELETE"}).status == 200
        assert ask(vault, "POST", "/v1/kv/data/app/x?_method=DELETE", {header: "DELETE"}, b'{"data":{"k":"own"}}').status == 200
    unchanged(vault)
    reply = ask(vault, "HEAD", "/v1/kv/data/other")
    assert reply.status == 200 and reply.body == b""
    assert ask(vault, "HEAD", "/v1/kv/data/other", token=vault.app).status == 403
    for verb in ("TRACE", "CONNECT", "BREW", "get", "delete", "list", "PROPFIND"):
        target = "/v1/kv/data/other" if verb != "CONNECT" else "x:1"
        assert ask(vault, verb, target).status in (400, 404, 405), verb
    assert ask(vault, "BREW", "/v1/kv/data/other").status == 405
    for target in ("/v1/kv/metadata?list=true", "/v1/kv/metadata/?list=1", "/v1/kv/metadata?list=T"):
        reply = ask(vault, "GET", target)
        assert reply.status == 200 and "other" in json.loads(reply.body)["data"]["keys"]
    assert ask(vault, "GET", "/v1/kv/metadata?list=perhaps").status == 400
    assert ask(vault, "GET", "/v1/kv/metadata?list=true", token=vault.app).status == 403
    for kind in ((), {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}):
        assert ask(vault, "PATCH", "/v1/kv/data/other", kind, b'{"data":{"k":"x"}}').status == 415
    unchanged(vault)


def test_c6_no_header_names_an_internal_operation(vault):
    """Operations that only the server itself performs cannot be asked for by any header, parameter or verb."""
    before = vault.call("LIST", "auth/token/accessors").json()["data"]["keys"]
    for word in ("alias-lookahead", "rollback", "revoke", "renew", "header", "help", "resolve-role"):
        for header in ("X-Vault-Operation", "X-Vault-Request-Operation", "X-Vault-Method", "X-Vault-Action", "X-Vault-Internal"):
            reply = ask(vault, "POST", "/v1/kv/data/other", {header: word}, b"{}", token=vault.app)
            assert reply.status == 403, (word, header)
        # HELP is a verb of its own: it tells what a path does.
        if word != "help":
            assert ask(vault, word.upper(), "/v1/kv/data/other", token=vault.app).status == 405, word
        assert ask(vault, "GET", f"/v1/kv/data/other?operation={word}", token=vault.app).status == 403
    assert vault.call("LIST", "auth/token/accessors").json()["data"]["keys"] == before
    unchanged(vault)


# ---------------------------------------------------------------------------------------------------- addresses, proxies


def bound_token(server) -> str:
    """A secret-id login that is bound to 10.0.0.0/8."""
    server.call("POST", "sys/auth/approle", {"type": "approle"})
    server.call("POST", "auth/approle/role/far", {"token_bound_cidrs": "10.0.0.0/8", "token_policies": "default"})
    role = server.call("GET", "auth/approle/role/far/role-id").json()["data"]["role_id"]
    secret = server.call("POST", "auth/approle/role/far/secret-id", {}).json()["data"]["secret_id"]
    return json.dumps({"role_id": role, "secret_id": secret}).encode()


SPOOFS = [
    [("X-Forwarded-For", "10.1.1.1")],
    [("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-For", "10.1.1.2")],
    [("X-Forwarded-For", "10.1.1.1, 127.0.0.1")],
    [("Forwarded", "for=10.1.1.1")],
    [("X-Real-IP", "10.1.1.1")],
    [("True-Client-IP", "10.1.1.1")],
    [("CF-Connecting-IP", "10.1.1.1")],
]
PROXY_V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack(">H", 12) + socket.inet_aton("10.1.1.1") + socket.inet_aton("10.1.1.2") + struct.pack(">HH", 1, 2)


def test_c7_no_header_moves_a_client_into_another_network(vault):
    """Without named proxies no header and no preface changes the caller's address, for rights and for audit."""
    login = bound_token(vault)
    for spoof in SPOOFS:
        reply = ask(vault, "POST", "/v1/auth/approle/login", spoof, login, token="")
        assert reply.status in (400, 403) and b"client_token" not in reply.body, spoof
    for preface in (b"PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\n", PROXY_V2):
        reply = send(vault, preface + request("POST", "/v1/auth/approle/login", body=login))
        assert reply.status in (0, 400) and reply.closed and b"client_token" not in reply.raw
    addresses = set()
    for line in Path(vault.audit).read_text().splitlines():
        addresses.add(json.loads(line)["request"].get("remote_address"))
    assert addresses <= {"127.0.0.1", None}, addresses


def test_c7_a_named_proxy_is_believed_for_the_rightmost_stranger(binary, tmp_path):
    """With a list of proxies, the right-most address that is no proxy is the caller; others who claim are refused."""
    server = Server(binary, tmp_path / "server")
    config = json.loads(server.config.read_text())
    config["listener"]["tcp"] |= {
        "x_forwarded_for_authorized_addrs": "127.0.0.1,192.168.0.0/16",
        "x_forwarded_for_reject_not_present": False,
    }
    server.config.write_text(json.dumps(config))
    server.bring_up()
    try:
        login = bound_token(server)
        for hops, allowed in [
            ("10.1.1.1", True), ("203.0.113.9, 10.1.1.1", True), ("10.1.1.1, 192.168.3.4", True), ("10.1.1.1:4711", True),
            ("::ffff:10.1.1.1", True), ("10.1.1.1, 203.0.113.9", False), ("10.1.1.1, nonsense", False), ("", False), ("010.1.1.1", False),
        ]:
            reply = ask(server, "POST", "/v1/auth/approle/login", {"X-Forwarded-For": hops}, login, token="")
            assert (reply.status == 200) is allowed, (hops, reply)
            assert allowed or reply.status in (400, 403)
        assert ask(server, "POST", "/v1/auth/approle/login", (), login, token="").status in (400, 403)
        assert ask(server, "GET", "/v1/sys/mounts", [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.77")]).status == 200
        assert '"remote_address":"203.0.113.77"' in Path(server.audit).read_text()
        assert '"remote_address":"1.1.1.1"' not in Path(server.audit).read_text()
    finally:
        server.stop()


def test_c7_strangers_who_claim_to_be_proxies_are_refused(binary, tmp_path):
    """A request with the header from an address that is no named proxy is refused, as is one without the header."""
    server = Server(binary, tmp_path / "server")
    config = json.loads(server.config.read_text())
    config["listener"]["tcp"]["x_forwarded_for_authorized_addrs"] = ["192.0.2.1"]
    server.config.write_text(json.dumps(config))
    server.start()
    try:
        for headers in ({"X-Forwarded-For": "10.1.1.1"}, ()):
            reply = ask(server, "GET", "/v1/sys/seal-status", headers, token="")
            assert reply.status == 400 and b"x-forwarded-for" in reply.body
    finally:
        server.stop()


def test_c8_networks_are_read_strictly(vault):
    """What is no network is refused when it is written, and what is stored is read back as it was meant."""
    vault.call("POST", "sys/auth/approle", {"type": "approle"})
    for bad in ("010.0.0.1", "10.0.0.0/33", "10.0.0", "::/129", "0x0a000001", "10.0.0.0/-1", "10.0.0.0/8/8", "localhost", "10.0.0.0 /8"):
        answer = vault.call("POST", "auth/approle/role/nets", {"token_bound_cidrs": bad})
        assert answer.status_code == 400, bad
        assert vault.call("GET", "auth/approle/role/nets").status_code == 404
    for networks, reachable in [("0.0.0.0/0,::/0", True), ("127.0.0.0/8", True), ("::ffff:127.0.0.1", True), ("", True), ("10.0.0.0/8", False)]:
        answer = vault.call("POST", "auth/approle/role/net2", {"token_bound_cidrs": networks, "token_policies": "default"})
        assert answer.status_code == 204, (networks, answer.text)
        role = vault.call("GET", "auth/approle/role/net2/role-id").json()["data"]["role_id"]
        secret = vault.call("POST", "auth/approle/role/net2/secret-id", {}).json()["data"]["secret_id"]
        login = vault.call("POST", "auth/approle/login", {"role_id": role, "secret_id": secret}, token="")
        assert (login.status_code == 200) is reachable, (networks, login.text)


def test_c9_broken_prefaces_stop_nobody_else(vault):
    """A thousand broken PROXY prefaces end their own connections alone."""
    prefaces = [b"PROXY \r\n", b"PROXY TCP4 x y z\r\n", b"PROXY UNKNOWN\r\n" * 3, PROXY_V2[:10], PROXY_V2, b"\r\n\r\n\x00\r\nQUIT\n\xff\xff\xff\xff", b"\x00" * 64, b"\x16\x03\x01"]

    def break_one(number):
        with connect(vault) as stream:
            stream.sendall(prefaces[number % len(prefaces)])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(break_one, range(1000)))
    for _ in range(20):
        assert vault.call("GET", "sys/seal-status").status_code == 200
    unchanged(vault)


# ---------------------------------------------------------------------------------------------------- framing and headers


def test_c10_no_request_hides_in_another(vault):
    """A head or a body with two readings is refused and the connection closed; the hidden request is neither answered nor recorded."""
    hidden = request("POST", "/v1/kv/data/smuggled", body=b'{"data":{"k":"v"}}', token=vault.root)
    chunked = b"0\r\n\r\n" + hidden
    long = str(len(chunked))
    cases = [
        ("length and coding", [("Content-Length", long), ("Transfer-Encoding", "chunked")], chunked),
        ("coding and length", [("Transfer-Encoding", "chunked"), ("Content-Length", long)], chunked),
        ("length 0 and coding", [("Content-Length", "0"), ("Transfer-Encoding", "chunked")], chunked),
        ("two codings", [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")], chunked),
        ("the same coding twice", [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], chunked),
        ("odd coding", [("Transfer-Encoding", "xchunked")], chunked),
        ("a coding before", [("Transfer-Encoding", "gzip, chunked")], chunked),
        ("a coding after", [("Transfer-Encoding", "chunked, gzip")], chunked),
        ("vertical tab", [("Transfer-Encoding", "\x0bchunked")], chunked),
        ("two lengths", [("Content-Length", "2"), ("Content-Length", "40")], b"{}" + hidden),
        ("equal lengths", [("Content-Length", "2"), ("Content-Length", "2")], b"{}" + hidden),
        ("listed lengths", [("Content-Length", "2, 40")], b"{}" + hidden),
        ("signed length", [("Content-Length", "+2")], b"{}" + hidden),
        ("negative length", [("Content-Length", "-2")], b"{}" + hidden),
        ("huge length", [("Content-Length", str(2**64 + 2))], b"{}" + hidden),
        ("huge chunk", [("Transfer-Encoding", "chunked")], b"10000000000000002\r\n{}\r\n" + chunked),
        ("signed chunk", [("Transfer-Encoding", "chunked")], b"+2\r\n{}\r\n" + chunked),
        ("folded line", [("X-A", "a\r\n Content-Length: 2")], hidden),
        ("bare line feed", [("Content-Length", "2\nX-B: b")], b"{}" + hidden),
        ("space before colon", [("Content-Length ", "2")], b"{}" + hidden),
        ("null in a value", [("X-A", "a\0b")], hidden),
        ("carriage return in a value", [("X-A", "a\rb")], hidden),
    ]
    for name, headers, body in cases:
        headers = headers + [("X-Vault-Token", vault.app)]
        head = f"POST /v1/kv/data/app/outer HTTP/1.1\r\nHost: x\r\n{''.join(f'{n}: {v}' + chr(13) + chr(10) for n, v in headers)}\r\n"
        reply = send(vault, head.encode("latin-1") + body)
        assert reply.status in (0, 400, 501), (name, reply)
        assert reply.closed and len(reply.statuses) <= 1, (name, reply)
        assert vault.call("GET", "kv/data/smuggled").status_code == 404, name
    entries = [json.loads(line) for line in Path(vault.audit).read_text().splitlines()]
    assert not [entry for entry in entries if entry["request"]["path"] == "kv/data/smuggled" and entry["request"]["operation"] != "read"]


def test_c11_http2_is_not_spoken(vault, tls_server):
    """Floods of HTTP/2 frames find nobody: the protocol is not offered, and its preface is refused."""
    reply = send(vault, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 100)
    assert reply.status in (0, 400, 505) and reply.closed
    upgrade = [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    reply = send(vault, request("GET", "/v1/sys/seal-status", upgrade))
    assert reply.status == 200 and b"101" not in reply.raw[:20]
    import ssl

    context = ssl.create_default_context(cafile=str(tls_server.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", tls_server.port)), server_hostname="localhost") as stream:
        assert stream.selected_alpn_protocol() == "http/1.1"


def test_c12_giant_heads_are_refused(vault):
    """A token of 9 kB, 200 headers, a block of 1 MB and a path of 1 MB are refused, and not logged at full length."""
    big = "A7x" * (1 << 20)
    for target, headers in [
        ("/v1/sys/mounts", [("X-Vault-Token", "t" * 9 * 1024)]),
        ("/v1/sys/mounts", [(f"X-{n}", "a") for n in range(200)]),
        ("/v1/sys/mounts", [("X-A", big)]),
        (f"/v1/{big}", []),
    ]:
        reply = send(vault, request("GET", target, headers), most=10)
        assert reply.status in (0, 400, 414, 431), (target[:20], reply.raw[:200])
    assert big[:4096] not in Path(vault.log).read_text() and big[:4096] not in Path(vault.audit).read_text()
    assert vault.call("GET", "sys/seal-status").status_code == 200


def test_c13_the_host_header_builds_nothing(vault):
    """No answer holds or follows the Host header: there is no redirect, and addresses are the configured ones."""
    for target in ("/", "/ui", "/ui/", "/v1", "/v1/", "/v1/sys/leader", "/v1/sys/health", "/v1/sys/seal-status", "/v1/kv/data/other"):
        data = f"GET {target} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Vault-Token: {vault.root}\r\nConnection: close\r\n\r\n"
        reply = send(vault, data.encode())
        assert b"evil.example" not in reply.raw and "location:" not in reply.head, target
        assert reply.status in (200, 400, 404), target


def test_c14_a_namespace_is_never_silently_the_root(vault):
    """A server without namespaces refuses every request that names one, the root's own name included."""
    for name in ("foo", "foo/", "root", "root/", "/", "../", "ns1/ns2", "%2e%2e", " x"):
        reply = ask(vault, "GET", "/v1/kv/data/other", {"X-Vault-Namespace": name})
        assert reply.status in (400, 404) and b"OTHERS-VALUE" not in reply.raw, name
        reply = ask(vault, "POST", "/v1/kv/data/other", {"X-Vault-Namespace": name}, b'{"data":{"k":"x"}}')
        assert reply.status in (400, 404), name
    twice = [("X-Vault-Namespace", ""), ("X-Vault-Namespace", "foo")]
    assert ask(vault, "GET", "/v1/kv/data/other", twice).status in (400, 404)
    unchanged(vault)


def test_c15_two_tokens_have_a_fixed_order(vault):
    """X-Vault-Token wins over Authorization, one header with two values is refused, and neither is shown to anybody."""
    for headers, status in [
        ([("X-Vault-Token", vault.root), ("Authorization", "Bearer hvs.wrong")], 200),
        ([("X-Vault-Token", "hvs.wrong"), ("Authorization", f"Bearer {vault.root}")], 403),
        ([("Authorization", f"Bearer {vault.root}")], 200),
        ([("Authorization", f"bearer {vault.root}")], 403),
        ([("Authorization", f"Basic {vault.root}")], 403),
        ([("X-Vault-Token", vault.app), ("X-Vault-Token", vault.root)], 400),
        ([("Authorization", f"Bearer {vault.app}"), ("Authorization", f"Bearer {vault.root}")], 400),
    ]:
        reply = ask(vault, "GET", "/v1/kv/data/other", headers, token="")
        assert reply.status == status, (headers[0][0], status, reply.status)
        assert vault.root.encode() not in reply.raw
    assert vault.root not in Path(vault.audit).read_text() and vault.root not in Path(vault.log).read_text()


def test_c16_a_token_in_the_address_is_no_token(vault):
    """Tokens in the query or the user part of the address are not looked at, and no log has them."""
    for name in ("token", "X-Vault-Token", "x-vault-token", "client_token", "access_token"):
        reply = ask(vault, "GET", f"/v1/kv/data/other?{name}={vault.root}", token="")
        assert reply.status == 403, name
    assert ask(vault, "GET", f"http://{vault.root}@x/v1/kv/data/other", token="").status in (400, 403)
    assert vault.root not in Path(vault.log).read_text() and vault.root not in Path(vault.audit).read_text()


def test_c17_compressed_bodies_are_refused(vault):
    """No body is ever unpacked: any coding but identity is 415, also as the second of two headers."""
    for headers in (
        [("Content-Encoding", "gzip")], [("Content-Encoding", "deflate")], [("Content-Encoding", "br")], [("Content-Encoding", "gzip, identity")],
        [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")], [("Content-Encoding", "GZIP")],
    ):
        reply = ask(vault, "POST", "/v1/kv/data/app/x", headers, b"\x1f\x8b\x08" + b"\x00" * 100)
        assert reply.status == 415, headers


def test_c18_no_answer_is_kept_or_guessed_at(vault):
    """Every answer says no-store and nosniff, errors and empty ones included, and says what it is."""
    for method, target, token, status in [
        ("GET", "/v1/kv/data/other", None, 200), ("HEAD", "/v1/kv/data/other", None, 200), ("GET", "/v1/kv/data/nothing", None, 404),
        ("GET", "/v1/kv/data/other", "", 403), ("GET", "/v1/kv/../x", None, 400), ("GET", "/elsewhere", None, 404), ("GET", "/", None, 404),
        ("BREW", "/v1/kv", None, 405), ("GET", "/v1/sys/health", "", 200), ("GET", "/v1/sys/internal/specs/openapi", "", 200),
        ("DELETE", "/v1/kv/data/app/none", None, 204), ("GET", "/v1/kv/data/other?help=1", None, 200), ("LIST", "/v1/kv/metadata", None, 200),
    ]:
        reply = ask(vault, method, target, token=token)
        assert reply.status == status, (method, target, reply)
        assert "cache-control: no-store" in reply.head and "x-content-type-options: nosniff" in reply.head, target
        if reply.body:
            assert "content-type: application/json" in reply.head and isinstance(json.loads(reply.body), dict), target


def test_c_forms_are_read_where_they_are_announced(vault):
    """A form body is read as fields only if it is announced as one; JSON is JSON whatever its content type says."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    vault.call("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
    assert ask(vault, "POST", "/v1/kv1/form", form, b"a=1&b=x%20y+z").status == 204
    assert vault.call("GET", "kv1/form").json()["data"] == {"a": "1", "b": "x y z"}
    assert ask(vault, "POST", "/v1/kv1/json", form, b' {"a": 1}').status == 204
    assert vault.call("GET", "kv1/json").json()["data"] == {"a": 1}
    assert ask(vault, "POST", "/v1/kv1/no", {"Content-Type": "application/json"}, b"a=1").status == 400
    assert ask(vault, "POST", "/v1/kv1/no", form, b"a=1&a=2").status == 400
    assert vault.call("GET", "kv1/no").status_code == 404


def test_c_answers_in_a_row_belong_to_their_requests(vault):
    """Requests on one connection are answered in order, and a refused one does not shift the others."""
    client = http.client.HTTPConnection("127.0.0.1", vault.port, timeout=20)
    for number in range(50):
        target = "/v1/kv/data/other" if number % 3 else "/v1/kv/data/a%00b"
        client.request("GET", target, headers={"X-Vault-Token": vault.root})
        answer = client.getresponse()
        assert (b"OTHERS-VALUE" in answer.read()) == bool(number % 3)
    with connect(vault) as stream:
        stream.sendall(b"".join(request("GET", "/v1/kv/data/other", token=vault.root) for _ in range(10)))
        assert read(stream).statuses == [200] * 10
