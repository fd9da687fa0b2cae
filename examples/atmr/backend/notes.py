"""Notes of the user who is logged in."""

from flask import Blueprint, abort, current_app, g, jsonify, request
from sqlalchemy import select

from .auth import login_required
from .models import Note

bp = Blueprint("notes", __name__)

MAX_BODY_CHARS = 10_000


@bp.get("/me")
@login_required
def me():
    return jsonify(username=g.user.name)


@bp.post("/notes")
@login_required
def write_note():
    body = (request.get_json(silent=True) or {}).get("body")
    if not isinstance(body, str) or not 0 < len(body) <= MAX_BODY_CHARS:
        abort(400, f"send body as a string of 1 to {MAX_BODY_CHARS} characters")
    state = current_app.extensions["atmr"]
    with state.session() as session, session.begin():
        note = Note.write(g.user, body, state.cipher)
        session.add(note)
        return jsonify(id=note.id), 201


@bp.get("/notes")
@login_required
def read_notes():
    state = current_app.extensions["atmr"]
    with state.session() as session:
        notes = session.scalars(select(Note).where(Note.user_id == g.user.id).order_by(Note.created_at, Note.id))
        found = [{"id": n.id, "body": n.body(state.cipher), "created_at": n.created_at.isoformat() + "Z"} for n in notes]
    return jsonify(notes=found)
