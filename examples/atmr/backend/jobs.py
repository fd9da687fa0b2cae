"""Work for the Celery workers, and what they left in the database."""

import importlib.util

from flask import Blueprint, abort, current_app, jsonify, request
from flask_jwt_extended import jwt_required
from sqlalchemy import func, select

from .config import Config
from .models import Statistic
from .shared.fingerprint import MIN_NONCE_CHARS

bp = Blueprint("jobs", __name__)


@bp.post("/jobs/count-notes")
@jwt_required()
def count_notes():
    """Asks a worker to open and count all notes."""
    return jsonify(id=_tasks().count_notes.delay("request").id), 202


@bp.post("/jobs/fingerprints")
def fingerprints():
    """Asks a worker for the fingerprints of its own values; see `/config/fingerprints`."""
    if not current_app.extensions["atmr"].config.FINGERPRINTS:
        abort(404)
    nonce = request.args.get("nonce", "")
    if len(nonce) < MIN_NONCE_CHARS:
        abort(400, f"send a fresh random nonce of at least {MIN_NONCE_CHARS} characters: ?nonce=…")
    return jsonify(id=_tasks().fingerprints.delay(nonce).id), 202


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


def install(config: Config) -> None:
    """Lets this process ask the workers, if there are any."""
    if _tasks_of(config):
        _tasks_of(config).configure(config)


def _tasks():
    return _tasks_of(current_app.extensions["atmr"].config) or abort(
        503, "there are no workers: CELERY_BROKER_URL is not set, or celery is not installed"
    )


def _tasks_of(config: Config):
    """The package of the tasks, which needs Celery; None without a broker."""
    if not config.SECRETS.get("CELERY_BROKER_URL") or importlib.util.find_spec("celery") is None:
        return None
    from . import tasks

    return tasks
