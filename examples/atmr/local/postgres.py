"""A real PostgreSQL: `with PostgresServer() as server: psycopg.connect(server.url)`."""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from .process import Missing, RealProcess, ends_with_us

ADMIN = "coffre_admin"
DATABASE = "atmr"


class PostgresServer(RealProcess):
    """Listens on 127.0.0.1 only, with passwords (SCRAM). `url` is the superuser's, in the database `atmr`."""

    stop_signal = signal.SIGINT  # Fast shutdown: clients are disconnected.

    def __init__(self, directory: Path | None = None, port: int = 0, log: Path | None = None):
        self.programs = find_programs()
        super().__init__("postgres", directory, port, log)
        # PostgreSQL refuses to run as root.
        self.user = unprivileged() if os.geteuid() == 0 else None
        self.data = self.directory / "data"
        kept = self.directory / "admin-password"
        try:
            self.password = kept.read_text() if kept.exists() else self._make_cluster(kept)
            self.start()
            if not self._admin("postgres", "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]):
                self._admin("postgres", sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self.url_for(ADMIN, self.password)

    def url_for(self, user: str, password: str, database: str = DATABASE) -> str:
        """Password as it stands in the URL: percent-encoded where it must be."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, parameters=None, database: str = DATABASE) -> list[tuple]:
        """One statement as the superuser, outside a transaction; its rows."""
        return self._admin(database, statement, parameters)

    def create_role(self, name: str, password: str, database: str | None = None) -> None:
        """A role that may log in; with `database`, the owner of a new database of that name."""
        role = sql.Identifier(name)
        # Encrypted here: the server logs statements that fail.
        with psycopg.connect(self.url_for(ADMIN, self.password, "postgres"), autocommit=True) as connection:
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(verifier)))
        if database:
            self.own_database(database, name)

    def own_database(self, database: str, owner: str) -> None:
        """Makes it, or hands it over."""
        names = (sql.Identifier(database), sql.Identifier(owner))
        there = self._admin("postgres", "SELECT 1 FROM pg_database WHERE datname = %s", [database])
        order = "ALTER DATABASE {} OWNER TO {}" if there else "CREATE DATABASE {} OWNER {}"
        self._admin("postgres", sql.SQL(order).format(*names))

    def command(self) -> list[str]:
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "full_page_writes=off",
                    "synchronous_commit=off", "shared_buffers=32MB", "max_connections=100")
        options = [part for setting in settings for part in ("-c", setting)]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *options]

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.url_for(ADMIN, self.password, "postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _make_cluster(self, kept: Path) -> str:
        """A new cluster; the superuser's password is kept beside it."""
        password = secrets.token_hex(16)
        kept.touch(0o600)
        kept.write_text(password)
        if self.user:
            for path in (self.directory, kept):
                shutil.chown(path, self.user)
        command = [str(self.programs / "initdb"), "-D", str(self.data), "-U", ADMIN, "-A", "scram-sha-256", "-E", "UTF8",
                   "--locale=C.UTF-8", f"--pwfile={kept}", "--no-sync"]
        done = subprocess.run(
            ends_with_us(command, self.user), cwd=self.directory, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            kept.unlink()
            raise AssertionError(f"initdb failed:\n{done.stdout}{done.stderr}")
        return password

    def _admin(self, database: str, statement, parameters=None) -> list[tuple]:
        with psycopg.connect(self.url_for(ADMIN, self.password, database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def find_programs() -> Path:
    """Where `initdb` and `postgres` are: on PATH, else the newest of Debian's directories. `Missing` if nowhere."""
    if (on_path := shutil.which("initdb")) and shutil.which("postgres"):
        return Path(on_path).parent
    versions = {}
    for folder in Path("/usr/lib/postgresql").glob("*/bin"):
        if (folder / "initdb").exists() and (folder / "postgres").exists() and re.fullmatch(r"\d+", folder.parent.name):
            versions[int(folder.parent.name)] = folder
    if not versions:
        raise Missing("PostgreSQL is not installed: apt-get install postgresql")
    return versions[max(versions)]


def unprivileged() -> str:
    """`postgres` where the package made that user, else `nobody`."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
