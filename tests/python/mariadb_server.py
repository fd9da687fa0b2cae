"""A real MariaDB for tests: `with MariaDbServer() as server: server.connect("root", server.password)`."""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pymysql
from real_process import Missing, RealProcess

from local.postgres import unprivileged
from local.process import ends_with_us


class MariaDbServer(RealProcess):
    """Listens on 127.0.0.1 only. `admin` may do everything, from anywhere; a database `shop` is there."""

    user = unprivileged() if os.geteuid() == 0 else None

    def __init__(self, *options: str):
        self.programs = [find("mariadbd"), find("mariadb-install-db")]
        super().__init__("mariadb")
        self.options, self.password = options, secrets.token_hex(16)
        if self.user:
            shutil.chown(self.directory, self.user)
        self._make_data()
        self.start()

    def connect(self, name: str = "admin", password: str | None = None, database: str | None = None) -> pymysql.Connection:
        """Raises `pymysql.err.OperationalError` if the server says no."""
        password = self.password if password is None else password
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=name, password=password, database=database, autocommit=True, connect_timeout=5
        )

    def execute(self, statement: str, parameters=None) -> list[tuple]:
        """One statement as `admin`; its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def command(self) -> list[str]:
        return [str(self.programs[0]), "--no-defaults", f"--datadir={self.directory}/data", "--bind-address=127.0.0.1",
                "--skip-log-bin", "--innodb-buffer-pool-size=16M", "--skip-name-resolve", f"--port={self.port}",
                f"--socket={self.directory}/socket", f"--init-file={self.directory}/init.sql", *self.options]

    def answers(self) -> bool:
        try:
            self.connect().close()
            return True
        except pymysql.err.Error:
            return False

    def _make_data(self) -> None:
        command = [str(self.programs[1]), "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
                   f"--datadir={self.directory}/data", "--innodb-buffer-pool-size=16M"]
        done = subprocess.run(
            ends_with_us(command, self.user), cwd=self.directory, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"mariadb-install-db failed:\n{done.stdout}{done.stderr}"
        init = self.directory / "init.sql"
        init.touch(0o600)
        init.write_text(
            f"CREATE OR REPLACE USER admin@'%' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\nCREATE DATABASE IF NOT EXISTS shop;\n"
        )
        if self.user:
            shutil.chown(init, self.user)


def find(program: str) -> Path:
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    if not (found := shutil.which(program, path=path)):
        raise Missing("MariaDB is not installed: apt-get install mariadb-server")
    return Path(found)
