"""What is configured and where it came from. Never a value."""

from flask import Blueprint, abort, current_app, jsonify, request

from .config import shows_fingerprints
from .shared import secret_source as secrets
from .shared.fingerprint import MIN_NONCE_CHARS, fingerprints

bp = Blueprint("status", __name__)


@bp.get("/health")
def health():
    state = current_app.extensions["atmr"]
    return jsonify(
        status="ok",
        environment=secrets.environment(),
        source=secrets.source(),
        variables={name: secrets.origin(name) for name in secrets.names()},
        secrets=secrets.state(),
        database={"in_use": state.database.kind, "reason": state.database.reason},
        redis={"in_use": state.cache.client is not None, "reason": state.cache.reason},
    )


@bp.get("/config/fingerprints")
def held():
    """Proves that the process holds the same bytes as somebody else, without showing them.

    The nonce comes from the caller, so nobody can look a fingerprint up in a table. Short secrets can still be
    guessed from it, hence only in development, or with ATMR_FINGERPRINTS=1.
    """
    return jsonify(algorithm="hmac-sha256", secrets=fingerprints(asked_nonce()))


def asked_nonce() -> str:
    """Of a request for fingerprints, if they are shown at all."""
    if not shows_fingerprints():
        abort(404)
    nonce = request.args.get("nonce", "")
    if len(nonce) < MIN_NONCE_CHARS:
        abort(400, f"send a fresh random nonce of at least {MIN_NONCE_CHARS} characters: ?nonce=…")
    return nonce
