"""Login with name and password; afterwards a JWT (RFC 7519, HS256 under JWT_SECRET_KEY)."""

import time
from functools import wraps

import jwt
from flask import Blueprint, abort, current_app, g, jsonify, request
from sqlalchemy import select
from werkzeug.security import check_password_hash, generate_password_hash

from .models import User

bp = Blueprint("auth", __name__)

ALGORITHM = "HS256"
MAX_ATTEMPTS = 10
WINDOW_SECONDS = 60
# Checked for unknown names, so that a name cannot be guessed from the time an answer takes.
NOBODY = generate_password_hash("nobody")


@bp.post("/auth/login")
def login():
    body = request.get_json(silent=True) or {}
    name, password = body.get("username"), body.get("password")
    if not isinstance(name, str) or not isinstance(password, str):
        abort(400, "send username and password as JSON strings")
    _count_attempt(name)
    with current_app.extensions["atmr"].session() as session:
        user = session.scalar(select(User).where(User.name == name))
    known = user.has_password(password) if user else check_password_hash(NOBODY, password) and False
    if not known:
        abort(401, "wrong username or password")
    return jsonify(access_token=_issue(user), token_type="Bearer", expires_in=current_app.config["TOKEN_SECONDS"])


def login_required(view):
    """Demands a valid token and puts the user into `g.user`."""

    @wraps(view)
    def guarded(*args, **kwargs):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            abort(401, "send a token: Authorization: Bearer …")
        try:
            claims = jwt.decode(token, _key(), algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
        except jwt.InvalidTokenError:
            abort(401, "the token is not valid; log in again")
        with current_app.extensions["atmr"].session() as session:
            g.user = session.scalar(select(User).where(User.name == claims["sub"]))
        if g.user is None:
            abort(401, "the token is not valid; log in again")
        return view(*args, **kwargs)

    return guarded


def _issue(user: User) -> str:
    now = int(time.time())
    claims = {"sub": user.name, "iat": now, "exp": now + current_app.config["TOKEN_SECONDS"]}
    return jwt.encode(claims, _key(), algorithm=ALGORITHM)


def _key() -> str:
    return current_app.extensions["atmr"].config.SECRETS["JWT_SECRET_KEY"]


def _count_attempt(name: str) -> None:
    """With Redis, at most `MAX_ATTEMPTS` logins per name and minute over all processes."""
    client = current_app.extensions["atmr"].cache.client
    if client is None:
        return
    key = f"atmr:login:{name[:80]}"
    count = client.incr(key)
    if count == 1:
        client.expire(key, WINDOW_SECONDS)
    if count > MAX_ATTEMPTS:
        abort(429, "too many attempts; wait a minute")
