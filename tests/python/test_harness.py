"""What test harnesses of client libraries do with a binary called `vault`: parse its version, start it from JSON, present
any client certificate, leave its output unread, kill it."""

import datetime
import json
import signal
import ssl
import subprocess
import time
import urllib.request

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from coffre_server import clean_environment, free_port, write_certificate


@pytest.fixture
def harness(vault_link, tmp_path):
    """Starts `vault server -config=x.json` as the harnesses do, output into pipes that nobody reads."""
    started = []

    def start(**storage):
        certificate, key = write_certificate(tmp_path / "server.pem")
        address = f"127.0.0.1:{free_port()}"
        tcp = {"address": address, "tls_cert_file": certificate.name, "tls_key_file": key.name}
        config = {"listener": {"tcp": tcp}, "disable_mlock": True, "default_lease_ttl": "768h", "max_lease_ttl": "768h"}
        (tmp_path / "x.json").write_text(json.dumps(storage | config))
        process = subprocess.Popen(
            [str(vault_link), "server", "-config=x.json"], cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
        )
        started.append(process)
        url = f"https://{address}/v1"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                requests.get(f"{url}/sys/init", verify=str(certificate), timeout=2)
                return process, url, certificate
            except requests.ConnectionError:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.02)
        raise AssertionError("the server does not answer")

    yield start
    for process in started:
        process.kill()
        process.wait()


def bring_up(url, certificate):
    keys = requests.put(f"{url}/sys/init", json={"secret_shares": 1, "secret_threshold": 1}, verify=str(certificate), timeout=20).json()
    opened = requests.put(f"{url}/sys/unseal", json={"key": keys["keys"][0]}, verify=str(certificate), timeout=20).json()
    assert opened["sealed"] is False
    return keys["root_token"]


def test_the_second_word_is_a_version_that_clients_gate_on(vault_link):
    printed = subprocess.run([str(vault_link), "-version"], capture_output=True, text=True, timeout=20, env=clean_environment())
    name, version = printed.stdout.split()[:2]
    assert (printed.returncode, name) == (0, "Vault")
    assert tuple(map(int, version.removeprefix("v").split("."))) >= (1, 15, 0) and "+ent" not in version


@pytest.mark.parametrize("key", ["backend", "storage"])
def test_a_json_configuration_in_the_short_form_is_served(harness, key):
    _, url, certificate = harness(**{key: {"inmem": {}}})
    token = bring_up(url, certificate)
    mounts = requests.get(f"{url}/sys/mounts", headers={"X-Vault-Token": token}, verify=str(certificate), timeout=20)
    assert "sys/" in mounts.json()


def test_any_client_certificate_may_be_presented(harness, tmp_path):
    """A certificate that signed itself and ended last year is nobody's business until a method asks for it."""
    _, url, certificate = harness(backend={"inmem": {}})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = datetime.datetime.now(datetime.UTC)
    ended = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now - datetime.timedelta(days=40)).sign(key, hashes.SHA256())
    )
    pem = tmp_path / "client.pem"
    form = serialization.PrivateFormat.PKCS8
    pem.write_bytes(
        ended.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    context = ssl.create_default_context(cafile=str(certificate))
    context.load_cert_chain(pem)
    with urllib.request.urlopen(f"{url}/sys/init", context=context, timeout=20) as answer:
        assert json.load(answer) == {"initialized": False}


def test_output_that_nobody_reads_stops_nothing(harness):
    """The pipes hold 64 KiB; the server says far more, and still answers."""
    process, url, certificate = harness(backend={"inmem": {}})
    token = bring_up(url, certificate)
    session = requests.Session()
    session.headers["X-Vault-Token"] = token
    trusted = {"verify": str(certificate), "timeout": 20}
    assert session.post(f"{url}/sys/loggers", json={"level": "trace"}, **trusted).status_code == 204
    for number in range(1500):
        assert session.put(f"{url}/cubbyhole/{number}", json={"value": "x"}, **trusted).status_code == 204
    assert process.poll() is None


def test_a_killed_server_is_gone_and_another_one_starts(harness):
    process, url, certificate = harness(backend={"inmem": {}})
    bring_up(url, certificate)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    _, again, certificate = harness(backend={"inmem": {}})
    assert requests.get(f"{again}/sys/init", verify=str(certificate), timeout=20).json() == {"initialized": False}
