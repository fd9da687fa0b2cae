"""What requests and tasks need, opened once in each process."""

from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from .config import Config
from .shared import secret_source as secrets
from .shared.crypto import ColumnCipher
from .stores import Cache, Database, open_cache, open_database


@dataclass(frozen=True)
class State:
    """Kept out of `app.config`, which debuggers and error pages print."""

    config: Config
    database: Database
    cache: Cache
    cipher: ColumnCipher
    session: sessionmaker[Session]

    @classmethod
    def open(cls, config: Config) -> "State":
        """Raises `ConfigError`, `VaultError` or `CryptoError` when the process must not start."""
        cipher = ColumnCipher(secrets.open_box("APP_ENCRYPTION_KEY_B64"))
        database = open_database(config)
        return cls(config, database, open_cache(), cipher, sessionmaker(database.engine, expire_on_commit=False))
