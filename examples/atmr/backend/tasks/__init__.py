"""The tasks of the Celery workers. `backend.worker` starts them; the web processes only ask."""

from . import vault_rotation_tasks
from .celery_app import celery, configure
from .notes import count_notes, fingerprints

__all__ = ["celery", "configure", "count_notes", "fingerprints", "vault_rotation_tasks"]
