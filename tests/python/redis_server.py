"""A real Redis for tests, the sample application's: `with RedisServer() as server: redis.Redis.from_url(server.url)`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/atmr"))
from local.redis import RedisServer  # noqa: E402

__all__ = ["RedisServer"]
