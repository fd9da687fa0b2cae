"""Rows N1 to N7 and N10 with real processes: the command line, the agent, the Python package and the migration against
servers that lead elsewhere, cut answers off, have unknown certificates, and against files that bite."""

import base64
import http.server
import importlib.metadata
import json
import os
import shutil
import subprocess
import tempfile
import threading

import pytest
from dotenv import dotenv_values

from agent_host import Agent, prepare, put
from application import Application
from application import prepare as prepare_application
from coffre_server import Server, clean_environment
from project import forms
from real_process import until

TOKEN = "hvs.CANARYofTheClient0001"
VALUE = "CANARY-value-of-the-client"
# Of the largest environment file. A debug build reads about one in a second on a quiet machine.
MEGABYTES = int(os.environ.get("COFFRE_DOTENV_MEGABYTES", "2"))


@pytest.fixture(scope="module")
def vault(server):
    prepare(server)
    return server


class StandIn:
    """Answers each request with `reply` (status, headers, body; `None` cuts the connection) and keeps what it was sent."""

    def __init__(self, reply):
        self.reply, self.seen = reply, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.seen.append((self.command, self.path, self.headers["X-Vault-Token"], body))
                if outer.reply is None:
                    self.connection.close()
                    return
                status, headers, content = outer.reply
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None
        self.port = self.http.server_port
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def coffre(binary, directory, address, *arguments, stdin="", **env):
    env = clean_environment(HOME=str(directory), VAULT_ADDR=address, VAULT_TOKEN=TOKEN) | env
    command = [str(binary), *arguments]
    return subprocess.run(command, env=env, cwd=directory, input=stdin, capture_output=True, text=True, timeout=60, check=False)


BAD = [
    (403, {}, f'{{"errors":["token {TOKEN} may not write {VALUE}"]}}'.encode()),
    (400, {}, f'{{"errors":[{{"{TOKEN}":"{VALUE}"}}]}}'.encode()),
    (502, {}, f"<html>{VALUE} {TOKEN}</html>".encode()),
    (200, {}, f'{{"data":{{"k":"{VALUE}"}}, '.encode()),
    (200, {}, f'{{"lease_duration":"{VALUE}"}}'.encode()),
    (307, {"Location": f"http://elsewhere.invalid/{VALUE}?{TOKEN}"}, b""),
    None,
]


@pytest.mark.parametrize("reply", BAD, ids=lambda reply: str(reply and reply[0]))
def test_n1_no_error_of_a_process_shows_its_token_or_what_it_sent(binary, tmp_path, reply):
    """Whatever a server answers, the message of the command line and its log at the finest level show no token and no body."""
    with StandIn(reply) as server:
        done = coffre(binary, tmp_path, server.address, "write", "secret/x", "k=-", stdin=VALUE, COFFRE_LOG="trace", RUST_LOG="trace")
        assert done.returncode != 0 and len(server.seen) == 1 and VALUE.encode() in server.seen[0][3]
    # What the server says of itself in `errors` is shown, without the token; a value in it was not ours to know.
    said = done.stdout + done.stderr
    assert TOKEN not in said, said
    if reply is None or reply[0] != 403:
        assert VALUE not in said, said


def test_n2_a_token_is_sent_nowhere_else(binary, tmp_path):
    """Led to another host, another port or by another scheme, a command ends with an error, and nobody else hears of the token."""
    with StandIn((200, {}, b'{"data":{}}')) as trap:
        for target in [f"http://localhost:{trap.port}/v1/x", f"{trap.address}/v1/x", f"//127.0.0.1:{trap.port}/v1/x", "https://localhost/v1/x"]:
            with StandIn((307, {"Location": target}, b"")) as server:
                for command in [("read", "secret/x"), ("write", "secret/x", "k=v"), ("delete", "secret/x"), ("token", "lookup")]:
                    done = coffre(binary, tmp_path, server.address, *command)
                    assert done.returncode == 2 and TOKEN not in done.stderr, done.stderr
                assert len(server.seen) == 4
        assert trap.seen == []


