"""Audit under attack and in trouble (rows G1 to G16): nothing in clear, nothing unrecorded, nothing that hangs."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest
import requests

from audit_log import Listener, Pipe, entries, pairs, until
from coffre_server import clean_environment

ROUNDS = int(os.environ.get("COFFRE_G10_ROUNDS", "6"))
ROTATED_REQUESTS = int(os.environ.get("COFFRE_G14_REQUESTS", "1500"))
CANARY = "CANARY-5f1d90c2"


@pytest.fixture(scope="module")
def kv(server):
    assert server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}).status_code == 204
    return server


def enable(server, name: str, kind: str, **options) -> requests.Response:
    return server.call("POST", f"sys/audit/{name}", {"type": kind, "options": options})


def encodings(text: str) -> list[bytes]:
    raw = text.encode()
    forms = [raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="), raw.hex().encode()]
    return [*forms, raw.hex().upper().encode(), urllib.parse.quote(text, safe="").encode(), raw[::-1]]


def nowhere(text: str, *files) -> None:
    for file in files:
        content = file.read_bytes()
        for form in encodings(text):
            assert form not in content, f"{form!r} in {file.name}"


def verify(server, *files, device: str | None = None) -> subprocess.CompletedProcess:
    environment = clean_environment(HOME=str(server.directory), VAULT_ADDR=server.address, VAULT_TOKEN=server.root)
    wanted = [f"-device={device}"] if device else []
    command = [str(server.binary), "audit", "verify", *wanted, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_g1_no_value_of_any_type_or_place_stands_in_the_log(kv):
    """Whatever a client sends as a value, in whatever type, nesting or header, is not in the log; names of fields and paths are."""
    body = {
        "text": CANARY,
        "number": 5190237788123,
        "bool": True,
        "null": None,
        "nested": {"deep": [{"deeper": CANARY}, [CANARY]]},
        "base64": base64.b64encode(CANARY.encode()).decode(),
        "a-name-is-readable": "x",
        "k" * 130 + CANARY: "a name that no one would choose",
    }
    headers = {"User-Agent": CANARY, "X-Correlation-Id": CANARY, "X-Anything": CANARY, "Cookie": f"a={CANARY}"}
    assert kv.call("POST", "kv/data/g1-path-is-readable", {"data": body}, headers=headers).status_code == 200
    assert kv.call("GET", "kv/data/g1-path-is-readable", headers=headers).status_code == 200
    assert kv.call("GET", f"kv/data/g1-path-is-readable?version=1&x={CANARY}").status_code in (200, 400)
    assert kv.call("GET", "kv/data/g1-path-is-readable", headers={"Authorization": f"Bearer {CANARY}"}).status_code == 200
    nowhere(CANARY, kv.audit, kv.log)
    log = kv.audit.read_text()
    assert "5190237788123" not in log
    assert "g1-path-is-readable" in log and "a-name-is-readable" in log


def test_g2_bodies_that_are_no_json_and_wrapped_answers_are_hashed_in_any_encoding(kv):
    """Raw bytes, wrong JSON, byte-like fields and wrapped answers leave no trace of a value in any usual encoding."""
    url = f"{kv.address}/v1/kv/data/g2"
    for raw in [CANARY.encode(), b'{"data":' + CANARY.encode(), b'["' + CANARY.encode() + b'"]', b"\xff" + CANARY.encode()]:
        assert requests.post(url, data=raw, headers={"X-Vault-Token": kv.root}, timeout=20).status_code == 400
    assert kv.call("POST", "kv/data/g2", {"data": {"bytes": list(CANARY.encode()), "text": CANARY}}).status_code == 200
    wrapped = kv.call("GET", "kv/data/g2", headers={"X-Vault-Wrap-TTL": "60s"}).json()["wrap_info"]["token"]
    opened = kv.call("POST", "sys/wrapping/unwrap", {"token": wrapped}, token="")
    assert opened.json()["data"]["data"]["text"] == CANARY
    own = kv.call("POST", "sys/wrapping/wrap", {"own": CANARY}, headers={"X-Vault-Wrap-TTL": "60s"}).json()
    assert kv.call("POST", "sys/wrapping/unwrap", {"token": own["wrap_info"]["token"]}, token="").json()["data"]["own"] == CANARY
    nowhere(CANARY, kv.audit, kv.log)
    nowhere(wrapped, kv.audit, kv.log)
    nowhere(json.dumps(list(CANARY.encode()))[1:-1], kv.audit, kv.log)


def test_g3_errors_about_wrong_types_quote_no_value(kv):
    """A value of the wrong type for a field is in no answer, no audit entry and no server log."""
    number = 8273645190
    for path, body in [
        ("kv/data/g3", {"data": CANARY}),
        ("kv/data/g3", {"data": {"a": 1}, "options": CANARY}),
        ("kv/data/g3", {"data": {"a": 1}, "options": {"cas": CANARY}}),
        ("auth/token/create", {"ttl": {"x": CANARY}}),
        ("auth/token/create", {"policies": {"x": CANARY}}),
        ("auth/token/create", {"num_uses": CANARY}),
        ("auth/token/create", {"ttl": [number], "meta": CANARY}),
        ("sys/mounts/x", {"type": {"x": CANARY}}),
        ("sys/audit/x", {"type": "file", "options": CANARY}),
        ("sys/audit/x", {"type": CANARY}),
        ("sys/audit/x", {"type": "socket", "options": {"address": CANARY, "write_timeout": CANARY}}),
        ("sys/policies/acl/x", {"policy": {"x": CANARY}}),
        ("sys/wrapping/unwrap", {"token": {"x": CANARY}}),
        ("sys/config/auditing/request-headers/x", {"hmac": CANARY}),
    ]:
        answer = kv.call("POST", path, body)
        assert answer.status_code == 400, (path, body, answer.text)
        assert CANARY not in answer.text and str(number) not in answer.text, (path, answer.text)
    nowhere(CANARY, kv.audit, kv.log)
    nowhere(str(number), kv.audit, kv.log)


def test_g4_tokens_and_accessors_are_never_in_clear(kv):
    """A token, an accessor and a failed token appear as keyed hashes alone, and the hash is the one of sys/audit-hash."""
    made = kv.call("POST", "auth/token/create", {"policies": ["default"]}).json()["auth"]
    token, accessor = made["client_token"], made["accessor"]
    assert kv.call("GET", "auth/token/lookup-self", token=token).status_code == 200
    assert kv.call("POST", "auth/token/lookup-accessor", {"accessor": accessor}).status_code == 200
    assert kv.call("GET", "kv/data/x", token="hvs.wrong" + CANARY).status_code == 403
    for hidden in (token, accessor, kv.root, CANARY):
        nowhere(hidden, kv.audit, kv.log)
    hashed = kv.call("POST", "sys/audit-hash/file", {"input": token}).json()["hash"]
    mine = [entry for entry in entries(kv.audit) if entry["request"].get("client_token") == hashed]
    assert len(mine) == 2 and mine[0]["auth"]["client_token"] == hashed
    unknown = kv.call("POST", "sys/audit-hash/nothing", {"input": "x"})
    assert unknown.status_code == 400 and "unknown audit backend" in unknown.text


def test_g5_a_raw_log_does_not_exist_and_devices_share_no_setting(kv, tmp_path):
    """log_raw=true is refused with a reason; a device with other settings and another key changes nothing for its neighbour."""
    refused = enable(kv, "raw", "file", file_path=str(tmp_path / "raw.log"), log_raw="true")
    assert refused.status_code == 400 and "log_raw" in refused.text
    assert "raw/" not in kv.call("GET", "sys/audit").json()["data"]
    open_log = tmp_path / "open.log"
    assert enable(kv, "open", "file", path=str(open_log), hmac_accessor="false", elide_list_responses="true").status_code == 204
    made = kv.call("POST", "auth/token/create", {"policies": ["default"], "meta": {"k": "v"}}).json()["auth"]
    kv.call("POST", "kv/data/g5/a", {"data": {"v": CANARY}})
    listed = kv.call("LIST", "kv/metadata/g5")
    assert listed.json()["data"]["keys"] == ["a"]
    assert kv.call("DELETE", "sys/audit/open").status_code == 204
    assert made["accessor"] in open_log.read_text() and made["accessor"] not in kv.audit.read_text()
    nowhere(CANARY, open_log, kv.audit)
    lists = {file: [e["response"]["data"]["keys"] for e in entries(file) if e["request"]["operation"] == "list" and e["type"] == "response" and "g5" in e["request"]["path"]] for file in (open_log, kv.audit)}
    assert lists[open_log] == [1] and lists[kv.audit][0][0].startswith("hmac-sha256:")
    hashes = [{e["request"].get("client_token") for e in entries(file)} - {None} for file in (open_log, kv.audit)]
    assert not hashes[0] & hashes[1], "two devices hash alike"


def test_g6_headers_with_credentials_never_appear_and_chosen_ones_do(kv):
    """Only headers that a rule names are recorded, hashed or in clear as it says; those that carry credentials cannot be named."""
    rules = "sys/config/auditing/request-headers"
    for name in ("Authorization", "authorization", "X-Vault-Token", "Cookie", "Proxy-Authorization"):
        assert kv.call("POST", f"{rules}/{name}", {"hmac": True}).status_code == 400, name
    assert kv.call("POST", f"{rules}/X-Custom", {"hmac": False}).status_code == 204
    assert kv.call("PUT", f"{rules}/x-hidden", {"hmac": True}).status_code == 204
    shown = kv.call("GET", f"{rules}/X-CUSTOM").json()
    assert shown["data"] == {"x-custom": {"hmac": False}} and shown["x-custom"] == {"hmac": False}
    everything = kv.call("GET", rules).json()
    assert everything["headers"]["x-custom"] == {"hmac": False} and everything["data"]["headers"]["x-hidden"] == {"hmac": True}
    headers = {"X-Custom": "visible", "X-Hidden": CANARY, "Cookie": CANARY, "Authorization": f"Bearer {CANARY}", "User-Agent": CANARY}
    answer = kv.call("GET", "sys/mounts", headers=headers).json()
    mine = [entry for entry in entries(kv.audit) if entry["request"].get("id") == answer["request_id"]]
    assert len(mine) == 2
    for entry in mine:
        assert entry["request"]["headers"]["x-custom"] == ["visible"]
        assert entry["request"]["headers"]["x-hidden"][0].startswith("hmac-sha256:")
        assert set(entry["request"]["headers"]) == {"x-custom", "x-hidden", "user-agent"}
    nowhere(CANARY, kv.audit, kv.log)
    for name in ("x-custom", "x-hidden"):
        assert kv.call("DELETE", f"{rules}/{name}").status_code == 204
        assert kv.call("GET", f"{rules}/{name}").status_code == 400
    plain = kv.call("POST", "auth/token/create", {"policies": ["default"]}).json()["auth"]["client_token"]
    assert kv.call("POST", f"{rules}/x-custom", {"hmac": False}, token=plain).status_code == 403
    assert "x-custom" not in kv.call("GET", rules).json()["headers"]


def test_g7_numbers_and_truth_values_are_hashed_like_texts(kv):
    """A PIN sent as a number is as hidden as one sent as a text, in requests and in answers."""
    pin = 739401856
    assert kv.call("POST", "kv/data/g7", {"data": {"pin": pin, "float": 73940.1856, "yes": True}}).status_code == 200
    assert kv.call("GET", "kv/data/g7").json()["data"]["data"]["pin"] == pin
    log = kv.audit.read_text()
    assert str(pin) not in log and "73940.1856" not in log
    mine = [entry for entry in entries(kv.audit) if entry["request"]["path"] == "kv/data/g7"]
    sent = mine[0]["request"]["data"]["data"]
    assert all(value.startswith("hmac-sha256:") for value in sent.values()), sent
    assert sent["pin"] == kv.call("POST", "sys/audit-hash/file", {"input": str(pin)}).json()["hash"]


def test_g8_names_cannot_forge_lines(kv):
    """Line ends, escape codes and quotes in names neither make a second line nor reach a terminal; each line is one JSON object."""
    before = len(entries(kv.audit))
    evil = 'x"}\r\n{"type":"request","forged":true}\u2028\u2029\x1b[31m\x7f\u202e'
    sent = 0
    for body in ({"data": {evil: "v"}}, {"data": {"a": {evil: ["v"]}}}, {evil: "v", "data": {}}):
        kv.call("POST", "kv/data/g8", body)
        sent += 1
    kv.call("POST", "auth/token/create", {"meta": {evil: evil}, "display_name": evil, "policies": ["default"]})
    kv.call("GET", "kv/data/g8", headers={"User-Agent": 'a"}{"'})
    kv.call("POST", f"sys/audit/{urllib.parse.quote('é')}", {"type": "file", "description": evil, "options": {evil: evil}})
    sent += 3
    log = kv.audit.read_bytes()
    assert len(entries(kv.audit)) == before + 2 * sent
    assert all(line.startswith(b'{"time":') for line in log.split(b"\n")[:-1])
    text = log.decode()
    odd = [c for c in set(text) if (ord(c) < 32 and c != "\n") or c in "\x7f\u2028\u2029\u202e"]
    assert not odd, odd


def test_g9_without_a_device_that_takes_the_entry_there_is_no_answer_and_no_effect(fresh_server, tmp_path):
    """The only device fails: 500 without a secret, and the state is as before; with a second one that works all goes on."""
    server = fresh_server
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    server.call("POST", "kv/data/a", {"data": {"v": CANARY}})
    pipe = Pipe(tmp_path / "pipe")
    assert enable(server, "pipe", "file", file_path=str(pipe.path)).status_code == 204
    pipe.drain()
    assert server.call("DELETE", "sys/audit/file").status_code == 204
    pipe.close()
    read = server.call("GET", "kv/data/a")
    assert read.status_code == 500 and CANARY not in read.text
    assert server.call("POST", "kv/data/a", {"data": {"v": "changed"}}).status_code == 500
    made = server.call("POST", "auth/token/create", {"policies": ["default"]})
    assert made.status_code == 500 and "hvs." not in made.text
    health = requests.get(f"{server.address}/v1/sys/health", timeout=5)
    assert (health.status_code, health.json()["failing_audit_devices"]) == (200, ["pipe/"])
    # The device can be looked at and removed, and the server's own log says so.
    status = server.call("GET", "sys/audit?detail=true").json()["data"]["pipe/"]["status"]
    assert status["condition"] in ("degraded", "dead") and status["last_error"] == "write" and status["lost"] > 0
    assert "without any audit entry" in server.log.read_text()
    assert server.call("DELETE", "sys/audit/pipe").status_code == 204
    assert "failing_audit_devices" not in requests.get(f"{server.address}/v1/sys/health", timeout=5).json()
    assert server.call("GET", "kv/data/a").json()["data"]["data"]["v"] == CANARY
    assert len(server.call("LIST", "auth/token/accessors").json()["data"]["keys"]) == 1
    second = Pipe(tmp_path / "second")
    enable(server, "pipe", "file", file_path=str(second.path))
    enable(server, "file", "file", file_path=str(tmp_path / "other.log"))
    second.close()
    answer = server.call("POST", "kv/data/a", {"data": {"v": "changed"}})
    assert answer.status_code == 200
    assert pairs(entries(tmp_path / "other.log"))[answer.json()["request_id"]] == ["request", "response"]
    devices = server.call("GET", "sys/audit?detail=true").json()["data"]
    assert devices["pipe/"]["status"]["condition"] != "healthy" and devices["file/"]["status"]["condition"] == "healthy"
    assert all("status" not in device for device in server.call("GET", "sys/audit").json()["data"].values())


def test_g9_a_full_disk_stops_requests_and_they_go_on_when_there_is_space(fresh_server, tmp_path):
    """The only device is on a full 64 KiB disk: refused without a secret, no half line, and well again without a restart."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    server = fresh_server
    try:
        server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        server.call("POST", "kv/data/a", {"data": {"v": CANARY}})
        log, ballast = disk / "audit.log", disk / "ballast"
        ballast.write_bytes(b"x" * 20_000)
        assert enable(server, "small", "file", file_path=str(log)).status_code == 204
        assert server.call("DELETE", "sys/audit/file").status_code == 204
        answers = [server.call("GET", "kv/data/a") for _ in range(100)]
        refused = [answer for answer in answers if answer.status_code == 500]
        assert refused and not any(CANARY in answer.text for answer in refused)
        released = sum(answer.status_code == 200 for answer in answers)
        assert log.read_bytes().endswith(b"\n") and len(entries(log)) >= 2 * released
        ballast.unlink()
        assert server.call("GET", "kv/data/a").status_code == 200
        assert verify(server, log).returncode == 0
        server.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_g10_an_answer_that_left_is_in_the_log_after_a_kill(fresh_server):
    """The server is killed right after an answer: its entries are in the log, in a whole chain, over several rounds."""
    server = fresh_server
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    answered = []
    for number in range(ROUNDS):
        for step in range(number + 1):
            answer = server.call("POST", f"kv/data/{number}", {"data": {"step": step}})
            answered.append(answer.json()["request_id"])
        server.kill()
        server.start()
        server.unseal()
    found = pairs(entries(server.audit))
    assert [found.get(request_id) for request_id in answered] == [["request", "response"]] * len(answered)
    checked = verify(server, server.audit, device="file")
    assert checked.returncode == 0, checked.stderr


