"""What is configured and where it came from. Never a value."""

from flask import Blueprint, abort, current_app, jsonify, request

from .shared.fingerprint import MIN_NONCE_CHARS, fingerprint

bp = Blueprint("status", __name__)


@bp.get("/health")
def health():
    state = current_app.extensions["atmr"]
    config = state.config
    names = [*config.MANIFEST.secrets, *config.MANIFEST.config]
    return jsonify(
        status="ok",
        environment=config.ENVIRONMENT,
        source=config.SOURCE,
        variables={name: config.ORIGIN.get(name, "not set") for name in names},
        database={"in_use": state.database.kind, "reason": state.database.reason},
        redis={"in_use": state.cache.client is not None, "reason": state.cache.reason},
    )


@bp.get("/config/fingerprints")
def fingerprints():
    """Proves that the process holds the same bytes as somebody else, without showing them.

    The nonce comes from the caller, so nobody can look a fingerprint up in a table. Short secrets can still be
    guessed from it, hence only in development, or with ATMR_FINGERPRINTS=1.
    """
    config = current_app.extensions["atmr"].config
    if not config.FINGERPRINTS:
        abort(404)
    nonce = request.args.get("nonce", "")
    if len(nonce) < MIN_NONCE_CHARS:
        abort(400, f"send a fresh random nonce of at least {MIN_NONCE_CHARS} characters: ?nonce=…")
    return jsonify(
        algorithm="hmac-sha256",
        secrets={name: fingerprint(value, nonce) for name, value in config.SECRETS.items()},
        config={name: fingerprint(value, nonce) for name, value in config.SETTINGS.items()},
    )
