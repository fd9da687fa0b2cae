"""A real PostgreSQL for tests, the sample application's: `with PostgresServer() as server: psycopg.connect(server.url)`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/atmr"))
from local.postgres import PostgresServer  # noqa: E402

__all__ = ["PostgresServer"]