def test_g11_a_pipe_that_nobody_empties_fails_in_time_and_can_be_removed(fresh_server, tmp_path):
    """A pipe without a reader is refused; one that fills up costs one time limit, and sys/audit stays usable."""
    server = fresh_server
    os.mkfifo(tmp_path / "lonely", 0o600)
    began = time.monotonic()
    refused = enable(server, "lonely", "file", file_path=str(tmp_path / "lonely"))
    assert refused.status_code == 400 and str(tmp_path) not in refused.text and time.monotonic() - began < 6
    pipe = Pipe(tmp_path / "pipe")
    assert enable(server, "pipe", "file", file_path=str(pipe.path)).status_code == 204
    assert server.call("DELETE", "sys/audit/file").status_code == 204
    codes, longest = [], 0.0
    while 500 not in codes and len(codes) < 300:
        began = time.monotonic()
        codes.append(server.call("GET", "sys/mounts").status_code)
        longest = max(longest, time.monotonic() - began)
    assert 500 in codes and longest < 8
    began = time.monotonic()
    assert [server.call("GET", "sys/mounts").status_code for _ in range(5)] == [500] * 5
    assert time.monotonic() - began < 6, "each request waited for the pipe anew"
    began = time.monotonic()
    assert "pipe/" in server.call("GET", "sys/audit").json()["data"]
    assert server.call("DELETE", "sys/audit/pipe").status_code == 204
    assert time.monotonic() - began < 6
    assert server.call("GET", "sys/mounts").status_code == 200
    pipe.close()


