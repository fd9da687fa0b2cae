"""Rows L: TLS, what a browser would make of answers, and what log files hold."""

import datetime
import json
import os
import signal
import socket
import ssl
import struct
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coffre_server import Server, write_certificate
from wire import ask, connect, read, request, send

STRONG = [0xC02B, 0xC02C, 0xCCA9]
WEAK = {
    "key exchange by RSA": [0x009C, 0x009D, 0x002F, 0x0035],
    "CBC": [0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC027],
    "3DES": [0x000A, 0xC008, 0xC012],
    "RC4": [0x0004, 0x0005, 0xC007, 0xC011],
    "no encryption": [0x0001, 0x0002, 0x003B, 0xC006, 0xC010],
    "export": [0x0003, 0x0006, 0x0008, 0x0014],
    "nobody authenticated": [0x0018, 0x0034, 0x00A6, 0xC018],
}


def client_hello(version: int, suites: list[int], compressions: bytes = b"\x00", record: int | None = None) -> bytes:
    """A ClientHello without TLS 1.3, as clients of that version send it (RFC 5246, 7.4.1.2)."""
    groups = struct.pack(">HHHHHH", 10, 8, 6, 0x001D, 0x0017, 0x0018)
    formats = struct.pack(">HHBB", 11, 2, 1, 0)
    signatures = struct.pack(">HHHHHH", 13, 8, 6, 0x0403, 0x0804, 0x0401)
    extensions = groups + formats + (signatures if version >= 0x0303 else b"")
    body = struct.pack(">H", version) + os.urandom(32) + b"\x00"
    body += struct.pack(">H", 2 * len(suites)) + b"".join(struct.pack(">H", suite) for suite in suites)
    body += bytes([len(compressions)]) + compressions + struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16" + struct.pack(">HH", record or min(version, 0x0301), len(message)) + message


def plainly(server, data: bytes, pieces: int = 0):
    """Sends bytes below TLS."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), pieces or len(data)):
            stream.sendall(data[at : at + (pieces or len(data))])
        return read(stream, silence=1.0)


def is_server_hello(reply) -> bool:
    return len(reply.raw) > 5 and reply.raw[0] == 22 and reply.raw[5] == 2


def assert_no_handshake(reply, told) -> None:
    assert not is_server_hello(reply), told
    assert reply.closed and reply.raw[:1] in (b"", b"\x15"), (told, reply)


def test_l1_only_tls_1_2_and_1_3_with_strong_suites(tls_server):
    """Older versions, weak suites and compression end in an alert; the strong ones are spoken."""
    assert is_server_hello(plainly(tls_server, client_hello(0x0303, STRONG)))
    for version in (0x0300, 0x0301, 0x0302):
        assert_no_handshake(plainly(tls_server, client_hello(version, STRONG + [0xC009, 0x002F])), hex(version))
    for name, suites in WEAK.items():
        assert_no_handshake(plainly(tls_server, client_hello(0x0303, suites)), name)
    # A version of SSL 2 has another form altogether, and is answered like anything else that is no TLS.
    assert not is_server_hello(plainly(tls_server, b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x07\x00\xc0" * 7 + os.urandom(16)))
    with_compression = plainly(tls_server, client_hello(0x0303, STRONG, compressions=b"\x01\x00"))
    if is_server_hello(with_compression):
        session = with_compression.raw[43]
        assert with_compression.raw[44 + session + 2] == 0, "no compression was chosen"
    assert_no_handshake(plainly(tls_server, client_hello(0x0303, STRONG, compressions=b"\x01")), "compression only")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=str(tls_server.ca))
        context.minimum_version = context.maximum_version = version
        with context.wrap_socket(socket.create_connection(("127.0.0.1", tls_server.port)), server_hostname="localhost") as stream:
            assert stream.compression() is None and ("GCM" in stream.cipher()[0] or "CHACHA20" in stream.cipher()[0])


def test_l2_handshakes_in_pieces_end_or_succeed(tls_server):
    """A hello byte by byte, in many records, cut off, repeated or of garbage leaves the server as it was."""
    hello = client_hello(0x0303, STRONG)
    assert is_server_hello(plainly(tls_server, hello, pieces=1))
    payload = hello[5:]
    records = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(payload[at : at + 16])) + payload[at : at + 16] for at in range(0, len(payload), 16))
    reply = plainly(tls_server, records)
    assert is_server_hello(reply) or reply.raw[:1] == b"\x15"
    for broken in (
        hello[:20], hello + hello, b"\x15\x03\x03\x00\x02\x01\x00", b"\x16\x03\x01\x00\x00" * 1000, b"\x16\x03\x01\xff\xff" + os.urandom(70000),
        b"\x14\x03\x03\x00\x01\x01" * 100, b"\x17\x03\x03\x00\x10" + os.urandom(16), b"\x16" + os.urandom(2000),
    ):
        with socket.create_connection(("127.0.0.1", tls_server.port), timeout=20) as stream:
            try:
                stream.sendall(broken)
            except OSError:
                pass
    with connect(tls_server) as stream:
        stream.sendall(b"GET /v1/sys/health HTTP/1.1\r\n")
        stream.shutdown(socket.SHUT_WR)
    assert tls_server.call("GET", "sys/health").status_code == 200


# ------------------------------------------------------------------------------------------------------------ certificates


class Authority:
    """Signs certificates for tests."""

    def __init__(self, name: str):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.build(self.name, self.key.public_key(), ca=True)

    def build(self, subject, public, ca=False, usage=None, days=(-1, 1)):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0])).not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def client(self, directory: Path, name: str, **options) -> Path:
        """Certificate and key in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self.build(subject, key.public_key(), **({"usage": ExtendedKeyUsageOID.CLIENT_AUTH} | options))
        path = directory / f"{name}.pem"
        form = serialization.PrivateFormat.PKCS8
        path.write_bytes(pem(certificate) + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return path


def pem(certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def health_with(server, certificate: Path | None) -> bytes:
    """What a client with this certificate gets, down to the first byte of HTTP."""
    context = ssl.create_default_context(cafile=str(server.ca))
    if certificate:
        context.load_cert_chain(str(certificate))
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=20), server_hostname="localhost") as stream:
            stream.sendall(request("GET", "/v1/sys/seal-status", [("Connection", "close")]))
            return read(stream).raw
    except (ssl.SSLError, ConnectionError, BrokenPipeError):
        return b""


