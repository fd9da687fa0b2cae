"""What a browser wants to be remembered, in Flask's session: a cookie that SECRET_KEY signs."""

from flask import Blueprint, abort, jsonify, request, session

bp = Blueprint("preferences", __name__)

THEMES = ("light", "dark")


@bp.get("/preferences")
def read():
    return jsonify(theme=session.get("theme"))


@bp.put("/preferences")
def write():
    theme = (request.get_json(silent=True) or {}).get("theme")
    if theme not in THEMES:
        abort(400, f"send theme as one of {', '.join(THEMES)}")
    session["theme"] = theme
    return jsonify(theme=theme)
