"""The tasks of the Celery workers. `backend.worker` starts them; the web processes only ask."""

from .celery_app import celery, configure
from .notes import count_notes, fingerprints

__all__ = ["celery", "configure", "count_notes", "fingerprints"]
