"""The plan's rotation tasks: steps of the engine of `coffre rotate`, and beat's schedule from `coffre.toml`.

    ATMR_ROTATION=celery  on workers and beat
    celery -A backend.worker worker -Q rotation  with VAULT_ROTATE_ROLE_ID and VAULT_ROTATE_SECRET_ID, the rotation's identity

All other workers, and the web processes, keep the identity that may only read.
"""

import os

from .celery_app import celery

QUEUE = "rotation"


def install() -> None:
    """Adds `coffre.rotate_jwt_secret`, `rotate_flask_secret_key`, `rotate_encryption_key` and `rotate_all_secrets`."""
    if os.environ.get("ATMR_ROTATION") != "celery":
        return
    import coffre.celery

    coffre.celery.setup_rotation(celery, queue=QUEUE)
