"""Work for the Celery workers, and what they left in the database."""

from flask import Blueprint, abort, current_app, jsonify
from flask_jwt_extended import jwt_required
from sqlalchemy import func, select

from .config import has_workers
from .models import Statistic
from .status import asked_nonce

bp = Blueprint("jobs", __name__)


@bp.post("/jobs/count-notes")
@jwt_required()
def count_notes():
    """Asks a worker to open and count all notes."""
    return jsonify(id=_tasks().count_notes.delay("request").id), 202


@bp.post("/jobs/fingerprints")
def fingerprints():
    """Asks a worker for the fingerprints of its own values; see `/config/fingerprints`."""
    return jsonify(id=_tasks().fingerprints.delay(asked_nonce()).id), 202


@bp.get("/jobs/<identifier>")
def result(identifier: str):
    found = _tasks().celery.AsyncResult(identifier)
    return jsonify(state=found.state, result=found.result if found.successful() else None)


@bp.get("/statistics")
@jwt_required()
def statistics():
    """For each trigger how often notes were counted, and the last count."""
    state = current_app.extensions["atmr"]
    with state.session() as session:
        grouped = select(Statistic.trigger, func.count(), func.max(Statistic.id)).group_by(Statistic.trigger)
        found = {
            trigger: {"runs": runs, "notes": session.get_one(Statistic, last).notes}
            for trigger, runs, last in session.execute(grouped)
        }
    return jsonify(found)


def install() -> None:
    """Lets this process ask the workers, if there are any."""
    if has_workers():
        from . import tasks

        tasks.configure()


def _tasks():
    """The package of the tasks, which needs Celery."""
    if not has_workers():
        abort(503, "there are no workers: CELERY_BROKER_URL is not set, or celery is not installed")
    from . import tasks

    return tasks
