"""What the workers and beat start from: `celery -A backend.worker worker`, `celery -A backend.worker beat`."""

import sys

from .config import ConfigError, load_config
from .shared.secret_source import VaultError
from .tasks import celery, configure, vault_rotation_tasks

CONFIG_EXIT = 78  # EX_CONFIG of sysexits.h


def _start() -> None:
    """Ends the process with one sentence when it must not start."""
    try:
        load_config()
        configure()
        vault_rotation_tasks.install()
    except (ConfigError, VaultError) as error:
        print(f"atmr: {error}", file=sys.stderr)
        raise SystemExit(CONFIG_EXIT) from None


_start()

__all__ = ["celery"]
