"""A real Redis: `with RedisServer() as server: redis.Redis.from_url(server.url)`."""

import secrets
import shutil
from pathlib import Path

import redis

from .process import Missing, RealProcess


class RedisServer(RealProcess):
    """Listens on 127.0.0.1 only, with a password for the default user, which may do everything. Nothing is saved."""

    def __init__(self, password: str | None = None, directory: Path | None = None, port: int = 0, log: Path | None = None):
        self.program = shutil.which("redis-server")
        if not self.program:
            raise Missing("Redis is not installed: apt-get install redis-server")
        super().__init__("redis", directory, port, log)
        self.password = password or secrets.token_hex(16)
        self.start()

    @property
    def address(self) -> str:
        """Without a database, to which `/1` can be added."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Database 0."""
        return f"{self.address}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5, decode_responses=True)

    def command(self) -> list[str]:
        # The password goes in through a file: command lines are everybody's to read.
        config = self.directory / "redis.conf"
        lines = ("bind 127.0.0.1", f"port {self.port}", f'requirepass "{self.password}"', 'save ""', "appendonly no",
                 f"dir {self.directory}", "daemonize no")
        config.touch(0o600)
        config.write_text("\n".join(lines) + "\n")
        return [self.program, str(config)]

    def answers(self) -> bool:
        try:
            return self.client().ping()
        except redis.RedisError:
            return False
