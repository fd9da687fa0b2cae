"""What the workers and beat start from: `celery -A backend.worker worker`, `celery -A backend.worker beat`."""

import sys

from .config import Config, load_config
from .shared.secret_source import SourceError
from .shared.vault_client import VaultError
from .tasks import celery, configure

CONFIG_EXIT = 78  # EX_CONFIG of sysexits.h


def _load() -> Config:
    try:
        return load_config()
    except (SourceError, VaultError) as error:
        print(f"atmr: {error}", file=sys.stderr)
        raise SystemExit(CONFIG_EXIT) from None


configure(_load())

__all__ = ["celery"]
