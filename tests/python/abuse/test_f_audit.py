"""Audit devices as a way to write on the host (row F12)."""

import json
import os
import stat
from pathlib import Path

import pytest

from coffre_server import Server


@pytest.fixture
def bounded(binary, tmp_path):
    """Devices may only lie below one folder."""
    server = Server(binary, tmp_path / "server")
    logs = tmp_path / "logs"
    logs.mkdir()
    config = json.loads(server.config.read_text()) | {"audit_directory": str(logs)}
    server.config.write_text(json.dumps(config))
    server.audit = logs / "audit.log"
    server.bring_up()
    yield server
    server.stop()


def refused(server: Server, kind: str = "file", **options) -> str:
    answer = server.call("POST", "sys/audit/evil", {"type": kind, "options": options})
    assert answer.status_code == 400, (options, answer.text)
    assert "evil/" not in server.call("GET", "sys/audit").json()["data"]
    return answer.text


def test_f12_a_device_cannot_leave_its_folder(bounded, tmp_path):
    """Neither absolute paths nor `..` nor symbolic links lead out of the configured folder, and no answer names a path of the host."""
    outside, logs = tmp_path / "outside", tmp_path / "logs"
    outside.mkdir()
    (logs / "link").symlink_to(outside)
    (logs / "file").symlink_to(outside / "file")
    (logs / "dangling").symlink_to("/etc/coffre-dangling")
    for path in [outside / "a", logs / ".." / "outside" / "a", logs / "link" / "a", logs / "file", logs / "dangling", "../outside/a", "/etc/cron.d/coffre", "/proc/self/mem", logs]:
        text = refused(bounded, file_path=str(path))
        assert str(outside) not in text and "/etc" not in text and "/proc" not in text, text
    assert list(outside.iterdir()) == [] and not Path("/etc/coffre-dangling").exists()


def test_f12_a_device_makes_no_program_and_spoils_no_file(bounded, tmp_path):
    """No mode beyond 0640, no prefix, no other format; a file that holds something else is left as it is, its mode with it."""
    logs = tmp_path / "logs"
    for mode in ("0700", "0755", "0777", "4600", "0644", "0602", "u+x"):
        refused(bounded, file_path=str(logs / "m.log"), mode=mode)
    for options in ({"prefix": "#!/bin/sh\n"}, {"format": "jsonx"}, {"filter": "x"}, {"log_raw": "true"}, {"unknown": "x"}):
        refused(bounded, file_path=str(logs / "o.log"), **options)
    assert not (logs / "m.log").exists() and not (logs / "o.log").exists()
    script = logs / "run.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    refused(bounded, file_path=str(script), mode="0600")
    assert script.read_text() == "#!/bin/sh\nexit 0\n" and stat.S_IMODE(script.stat().st_mode) == 0o755
    assert stat.S_IMODE(bounded.audit.stat().st_mode) == 0o600
    wide = bounded.call("POST", "sys/audit/group", {"type": "file", "options": {"path": str(logs / "g.log"), "mode": "0640"}})
    assert wide.status_code == 204 and stat.S_IMODE((logs / "g.log").stat().st_mode) == 0o640


def test_f12_a_socket_device_does_not_tell_who_listens_where(bounded, tmp_path):
    """A closed port, a path that is not there and one that is no socket are refused in the same words."""
    (tmp_path / "plain").write_text("")
    from coffre_server import free_port

    texts = {
        refused(bounded, kind="socket", address=f"127.0.0.1:{free_port()}"),
        refused(bounded, kind="socket", address=str(tmp_path / "none.sock"), socket_type="unix"),
        refused(bounded, kind="socket", address=str(tmp_path / "plain"), socket_type="unix"),
        refused(bounded, kind="syslog", address=str(tmp_path / "none.sock")),
        refused(bounded, kind="socket", address="no-such-host.invalid:1"),
    }
    assert len(texts) == 1, texts
    for options in ({}, {"address": "nowhere"}, {"address": "h:1", "socket_type": "quic"}, {"address": "h:1", "write_timeout": "1h"}):
        refused(bounded, kind="socket", **options)


def test_f12_where_the_configuration_says_so_nobody_makes_devices_over_http(binary, tmp_path):
    """With unsafe_allow_api_audit_creation=false devices come from the configuration alone, and root changes nothing about it."""
    server = Server(binary, tmp_path / "server")
    declared = {"file": {"declared": {"options": {"file_path": str(server.audit)}}}}
    config = json.loads(server.config.read_text()) | {"unsafe_allow_api_audit_creation": False, "audit": declared}
    server.config.write_text(json.dumps(config))
    server.start()
    try:
        answer = server.client(token="").sys.initialize(5, 3)
        server.keys, server.root = answer["keys_base64"], answer["root_token"]
        server.unseal()
        refused(server, file_path=str(tmp_path / "new.log"))
        refused(server, kind="socket", address="127.0.0.1:1")
        assert list(server.call("GET", "sys/audit").json()["data"]) == ["declared/"]
        assert not (tmp_path / "new.log").exists() and b"sys/audit/evil" in server.audit.read_bytes()
    finally:
        server.stop()


def test_f12_only_sudo_on_sys_audit_makes_reads_or_removes_devices(bounded, tmp_path):
    """Full rights on sys/audit without sudo are not enough, and the table of devices is as before."""
    policy = 'path "sys/audit*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    bounded.call("POST", "sys/policies/acl/no-sudo", {"policy": policy})
    token = bounded.call("POST", "auth/token/create", {"policies": ["no-sudo"]}).json()["auth"]["client_token"]
    path = str(tmp_path / "logs" / "x.log")
    for method, body in (("POST", {"type": "file", "options": {"file_path": path}}), ("DELETE", None)):
        assert bounded.call(method, "sys/audit/file", body, token=token).status_code == 403
    assert bounded.call("GET", "sys/audit", token=token).status_code == 403
    assert list(bounded.call("GET", "sys/audit").json()["data"]) == ["file/"] and not os.path.exists(path)