def test_g11_a_peer_that_stops_reading_is_left_alone_and_found_again(fresh_server):
    """A TCP peer that stops reading costs the time limit now and then; beside a file it costs nothing; it comes back by itself."""
    server = fresh_server
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    peer = Listener("tcp")
    assert enable(server, "socket", "socket", address=peer.address, socket_type="tcp", write_timeout="500ms").status_code == 204
    until(lambda: b"sys/audit/test" in peer.received)
    peer.pause()
    large = {"data": {f"k{n}": n for n in range(1500)}}
    slowest = 0.0
    for number in range(40):
        began = time.monotonic()
        assert server.call("POST", "kv/data/large", large).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 3, "a file beside it took each entry, and yet requests waited"
    condition = lambda: server.call("GET", "sys/audit?detail=true").json()["data"]["socket/"]["status"]
    until(lambda: condition()["condition"] != "healthy" and condition()["last_error"] == "blocked")
    until(lambda: "the audit device fails entries" in server.log.read_text())
    # Alone: requests fail in time.
    assert server.call("DELETE", "sys/audit/file").status_code == 204
    began = time.monotonic()
    codes = [server.call("GET", "sys/mounts").status_code for _ in range(10)]
    assert 500 in codes and time.monotonic() - began < 8
    # It reads again, and is found.
    peer.go_on()
    until(lambda: server.call("GET", "sys/mounts").status_code == 200)
    until(lambda: condition()["condition"] == "healthy")
    until(lambda: "the audit device works again" in server.log.read_text())
    # It goes for good: its device is removed while nobody is there.
    peer.close()
    until(lambda: server.call("GET", "sys/mounts").status_code == 500)
    assert server.call("DELETE", "sys/audit/socket").status_code == 204
    assert server.call("GET", "sys/mounts").status_code == 200