def test_n3_an_answer_that_is_lost_costs_one_user_at_most(binary, tmp_path, fresh_server, postgres):
    """The answer to a request that makes a database user is cut off: it is not asked for again, and one user was made."""
    for sql in ["DROP ROLE IF EXISTS n3admin", "CREATE ROLE n3admin LOGIN CREATEROLE PASSWORD 'n3'"]:
        postgres.execute(sql)
    url = f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/atmr?sslmode=disable"
    create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
    for path, body in [
        ("sys/mounts/db", {"type": "database"}),
        ("db/config/app", {"plugin_name": "postgresql-database-plugin", "connection_url": url, "username": "n3admin",
                           "password": "n3", "allowed_roles": "*", "username_template": "n3-{{random 12}}"}),
        ("db/roles/app", {"db_name": "app", "creation_statements": create, "default_ttl": "1h"}),
    ]:
        assert fresh_server.call("POST", path, body).status_code in (200, 204)
    with Cutting(fresh_server) as way:
        done = coffre(binary, tmp_path, way.address, "read", "db/creds/app", VAULT_TOKEN=fresh_server.root, VAULT_MAX_RETRIES="5")
    assert done.returncode == 2, done.stdout
    assert way.asked == ["/v1/db/creds/app"]
    assert postgres.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'n3-%%'", []) == [(1,)]
    # The lease knows it, so that it is not for ever.
    assert fresh_server.call("PUT", "sys/leases/revoke-prefix/db").status_code in (202, 204)
    assert until(lambda: postgres.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'n3-%%'", []) == [(0,)], 20)


class Cutting(StandIn):
    """A way to a server: requests arrive there, and every answer is lost."""

    def __init__(self, server):
        super().__init__(None)
        self.server, self.asked = server, []
        outer, handler = self, self.http.RequestHandlerClass

        def lose(request):
            outer.asked.append(request.path)
            answer = outer.server.call("GET", request.path.removeprefix("/v1/"))
            assert answer.status_code == 200, answer.text
            request.connection.close()

        handler.do_GET = lose


def test_n4_certificates_are_verified_and_every_start_that_skips_it_says_so(binary, tmp_path, tls_server):
    """An unknown certificate is refused by the command line, the agent and the package; told not to look, each says so at each start."""
    prepare_application(tls_server)
    application = Application(tls_server, tmp_path / "app")
    script = "import coffre; print(coffre.get_secret('JWT_SECRET_KEY'))"
    unknown = {"VAULT_CACERT": ""}
    for _ in range(2):
        refused = coffre(binary, tmp_path, tls_server.address, "status")
        assert refused.returncode == 1 and "certificate" in refused.stderr, refused.stderr
        taken = coffre(binary, tmp_path, tls_server.address, "status", "-tls-skip-verify")
        assert taken.returncode == 0 and "not verified" in taken.stderr
        taken = coffre(binary, tmp_path, tls_server.address, "status", VAULT_SKIP_VERIFY="true")
        assert taken.returncode == 0 and "not verified" in taken.stderr
        refused = application.run(script, code=None, **unknown)
        assert refused.returncode != 0 and "certificate" in refused.stderr, refused.stderr
        taken = application.run(script, VAULT_SKIP_VERIFY="true", **unknown)
        assert taken.stdout.strip() == application.jwt and "not verified" in taken.stderr, taken.stderr


def test_n4_an_agent_that_does_not_verify_says_so(binary, tmp_path, tls_server):
    """An agent refuses an unknown certificate, and warns when its configuration says that it must not look."""
    agent = Agent(binary, tmp_path / "agent", tls_server)
    agent.role_id.write_text("r\n")
    agent.secret_id.write_text("s\n")
    agent.configure()
    plain = agent.config.read_text()
    agent.config.write_text(plain.replace('timeout = "3s"', 'timeout = "3s"\ntls_skip_verify = true', 1))
    assert "tls_skip_verify" in agent.check().stderr
    agent.config.write_text(plain)
    assert "tls_skip_verify" not in agent.check().stderr
    before = tls_server.audit.read_text().count("auth/approle/login")
    agent.spawn()
    try:
        agent.wait_for(lambda: "certificate" in agent.text(), "refusal")
    finally:
        agent.stop()
    assert tls_server.audit.read_text().count("auth/approle/login") == before, "nothing was sent"


@pytest.fixture
def agent(binary, vault, tmp_path):
    put(vault, "prod/db", username="u", password=VALUE)
    with Agent(binary, tmp_path / "agent", vault).identify() as agent:
        yield agent


def test_n5_a_destination_that_climbs_is_refused(agent):
    """A destination with `..`, or without a name, is refused before anything is read."""
    for destination in [f"{agent.run}/../out", f"{agent.run}/..", "../out", "x/../../out", ""]:
        done = agent.configure(f"[[template]]\ncontents = 'x'\ndestination = '{destination}'\n").check()
        assert done.returncode == 1 and "destination" in done.stderr, done.stderr
    assert list(agent.directory.rglob("out")) == []


def test_n5_a_template_reads_no_file_and_what_fails_shows_nothing(agent):
    """A template cannot include, import or extend a file, and one that fails half-way leaves no file and no value anywhere."""
    victim = agent.directory / "victim"
    victim.write_text("precious")
    for text in [f"{{% include '{victim}' %}}", f"{{% extends '{victim}' %}}", f"{{% import '{victim}' as x %}}", f"{{{{ read('{victim}') }}}}"]:
        out = agent.run / "out"
        rendered = "{% set db = document('atmr/data/prod/db') %}{{ db.password }}" + text
        agent.configure(f'[[template]]\ncontents = """{rendered}"""\ndestination = "{out}"\n')
        told = agent.check()
        if told.returncode == 0:
            agent.spawn()
            agent.wait_for(lambda: agent.health()[0] == 503 and "contents for" in json.dumps(agent.health()[1]), "a red health")
            assert not out.exists() and VALUE not in json.dumps(agent.health()[1])
            agent.stop()
        shown = agent.text() + told.stdout + told.stderr
        assert "precious" not in shown and VALUE not in shown
        assert list(agent.run.glob("*out*")) == []
        agent.log.unlink(missing_ok=True)


def test_n6_the_file_of_the_token_is_private_and_no_link(binary, vault, tmp_path):
    """Login writes the token into a file of its own with mode 0600, never through a link; a wider file and a link are not read."""
    stored, victim = tmp_path / ".vault-token", tmp_path / "victim"
    victim.write_text("precious")
    stored.symlink_to(victim)

    def run(*arguments, stdin=""):
        return coffre(binary, tmp_path, vault.address, *arguments, stdin=stdin, VAULT_TOKEN="")

    assert run("login", "-no-print", "-", stdin=vault.root).returncode != 0
    assert victim.read_text() == "precious"
    stored.unlink()
    old = os.umask(0)
    try:
        assert run("login", "-no-print", "-", stdin=vault.root).returncode == 0
    finally:
        os.umask(old)
    assert stored.read_text() == vault.root and stored.stat().st_mode & 0o777 == 0o600
    assert run("token", "lookup").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir() if "token" in path.name) == [".vault-token"]
    for mode in (0o640, 0o604):
        stored.chmod(mode)
        refused = run("token", "lookup")
        assert refused.returncode != 0 and "chmod 600" in refused.stderr and vault.root not in refused.stderr
    stored.chmod(0o600)
    moved = stored.rename(tmp_path / "moved")
    stored.symlink_to(moved)
    refused = run("token", "lookup")
    assert refused.returncode != 0 and vault.root not in refused.stdout + refused.stderr