def test_l3_required_client_certificates(binary, tmp_path):
    """Where certificates are required, none, a stranger's, an expired one and a server's get no byte of HTTP."""
    ours, theirs = Authority("ours"), Authority("theirs")
    anchors = tmp_path / "clients.pem"
    anchors.write_bytes(pem(ours.certificate))
    server = Server(binary, tmp_path / "server", tls=True)
    config = json.loads(server.config.read_text())
    config["listener"]["tcp"] |= {"tls_require_and_verify_client_cert": True, "tls_client_ca_file": str(anchors)}
    server.config.write_text(json.dumps(config))
    server.start()
    try:
        good = ours.client(tmp_path, "good")
        assert b"200 OK" in health_with(server, good)[:20]
        for bad in (
            None,
            theirs.client(tmp_path, "stranger"),
            ours.client(tmp_path, "expired", days=(-3, -1)),
            ours.client(tmp_path, "early", days=(1, 3)),
            ours.client(tmp_path, "usage", usage=ExtendedKeyUsageOID.SERVER_AUTH),
        ):
            assert health_with(server, bad) == b"", bad
        assert b"200 OK" in health_with(server, good)[:20]
    finally:
        server.stop()


def test_l3_requested_client_certificates(tls_server, tmp_path):
    """By default certificates are asked for and not judged: without one, and with anybody's, the server answers."""
    stranger = Authority("somebody").client(tmp_path, "stranger", days=(-3, -1))
    for certificate in (None, stranger):
        assert b"HTTP/1.1 200" in health_with(tls_server, certificate)[:20]


def presented(server) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=20)) as stream:
        return stream.getpeercert(binary_form=True)


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_l4_a_reload_takes_what_fits_and_keeps_what_works(binary, tmp_path):
    """On SIGHUP a new pair serves the next handshake; a broken file or another's key changes nothing; no connection ends."""
    server = Server(binary, tmp_path / "server", tls=True).bring_up()
    try:
        key = server.ca.with_name("server-key.pem")
        first = presented(server)
        kept = connect(server)
        other = tmp_path / "other.pem"
        _, other_key = write_certificate(other)
        old_pair = (server.ca.read_bytes(), key.read_bytes())
        for certificate, private in [
            (b"no certificate", old_pair[1]), (old_pair[0][:200], old_pair[1]), (old_pair[0], b""), (other.read_bytes(), old_pair[1]),
            (old_pair[0], other_key.read_bytes()),
        ]:
            server.ca.write_bytes(certificate)
            key.write_bytes(private)
            before = len(server.log.read_text())
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(server.log.read_text()) > before)
            assert server.process.poll() is None and presented(server) == first
        server.ca.write_bytes(other.read_bytes())
        key.write_bytes(other_key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: presented(server) != first)
        kept.sendall(request("GET", "/v1/sys/seal-status"))
        assert read(kept).status == 200, "the connection from before is still served"
        kept.close()
        assert server.call("GET", "sys/health").status_code == 200
    finally:
        server.stop()