def test_g11_syslog_and_sockets_of_each_kind_receive_every_entry(fresh_server, tmp_path):
    """tcp, udp and unix sockets and a system log each receive request and response; long entries are complete everywhere."""
    server = fresh_server
    server.call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    peers = {
        "tcp": Listener("tcp"),
        "udp": Listener("udp"),
        "unix": Listener("unix", tmp_path / "stream.sock"),
        "unixgram": Listener("unixgram", tmp_path / "dgram.sock"),
    }
    for kind, peer in peers.items():
        assert enable(server, kind, "socket", address=peer.address, socket_type=kind).status_code == 204, kind
    system_log = Listener("unixgram", tmp_path / "dev-log")
    counted = Listener("tcp")
    assert enable(server, "syslog", "syslog", address=system_log.address, facility="LOCAL0", tag="vault").status_code == 204
    assert enable(server, "counted", "syslog", address=counted.address, socket_type="tcp").status_code == 204
    answer = server.call("POST", "kv/data/a", {"data": {f"k{n}": n for n in range(300)}})
    wanted = answer.json()["request_id"].encode()
    for kind in ("tcp", "unix"):
        until(lambda: peers[kind].received.count(wanted) >= 2)
        lines = peers[kind].received.decode().splitlines()
        assert [json.loads(line)["type"] for line in lines if wanted.decode() in line] == ["request", "response"]
    for peer, is_syslog in ((peers["udp"], False), (peers["unixgram"], False), (system_log, True)):
        mine = lambda: [e["type"] for e in put_together(peer.datagrams, is_syslog) if e["request"].get("id") == wanted.decode()]
        until(lambda: mine() == ["request", "response"])
        assert max(map(len, peer.datagrams)) <= 8192 and any(b"part" in datagram[:160] for datagram in peer.datagrams)
    assert all(d.startswith(b"<134>1 ") and b" vault " in d for d in system_log.datagrams)
    until(lambda: counted.received.count(wanted) >= 2)
    rest, messages = bytes(counted.received), []
    while rest:
        count, _, rest = rest.partition(b" ")
        messages.append(rest[: int(count)])
        rest = rest[int(count):]
    assert all(message.startswith(b"<38>1 ") for message in messages)
    assert [json.loads(m.partition(b" audit - ")[2])["type"] for m in messages if wanted in m] == ["request", "response"]
    for peer in [*peers.values(), system_log, counted]:
        peer.close()