HOSTILE = (
    "\ufeffexport BOM_KEY=\"two words\"\r\n"
    "SUBST_KEY='$(touch {mark}) `touch {mark}` ; touch {mark} | x'\n"
    "BARE_KEY=$(touch${{IFS}}{mark})\n"
    "LINES_KEY=\"-----BEGIN X-----\nabc\\\\ndef\n-----END X-----\n\"\n"
    "QUOTES_KEY='it\\'s \"so\"'\n"
    "DUP_KEY=first-of-the-two\n"
    "HASH_KEY=\"a # b\" # a comment\n"
    "EMPTY_KEY=\n"
    "DUP_KEY=second-of-the-two\n"
    "UNICODE_KEY=\"é🔑\u00a0x\"\r\n"
)


@pytest.fixture
def folder(binary, fresh_server, tmp_path):
    """A project that is nothing but a `.env`; `run` is `coffre migrate` in it."""
    directory = tmp_path / "shop"
    directory.mkdir()

    def run(*arguments):
        env = {"VAULT_TOKEN": fresh_server.root, "COFFRE_ENV": "dev", "XDG_STATE_HOME": str(tmp_path / "state")}
        return coffre(binary, directory, fresh_server.address, "migrate", *arguments, **env)

    run.server, run.dotenv, run.mark = fresh_server, directory / ".env", tmp_path / "mark"
    return run