# ---------------------------------------------------------------------------------------------------- browsers and the wire


def test_l6_l7_nothing_is_a_page(tls_server):
    """There is no page to attack: every answer is JSON that is not to be sniffed, values come back as text, no cookie is set."""
    markup = "<img src=x onerror=alert(1)>"
    tls_server.call("POST", "sys/mounts/kv", {"type": "kv"})
    assert tls_server.call("POST", "kv/x", {"k": markup}).status_code == 204
    for method, path in [
        ("GET", "kv/x"), ("GET", f"kv/{markup.replace('/', '')}"), ("POST", "kv/<script>"), ("GET", "sys/policies/acl/<script>alert(1)<script>"), ("GET", "sys/internal/help/kv/x"),
    ]:
        answer = tls_server.call(method, path)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers and "Location" not in answer.headers
        answer.json()
    assert tls_server.call("GET", "kv/x").json()["data"] == {"k": markup}
    for target in ("/", "/ui", "/ui/", "/ui/index.html", "/index.html", "/favicon.ico"):
        reply = ask(tls_server, "GET", target)
        assert reply.status == 404 and json.loads(reply.body) == {"errors": []}, target


def test_l9_plain_http_on_the_tls_port(tls_server):
    """Plain HTTP gets 400 and the end of the connection, no redirect, and nothing of what it sent."""
    data = request("GET", "/v1/secret/data/x", token="hvs.CANARY-plain") + b"\r\n"
    reply = plainly(tls_server, data)
    assert reply.status == 400 and reply.closed
    assert b"CANARY" not in reply.raw and "location:" not in reply.head
    for other in (b"GET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n", b"\r\n"):
        reply = plainly(tls_server, other)
        assert reply.status in (0, 400) and reply.closed, other


def test_l10_logs_hold_no_secret(binary, tmp_path):
    """At the most talkative level no token, value, share or login of any request stands in the log or the audit log."""
    server = Server(binary, tmp_path / "server")
    config = json.loads(server.config.read_text()) | {"log_level": "trace"}
    server.config.write_text(json.dumps(config))
    server.bring_up()
    canary = "CANARY7f3a9c51"
    try:
        server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        server.call("POST", "sys/auth/approle", {"type": "approle"})
        server.call("POST", "auth/approle/role/a", {"token_policies": "default"})
        role = server.call("GET", "auth/approle/role/a/role-id").json()["data"]["role_id"]
        secret = server.call("POST", "auth/approle/role/a/secret-id", {}).json()["data"]["secret_id"]
        login = server.call("POST", "auth/approle/login", {"role_id": role, "secret_id": secret}, token="").json()["auth"]["client_token"]
        wrapped = server.call("GET", "sys/mounts", headers={"X-Vault-Wrap-TTL": "60"}).json()["wrap_info"]["token"]
        server.call("POST", "sys/wrapping/unwrap", {"token": wrapped})
        for method, path, body, token in [
            ("POST", "kv/data/a", {"data": {"k": canary}}, None), ("GET", "kv/data/a", None, None), ("GET", "kv/data/a", None, f"hvs.{canary}"),
            ("POST", "auth/approle/login", {"role_id": canary, "secret_id": canary}, ""), ("POST", "kv/data/a", {"data": canary}, None),
            ("POST", "kv/data/a", {"options": {"cas": canary}}, None), ("PUT", "sys/unseal", {"key": canary}, ""), ("POST", "sys/policies/acl/x", {"policy": f'path "{canary}'}, None),
            ("POST", "auth/token/lookup", {"token": f"hvs.{canary}"}, None), ("POST", "cubbyhole/x", {"k": canary}, None), ("DELETE", "kv/metadata/a", None, None),
        ]:
            server.call(method, path, body, token=token)
        ask(server, "POST", "/v1/kv/data/a", body=f'{{"data": {{"k": "{canary}"'.encode())
        ask(server, "GET", f"/v1/kv/data/a?token={canary}")
        send(server, f"GET /v1/kv HTTP/1.1\r\nX-Vault-Token: {canary}\r\nBad Header\r\n\r\n".encode())
        told = server.log.read_text() + Path(server.audit).read_text()
        for value in [canary, server.root, login, secret, wrapped, *server.keys]:
            assert value not in told, value[:6]
        assert "DEBUG" in told or "INFO" in told or len(told) > 1000
    finally:
        server.stop()


@pytest.mark.parametrize("target", ["/v1/sys/health", "/v1/sys/seal-status"])
def test_l_answers_over_tls_are_the_same(tls_server, target):
    """TLS changes nothing about headers and framing."""
    reply = send(tls_server, request("GET", target, [("Connection", "close")]))
    assert reply.status == 200 and reply.closed and "cache-control: no-store" in reply.head