def put_together(datagrams: list[bytes], is_syslog: bool) -> list[dict]:
    """The entries, those that came in parts from their parts; incomplete ones are left out."""
    whole, parts = [], {}
    for datagram in list(datagrams):
        if is_syslog and b"[coffrePart@" in datagram:
            head, _, text = datagram.decode().partition('"] ')
            facts = {name: head.partition(f'{name}="')[2].partition('"')[0] for name in ("seq", "parts", "sha256")}
        elif is_syslog:
            facts, text = {}, datagram.decode().partition(" audit - ")[2]
        else:
            facts, text = json.loads(datagram), datagram.decode()
            facts, text = (facts, facts["text"]) if facts["type"] == "part" else ({}, text)
        if facts:
            parts.setdefault((facts["seq"], facts["sha256"], int(facts["parts"])), []).append(text)
        else:
            whole.append(json.loads(text))
    for (_, digest, count), texts in parts.items():
        if len(texts) == count:
            assert hashlib.sha256("".join(texts).encode()).hexdigest() == digest
            whole.append(json.loads("".join(texts)))
    return whole


def test_g12_a_recorded_device_that_does_not_open_keeps_the_server_sealed(fresh_server, tmp_path):
    """A server whose recorded device cannot be opened does not come up silent: it stays sealed until the target is mended."""
    server, folder = fresh_server, tmp_path / "logs"
    folder.mkdir()
    assert enable(server, "second", "file", file_path=str(folder / "audit.log")).status_code == 204
    server.call("GET", "sys/mounts")
    time.sleep(2)  # How far each log has come is kept every second.
    server.kill()
    shutil.rmtree(folder)
    server.start()
    with pytest.raises(Exception):
        server.unseal()
    assert server.call("GET", "sys/mounts").status_code == 503
    folder.mkdir()
    server.unseal()
    answer = server.call("GET", "sys/mounts")
    assert pairs(entries(folder / "audit.log"))[answer.json()["request_id"]] == ["request", "response"]
    # The chain goes on where it was, so the log that vanished shows.
    checked = verify(server, folder / "audit.log")
    assert checked.returncode == 0 and "begins after entry" in checked.stdout


