"""The Celery application, on the broker of CELERY_BROKER_URL; `state()` is what tasks work with."""

import os
import sys
from functools import cache

from celery import Celery

from ..config import Config, load_config
from ..shared.secret_source import SourceError
from ..shared.vault_client import VaultError
from ..state import State

CONFIG_EXIT = 78  # EX_CONFIG of sysexits.h
BEAT_SECONDS = 60.0


def build(config: Config) -> Celery:
    """Tasks travel as JSON; what they return is kept for an hour."""
    app = Celery("atmr", broker=config.SECRETS["CELERY_BROKER_URL"], backend=config.SECRETS["CELERY_RESULT_BACKEND"])
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        result_expires=3600,
        broker_connection_retry_on_startup=True,
        # Logging is set up once, by Celery; the application's own loggers join it.
        worker_hijack_root_logger=True,
        beat_schedule={
            "count notes": {
                "task": "atmr.count_notes",
                "schedule": float(os.environ.get("ATMR_BEAT_SECONDS", BEAT_SECONDS)),
                "args": ["beat"],
            }
        },
    )
    return app


def state() -> State:
    """Opened by the first task of a process: connections do not survive a fork."""
    return _state(os.getpid())


@cache
def _state(_process: int) -> State:
    return State.open(_config)


def _load() -> Config:
    try:
        return load_config()
    except (SourceError, VaultError) as error:
        print(f"atmr: {error}", file=sys.stderr)
        raise SystemExit(CONFIG_EXIT) from None


_config = _load()
celery = build(_config)
