"""The application factory: `flask --app backend.app run`, or `gunicorn 'backend.app:create_app()'`."""

import logging
import sys

import click
from flask import Flask, jsonify, request
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.exceptions import HTTPException

from . import auth, jobs, notes, preferences, status
from .config import Config, ConfigError, allowed_origins, load_config
from .models import User
from .shared import secret_source as secrets
from .shared.crypto import CryptoError
from .shared.secret_source import VaultError
from .state import State

CONFIG_EXIT = 78  # EX_CONFIG of sysexits.h


def create_app(config: Config | None = None) -> Flask:
    """Builds the application, or ends the process with one sentence when it must not start."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return build_app(config or load_config())
    except (ConfigError, VaultError, CryptoError) as error:
        print(f"atmr: {error}", file=sys.stderr)
        raise SystemExit(CONFIG_EXIT) from None


def build_app(config: Config) -> Flask:
    """The same, raising."""
    app = Flask("atmr")
    app.config.from_object(config)
    secrets.protect_sessions(app)
    auth.install(app, config.TOKEN_SECONDS)
    jobs.install()
    state = State.open(config)
    app.extensions["atmr"] = state
    if config.ENVIRONMENT == "dev":
        _add_user(state.session, "demo", "demo", replace=False)
    for part in (auth, jobs, notes, preferences, status):
        app.register_blueprint(part.bp)
    app.register_error_handler(HTTPException, _error_as_json)
    app.register_error_handler(CryptoError, _crypto_error_as_json)
    app.after_request(_cors)
    app.cli.command("create-user")(_create_user)
    return app


@click.argument("name")
@click.password_option()
def _create_user(name: str, password: str) -> None:
    """Adds a user, or sets the password of an existing one."""
    from flask import current_app

    _add_user(current_app.extensions["atmr"].session, name, password, replace=True)


def _add_user(sessions: sessionmaker[Session], name: str, password: str, replace: bool) -> None:
    try:
        with sessions.begin() as session:
            user = session.scalar(select(User).where(User.name == name))
            if user is None:
                user = User(name=name)
                session.add(user)
            elif not replace:
                return
            user.set_password(password)
    except IntegrityError:
        # Another process that starts as well was faster.
        if replace:
            raise


def _cors(response):
    origin = request.headers.get("Origin", "")
    if origin in allowed_origins():
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
    return response


def _error_as_json(error: HTTPException):
    return jsonify(error=error.description), error.code


def _crypto_error_as_json(error: CryptoError):
    return jsonify(error=str(error)), 500
