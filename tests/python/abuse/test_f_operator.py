"""Rows F: what operators and holders of key shares do together, as the real client sees it."""

import concurrent.futures
import stat
import subprocess

from coffre_server import SHARES, THRESHOLD, clean_environment

CEREMONIES = [
    ("PUT", "sys/rekey/init"),
    ("DELETE", "sys/rekey/init"),
    ("PUT", "sys/rekey/update"),
    ("PUT", "sys/generate-root/attempt"),
    ("DELETE", "sys/generate-root/attempt"),
    ("PUT", "sys/generate-root/update"),
]


def test_f1_nobody_without_a_token_disturbs_a_ceremony(fresh_server):
    """Without a token no ceremony begins, moves or ends, however often it is tried, and the one under way completes."""
    server, client = fresh_server, fresh_server.client()
    nonce = client.sys.start_rekey(secret_shares=3, secret_threshold=2)["nonce"]
    client.sys.rekey(key=server.keys[0], nonce=nonce)
    body = {"secret_shares": 1, "secret_threshold": 1, "key": server.keys[1], "nonce": nonce}
    for _ in range(20):
        for method, path in CEREMONIES:
            assert server.call(method, path, body, token="").status_code == 403
    assert client.sys.read_rekey_progress()["progress"] == 1
    client.sys.rekey(key=server.keys[1], nonce=nonce)
    done = client.sys.rekey(key=server.keys[2], nonce=nonce)
    assert done["complete"] and len(done["keys"]) == 3
    client.sys.seal()
    assert server.call("PUT", "sys/unseal", {"key": server.keys[0]}, token="").status_code == 400
    for key in done["keys_base64"][:2]:
        status = client.sys.submit_unseal_key(key)
    assert status["sealed"] is False


def test_f2_shares_count_only_under_their_nonce(fresh_server):
    """A share with another ceremony's nonce is refused, and a seal drops what was given."""
    server, client = fresh_server, fresh_server.client()
    old = client.sys.start_rekey(secret_shares=3, secret_threshold=2)["nonce"]
    client.sys.cancel_rekey()
    now = client.sys.start_rekey(secret_shares=3, secret_threshold=2)["nonce"]
    for nonce in (old, "", "x"):
        assert server.call("PUT", "sys/rekey/update", {"key": server.keys[0], "nonce": nonce}).status_code == 400
    client.sys.rekey(key=server.keys[0], nonce=now)
    client.sys.seal()
    server.unseal()
    assert client.sys.read_rekey_progress()["started"] is False


def test_f3_bad_shares_tell_nothing_and_change_nothing(fresh_server):
    """Shares that are none are refused with 400; the progress stays and the server stays sealed."""
    server, client = fresh_server, fresh_server.client()
    client.sys.seal()
    client.sys.submit_unseal_key(server.keys[0])
    flipped = server.keys[1][:40] + ("A" if server.keys[1][40] != "A" else "B") + server.keys[1][41:]
    for bad in ("", "00", "zz" * 48, "0" * 96, "A" * 64, flipped, "a" * 1_000_000):
        assert server.call("PUT", "sys/unseal", {"key": bad}, token="").status_code == 400
    status = client.sys.read_seal_status()
    assert status["sealed"] and status["progress"] == 1


def test_f5_odd_numbers_of_shares_are_refused(empty_server):
    """Thresholds of 0, of 1 for several, above the number, and more than 255 shares are refused, and nothing is made."""
    for shares, threshold in ((5, 1), (256, 3), (0, 0), (3, 4), (-1, -1)):
        body = {"secret_shares": shares, "secret_threshold": threshold}
        assert empty_server.call("PUT", "sys/init", body, token="").status_code == 400
    assert empty_server.call("GET", "sys/init", token="").json() == {"initialized": False}


def test_f6_of_many_inits_one_wins(empty_server):
    """Of 20 at once exactly one gets keys, and they unseal."""
    server = empty_server
    body = {"secret_shares": SHARES, "secret_threshold": THRESHOLD}
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        tries = [pool.submit(server.call, "PUT", "sys/init", body, "") for _ in range(20)]
    answers = [attempt.result() for attempt in tries]
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1 and all(answer.status_code in (200, 400) for answer in answers)
    server.keys, server.root = won[0]["keys_base64"], won[0]["root_token"]
    server.unseal()


def test_f13_files_are_for_the_owner_alone(server):
    """The database and the audit file can be read by nobody else."""
    for path in (server.directory / "coffre.redb", server.audit):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_f16_seal_and_step_down_need_sudo(server):
    """A token that may write everywhere, but without sudo, cannot seal, step down or rotate."""
    client = server.client()
    rules = 'path "*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    client.sys.create_or_update_policy("f16", rules)
    token = client.auth.token.create(policies=["f16"])["auth"]["client_token"]
    for path in ("sys/seal", "sys/step-down", "sys/rotate", "sys/rotate/config"):
        assert server.call("PUT", path, {}, token=token).status_code == 403
    assert client.sys.is_sealed() is False


def test_a_generated_root_token_is_decoded_and_works(server):
    """With hvac's calls: three shares make a root token, covered by the one-time password that was given."""
    client = server.client()
    otp = "o" * 28
    nonce = client.sys.start_root_token_generation(otp=otp)["nonce"]
    for key in server.keys[:THRESHOLD]:
        answer = client.sys.generate_root(key=key, nonce=nonce)
    body = {"encoded_token": answer["encoded_root_token"], "otp": otp}
    token = server.call("PUT", "sys/decode-token", body, token="").json()["data"]["token"]
    assert server.client(token).auth.token.lookup_self()["data"]["policies"] == ["root"]


def test_the_command_line_decodes_a_root_token(server, vault_link):
    """`vault operator generate-root -decode` takes the flags that clients put behind it, and uncovers the token."""
    client, otp = server.client(), "p" * 28
    nonce = client.sys.start_root_token_generation(otp=otp)["nonce"]
    for key in server.keys[:THRESHOLD]:
        answer = client.sys.generate_root(key=key, nonce=nonce)
    command = [vault_link, "operator", "generate-root", "-decode", answer["encoded_root_token"], "-otp", otp, "-address", server.address, "-tls-skip-verify"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean_environment(), check=True)
    assert server.client(done.stdout.strip()).auth.token.lookup_self()["data"]["policies"] == ["root"]
