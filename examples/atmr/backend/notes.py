"""Notes of the user who is logged in."""

import json

from flask import Blueprint, abort, current_app, jsonify, request
from flask_jwt_extended import current_user, jwt_required
from sqlalchemy import select

from .models import Note
from .state import State

bp = Blueprint("notes", __name__)

MAX_BODY_CHARS = 10_000
SUMMARY_SECONDS = 30


@bp.get("/me")
@jwt_required()
def me():
    return jsonify(username=current_user.name)


@bp.post("/notes")
@jwt_required()
def write_note():
    body = (request.get_json(silent=True) or {}).get("body")
    if not isinstance(body, str) or not 0 < len(body) <= MAX_BODY_CHARS:
        abort(400, f"send body as a string of 1 to {MAX_BODY_CHARS} characters")
    state = current_app.extensions["atmr"]
    with state.session() as session, session.begin():
        note = Note.write(current_user, body, state.cipher)
        session.add(note)
        identifier = note.id
    if state.cache.client:
        state.cache.client.delete(_summary_key())
    return jsonify(id=identifier), 201


@bp.get("/notes")
@jwt_required()
def read_notes():
    state = current_app.extensions["atmr"]
    found = [{"id": n.id, "body": n.body(state.cipher), "created_at": n.created_at.isoformat() + "Z"} for n in _notes(state)]
    return jsonify(notes=found)


@bp.get("/notes/summary")
@jwt_required()
def summary():
    """How many notes and characters; kept in Redis, if there is one, until the next note or `SUMMARY_SECONDS`."""
    state = current_app.extensions["atmr"]
    client = state.cache.client
    if client and (kept := client.get(_summary_key())):
        return jsonify(**json.loads(kept), cached=True)
    bodies = [note.body(state.cipher) for note in _notes(state)]
    answer = {"notes": len(bodies), "characters": sum(map(len, bodies))}
    if client:
        client.set(_summary_key(), json.dumps(answer), ex=SUMMARY_SECONDS)
    return jsonify(**answer, cached=False)


def _notes(state: State) -> list[Note]:
    with state.session() as session:
        wanted = select(Note).where(Note.user_id == current_user.id).order_by(Note.created_at, Note.id)
        return list(session.scalars(wanted))


def _summary_key() -> str:
    return f"atmr:summary:{current_user.id}"