def test_g13_whatever_reached_routing_has_request_and_response_under_one_id(kv):
    """Allowed, refused, unauthenticated, failed logins, unknown paths: two entries with one id; the documented five have none."""
    kv.call("POST", "sys/auth/approle", {"type": "approle"})
    before = pairs(entries(kv.audit))
    asked = [
        kv.call("GET", "kv/data/none"),
        kv.call("GET", "kv/data/none", token=""),
        kv.call("GET", "kv/data/none", token="hvs.wrong"),
        kv.call("POST", "auth/approle/login", {"role_id": "a", "secret_id": "b"}, token=""),
        kv.call("POST", "auth/approle/login", {}, token=""),
        kv.call("POST", "auth/nowhere/login", {"password": CANARY}, token=""),
        kv.call("POST", "sys/wrapping/unwrap", {"token": "hvs.none"}, token=""),
        kv.call("GET", "no/such/mount"),
        kv.call("PATCH", "sys/mounts", {}, headers={"Content-Type": "application/merge-patch+json"}),
        kv.call("POST", "kv/data/a", {"data": 7}),
        kv.call("DELETE", "sys/policies/acl/root"),
    ]
    assert all(answer.status_code >= 400 for answer in asked), [answer.status_code for answer in asked]
    for path in ("sys/init", "sys/seal-status", "sys/health", "sys/leader"):
        assert kv.call("GET", path, token="").status_code == 200
    kv.call("POST", "sys/unseal", {"reset": True}, token="")
    new = {rid: types for rid, types in pairs(entries(kv.audit)).items() if rid not in before}
    assert len(new) == len(asked) and all(types == ["request", "response"] for types in new.values()), new
    answers = [entry for entry in entries(kv.audit) if entry["request"].get("id") in new and entry["type"] == "response"]
    assert sum(bool(entry.get("error")) for entry in answers) == len(asked) - 1, "all but the secret that is not there"
    nowhere(CANARY, kv.audit)


