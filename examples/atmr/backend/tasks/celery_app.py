"""The Celery application, and `state()`, which is what tasks work with."""

import os
from functools import cache

from celery import Celery

from ..config import load_config
from ..shared import secret_source as secrets
from ..state import State

BEAT_SECONDS = 60.0

celery = Celery("atmr")


def configure() -> None:
    """Broker and results are where the secrets say. Tasks travel as JSON; what they return is kept for an hour."""
    secrets.connect_workers(celery)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        result_expires=3600,
        broker_connection_retry_on_startup=True,
        beat_schedule={
            "count notes": {
                "task": "atmr.count_notes",
                "schedule": float(os.environ.get("ATMR_BEAT_SECONDS", BEAT_SECONDS)),
                "args": ["beat"],
            }
        },
    )


def state() -> State:
    """Opened by the first task of a process: connections do not survive a fork."""
    return _state(os.getpid())


@cache
def _state(_process: int) -> State:
    return State.open(load_config())
