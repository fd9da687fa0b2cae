"""The same as `vault_client`, without the package: the values that `coffre run` put into the environment, as they are."""

import base64
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet
from sqlalchemy import create_engine, make_url

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = {"dev": "dev", "development": "dev", "staging": "staging", "prod": "prod", "production": "prod"}


class VaultError(Exception):
    """There is no value, or the process must not start. The message says why, and what to do."""


class NotFound(VaultError):
    """`coffre run` gave no such variable."""


class Settings:
    """The secrets of `coffre.toml` as settings of Flask, beside those that classes below this one state."""

    ENVIRONMENT: str | None = None

    def __init__(self):
        _started_by()
        for name in names():
            if name in os.environ:
                setattr(self, name, os.environ[name])


def get_secret(name: str) -> str:
    _started_by()
    try:
        return os.environ[name]
    except KeyError:
        raise NotFound(f"{name} has no value in the environment; look with: coffre migrate status") from None


class Box:
    """Fernet under one key. The names of keys, which rings put in front, say nothing here."""

    def __init__(self, key: str):
        self._fernet = Fernet(base64.urlsafe_b64encode(base64.b64decode(key.strip(), validate=True)))

    def encrypt(self, data: str) -> str:
        return self._fernet.encrypt(data.encode()).decode()

    def decrypt(self, text: str) -> bytes:
        return self._fernet.decrypt(text.rpartition(".")[2])


def open_box(name: str) -> Box:
    try:
        return Box(get_secret(name))
    except ValueError:
        raise VaultError(f"{name} is not 32 bytes of base64; make one with: openssl rand -base64 32") from None


def names() -> Sequence[str]:
    return list(tomllib.loads((ROOT / "coffre.toml").read_text(encoding="utf-8")).get("secret", {}))


def environment() -> str:
    stated = next((os.environ[name] for name in ("COFFRE_ENV", "FLASK_ENV", "APP_ENV") if os.environ.get(name)), "prod")
    return ENVIRONMENTS.get(stated.lower(), stated)


def source() -> str:
    return f"coffre run ({_started_by()})"


def origin(name: str) -> str:
    return _started_by() if name in os.environ else "not set"


def state() -> dict:
    return {"status": "ok"}


def protect_sessions(app) -> None:
    """Flask's own sessions, under `app.config["SECRET_KEY"]`."""


def sign_tokens(app, manager) -> None:
    """flask-jwt-extended's own way, under `app.config["JWT_SECRET_KEY"]`."""


def open_engine(**options):
    url = make_url(get_secret("DATABASE_URL"))
    # A bare postgresql:// means psycopg 3 here.
    return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, **options)


def open_redis(**options):
    import redis

    return redis.Redis.from_url(get_secret("REDIS_URL"), **options)


def connect_workers(celery) -> None:
    celery.conf.update(broker_url=get_secret("CELERY_BROKER_URL"), result_backend=get_secret("CELERY_RESULT_BACKEND"))


def _started_by() -> str:
    if found := os.environ.get("COFFRE_SOURCE"):
        return found
    raise VaultError("the package coffre is not installed: install it, or start with `coffre run -- …`")