def test_g14_rotation_under_load_loses_and_tears_no_line(fresh_server):
    """Requests run while the log is renamed and SIGHUP sent twenty times: each has its two entries, no line is torn, the chain is whole."""
    server = fresh_server
    answered, failed, done = [], [], threading.Event()

    def ask():
        session = requests.Session()
        session.headers["X-Vault-Token"] = server.root
        while not done.is_set() or len(answered) < ROTATED_REQUESTS:
            answer = session.get(f"{server.address}/v1/sys/policies/acl/default", timeout=20)
            (answered if answer.status_code == 200 else failed).append(answer.json().get("request_id"))
            if len(answered) >= ROTATED_REQUESTS and done.is_set():
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    files = []
    for number in range(20):
        time.sleep(0.03)
        files.append(server.audit.with_name(f"audit.{number:02}"))
        server.audit.rename(files[-1])
        server.process.send_signal(signal.SIGHUP)
        until(server.audit.exists)
    done.set()
    for thread in threads:
        thread.join()
    files.append(server.audit)
    found = pairs([entry for file in files for entry in entries(file)])
    lost = [rid for rid in answered if found.get(rid) != ["request", "response"]]
    assert not failed and not lost and len(answered) >= ROTATED_REQUESTS
    checked = verify(server, *files, device="file")
    assert checked.returncode == 0, checked.stderr


