"""Login with name and password; afterwards a JWT (RFC 7519, HS256 under JWT_SECRET_KEY) of flask-jwt-extended."""

from datetime import timedelta

from flask import Blueprint, Flask, abort, current_app, jsonify, request
from flask_jwt_extended import JWTManager, create_access_token
from sqlalchemy import select
from werkzeug.security import check_password_hash, generate_password_hash

from .models import User
from .shared import secret_source as secrets

bp = Blueprint("auth", __name__)

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
    user = _user(name)
    known = user.has_password(password) if user else check_password_hash(NOBODY, password) and False
    if not known:
        abort(401, "wrong username or password")
    seconds = int(current_app.config["JWT_ACCESS_TOKEN_EXPIRES"].total_seconds())
    return jsonify(access_token=create_access_token(user.name), token_type="Bearer", expires_in=seconds)


def install(app: Flask, token_seconds: int) -> None:
    """Tokens for this application. Views demand one with `jwt_required()` and find the user in `current_user`."""
    app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(seconds=token_seconds)
    manager = JWTManager(app)
    secrets.sign_tokens(app, manager)
    manager.user_lookup_loader(lambda _header, claims: _user(claims["sub"]))
    # A token that never ends is none of ours.
    manager.token_verification_loader(lambda _header, claims: "exp" in claims)
    manager.unauthorized_loader(lambda _why: (jsonify(error="send a token: Authorization: Bearer …"), 401))
    for loader in (
        manager.invalid_token_loader,
        manager.expired_token_loader,
        manager.user_lookup_error_loader,
        manager.token_verification_failed_loader,
    ):
        loader(lambda *_: (jsonify(error="the token is not valid; log in again"), 401))


def _user(name: str) -> User | None:
    with current_app.extensions["atmr"].session() as session:
        return session.scalar(select(User).where(User.name == name))


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