def test_n7_a_file_that_bites_arrives_as_text(folder):
    """Byte order mark, CRLF, `export`, quotes, several lines, comments, commands and a key given twice: what can be read in two
    ways is asked about, then every value arrives as python-dotenv reads it, nothing is run or shown, and the file stays."""
    folder.dotenv.write_bytes(HOSTILE.format(mark=folder.mark).encode())
    folder.dotenv.chmod(0o600)
    before, wanted = folder.dotenv.read_bytes(), dotenv_values(folder.dotenv)
    secret = {name: value for name, value in wanted.items() if value}
    assert len(secret) == 8 and secret["DUP_KEY"] == "second-of-the-two" and str(folder.mark) in secret["SUBST_KEY"]
    entries = "".join(f"[secret.{name}]\npath = 'x/{name.lower()}'\nkind = 'generic'\n" for name in secret)
    folder.dotenv.with_name("coffre.toml").write_text(f"app = 'shop'\nenvironments = ['dev']\n{entries}[config]\nnames = ['EMPTY_KEY']\n")
    asked = folder("plan")
    assert asked.returncode == 1 and "BOM_KEY" in asked.stderr and "DUP_KEY" in asked.stderr, asked.stderr
    release = f"-dotenv-release={importlib.metadata.version('python-dotenv')}"
    planned = folder("plan", release)
    assert planned.returncode == 0, planned.stderr
    assert "shop/" not in folder.server.call("GET", "sys/mounts").json()["data"], "a plan writes nothing"
    applied = folder("apply", "-yes")
    assert applied.returncode == 0, applied.stderr
    for name, value in secret.items():
        stored = folder.server.call("GET", f"shop/data/dev/x/{name.lower()}").json()["data"]["data"]["value"]
        assert stored == value, name
        for said in (asked, planned, applied):
            assert not any(form in (said.stdout + said.stderr).encode() for form in forms(value)), name
    assert folder("verify").returncode == 0
    assert not folder.mark.exists() and folder.dotenv.read_bytes() == before


@pytest.mark.parametrize(
    "content, says",
    [
        (b"GOOD_KEY=a-good-value\n\x00\xff\xfe\x01BAD_KEY=\x80\x81\n", ".env: line 2 is not UTF-8"),
        (b"GOOD_KEY=a-good-value\n\xff", ".env: line 2 is not UTF-8"),
        (b"\x7fELF" + bytes(range(256)) * 40, ".env: line "),
        (b"GOOD_KEY=a-good-value\nSECOND_KEY=a-good-value-too\n", ".env:2"),
    ],
    ids=["binary", "half a letter", "program", "not in the manifest"],
)
def test_n7_what_would_be_lost_ends_with_an_error_and_the_line(folder, content, says):
    """A file that is no text, or holds what the manifest does not name, is named with its line; nothing is written and the
    status is not 0."""
    folder.dotenv.write_bytes(content)
    folder.dotenv.with_name("coffre.toml").write_text("app = 'shop'\nenvironments = ['dev']\n[secret.GOOD_KEY]\npath = 'x/good'\nkind = 'generic'\n")
    for step, told in ((["plan"], says), (["apply", "-yes"], "")):
        done = folder(*step)
        assert done.returncode == 1 and told in done.stderr, done.stderr
        assert "a-good-value" not in done.stdout + done.stderr
    assert "shop/" not in folder.server.call("GET", "sys/mounts").json()["data"]
    assert folder.dotenv.read_bytes() == content


