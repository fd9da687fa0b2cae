"""The tasks of the Celery workers: `celery -A backend.tasks worker`, `celery -A backend.tasks beat`."""

from .celery_app import celery
from .notes import count_notes, fingerprints

__all__ = ["celery", "count_notes", "fingerprints"]