def test_g14_a_log_that_was_moved_or_deleted_without_a_word_is_noticed(fresh_server):
    """Without SIGHUP a renamed log is noticed within seconds, and no entry goes into a deleted one."""
    server = fresh_server
    moved = server.audit.with_name("moved.log")
    server.audit.rename(moved)
    until(server.audit.exists)
    first = server.call("GET", "sys/mounts").json()["request_id"]
    assert pairs(entries(server.audit))[first] == ["request", "response"]
    server.audit.unlink()
    second = server.call("GET", "sys/mounts").json()["request_id"]
    assert pairs(entries(server.audit))[second] == ["request", "response"]


def test_g15_an_entry_and_its_cost_are_bounded(kv):
    """Large and deep bodies leave short entries and cost the server no more than a small multiple of reading them."""
    before, used = kv.audit.stat().st_size, cpu_seconds(kv.process.pid)
    bodies = [
        {"data": {"v": "x" * (24 << 20)}},
        {"data": {f"k{n}": n for n in range(300_000)}},
        {"data": {"v": [0] * 2_000_000}},
    ]
    for number, body in enumerate(bodies, 1):
        assert kv.call("POST", "kv/data/g15", body).status_code < 500
        assert kv.audit.stat().st_size - before < number * 2 * 600_000
    deep = '{"data":' + '{"a":' * 400 + "1" + "}" * 401
    requests.post(f"{kv.address}/v1/kv/data/g15", data=deep, headers={"X-Vault-Token": kv.root}, timeout=20)
    assert all(len(line) < 600_000 for line in kv.audit.read_bytes().split(b"\n"))
    assert cpu_seconds(kv.process.pid) - used < 60
    entries(kv.audit)


def cpu_seconds(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_g16_each_way_to_edit_the_log_is_named_with_its_line(fresh_server, tmp_path):
    """A deleted, altered, added or moved line is named; a cut end is found by the counter that the server keeps, also after a restart."""
    server = fresh_server
    for _ in range(6):
        server.call("GET", "sys/mounts")
    whole = server.audit.read_bytes().splitlines(keepends=True)
    good = verify(server, server.audit, device="file")
    assert good.returncode == 0 and f"{len(whole) + 2} entries" in good.stdout, good.stderr
    at = 5
    changed = whole[at].replace(b"sys/mounts", b"sys/nounts")
    copy = tmp_path / "copy.log"
    for lines, line in [
        (whole[:at] + whole[at + 1:], at + 1),
        (whole[:at] + [changed] + whole[at + 1:], at + 1),
        (whole[:at] + [whole[at + 1], whole[at]] + whole[at + 2:], at + 1),
        (whole[:at] + [whole[at - 1]] + whole[at:], at + 1),
        (whole[:at] + [b'{"time":"x"}\n'] + whole[at:], at + 1),
        (whole[:-1] + [whole[-1][:-20]], len(whole)),
    ]:
        copy.write_bytes(b"".join(lines))
        told = verify(server, copy)
        assert told.returncode == 1 and f"line {line} " in told.stderr, told.stderr
    copy.write_bytes(b"".join(whole[1:]))
    assert "a file is missing" in verify(server, copy).stderr
    copy.write_bytes(b"".join(whole[:-2]))
    assert verify(server, copy).returncode == 0, "without the counter a cut end cannot be seen"
    cut = verify(server, copy, device="file")
    assert cut.returncode == 1 and "the end of the log is missing" in cut.stderr
    # The counter is in storage: cut while the server is down, the gap shows at the next line.
    server.stop()
    server.audit.write_bytes(b"".join(server.audit.read_bytes().splitlines(keepends=True)[:-2]))
    left = len(server.audit.read_bytes().splitlines())
    server.start()
    server.unseal()
    server.call("GET", "sys/mounts")
    told = verify(server, server.audit)
    assert told.returncode == 1 and f"line {left + 1} " in told.stderr, (told.stdout, told.stderr)