def test_n7_what_the_library_skips_is_told(folder):
    """A value without its end is none for python-dotenv: it is told with its line, and the others arrive."""
    folder.dotenv.write_text("GOOD_KEY=a-good-value\nBAD_KEY='not closed\n")
    folder.dotenv.with_name("coffre.toml").write_text("app = 'shop'\nenvironments = ['dev']\n[secret.GOOD_KEY]\npath = 'x/good'\nkind = 'generic'\n")
    planned = folder("plan")
    assert planned.returncode == 0 and ".env:2" in planned.stderr and "not closed" not in planned.stderr
    assert folder("apply", "-yes").returncode == 0
    assert folder.server.call("GET", "shop/data/dev/x/good").json()["data"]["data"]["value"] == "a-good-value"


def test_n7_megabytes_are_read_in_time(folder):
    """A file of megabytes ends within a minute; all of it arrives, and none of it is shown."""
    letters = {f"K{number}": f"{number}".rjust(200_000, "x") for number in range(5 * MEGABYTES)}
    folder.dotenv.write_text("".join(f'{name}="{value}"\n' for name, value in letters.items()))
    entries = "".join(f"[secret.{name}]\npath = 'x/{name.lower()}'\nkind = 'generic'\n" for name in letters)
    folder.dotenv.with_name("coffre.toml").write_text(f"app = 'shop'\nenvironments = ['dev']\n{entries}")
    for step in (["plan"], ["apply", "-yes"]):
        done = folder(*step)
        assert done.returncode == 0 and "x" * 100 not in done.stdout + done.stderr, done.stderr[:1000]
    for name in letters:
        assert folder.server.call("GET", f"shop/data/dev/x/{name.lower()}").json()["data"]["data"]["value"] == letters[name]


@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg to make a key with")
def test_n10_sealing_for_people_starts_no_program(binary, tmp_path, monkeypatch):
    """With traps by the names of every program that seals on the path of server and command line, an unsealing key is sealed so
    that GnuPG opens it, and names that are paths to a plugin are refused: no trap is sprung."""
    traps, mark, public = tmp_path / "traps", tmp_path / "mark", tmp_path / "public.asc"
    traps.mkdir()
    for name in ["gpg", "gpg2", "gpgsm", "age", "rage", "keybase", "age-plugin-x", "pinentry", "openssl", "sh"]:
        (traps / name).write_text(f"#!/bin/bash\necho {name} >> {mark}\n")
        (traps / name).chmod(0o755)
    subprocess.run([traps / "gpg"], check=True)
    assert mark.read_text() == "gpg\n", "a trap that is stepped on springs"
    mark.unlink()
    home = tempfile.TemporaryDirectory()  # Its agent's socket wants a short path.
    gpg = [shutil.which("gpg"), "--homedir", home.name, "--batch", "--pinentry-mode=loopback", "--passphrase="]
    subprocess.run([*gpg, "--quick-gen-key", "officer", "future-default", "default", "never"], check=True, capture_output=True)
    subprocess.run([*gpg, "--armor", "--output", public, "--export"], check=True)
    monkeypatch.setenv("PATH", str(traps))
    server = Server(binary, tmp_path / "server").bring_up()
    try:
        def rekey(*arguments, code=0):
            done = coffre(binary, tmp_path, server.address, "operator", "rekey", *arguments, VAULT_TOKEN=server.root)
            assert done.returncode == code or (code and done.returncode), done.stdout + done.stderr
            return done.stdout

        for evil in ["keybase:../../evil", "age1x/../../evil", f"{traps}/age", "age-plugin-../../x", "|gpg"]:
            rekey("-init", "-key-shares=1", "-key-threshold=1", f"-pgp-keys={evil}", code=2)
        started = json.loads(rekey("-init", "-key-shares=1", "-key-threshold=1", f"-pgp-keys={public}", "-format=json"))
        for key in server.keys[:3]:
            answer = server.call("PUT", "sys/rekey/update", {"key": key, "nonce": started.get("data", started)["nonce"]}).json()
    finally:
        server.stop()
        monkeypatch.undo()
    sealed = base64.b64decode(answer["keys_base64"][0])
    opened = subprocess.run([*gpg, "--decrypt"], input=sealed, capture_output=True, check=True).stdout
    subprocess.run(["gpgconf", "--homedir", home.name, "--kill", "all"], check=False)
    home.cleanup()
    assert len(opened) >= 32 and not mark.exists()
