"""Configuration classes: every secret of `coffre.toml` as a setting of Flask, and what differs between environments."""

import importlib.util
import logging
import os
from pathlib import Path

from .shared import secret_source as secrets

log = logging.getLogger("atmr.config")

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = ("SECRET_KEY", "JWT_SECRET_KEY", "APP_ENCRYPTION_KEY_B64")


class ConfigError(Exception):
    """The process must not start. The message says why, and what to do."""


class Config(secrets.Settings):
    """What every environment shares. Where secrets come from is decided by VAULT_ADDR and USE_VAULT, not here."""

    DEBUG = False
    # As long as token_lifetime in coffre.toml says: so long an old key is still accepted.
    TOKEN_SECONDS = int(os.environ.get("ATMR_TOKEN_SECONDS", 24 * 3600))
    SESSION_COOKIE_HTTPONLY = True
    SESSION_COOKIE_SAMESITE = "Lax"
    SESSION_COOKIE_SECURE = True
    # Without PostgreSQL the application may use SQLite: always in development, elsewhere only when asked to.
    SQLITE_ALLOWED = False


class DevelopmentConfig(Config):
    """A developer's machine: `.env` may serve when there is no vault."""

    ENVIRONMENT = "dev"
    SESSION_COOKIE_SECURE = False
    SQLITE_ALLOWED = True


class StagingConfig(Config):
    """As production, under its own paths."""

    ENVIRONMENT = "staging"


class ProductionConfig(Config):
    """The default when nothing is stated."""

    ENVIRONMENT = "prod"


CLASSES = {cls.ENVIRONMENT: cls for cls in (DevelopmentConfig, StagingConfig, ProductionConfig)}


def load_config() -> Config:
    """The configuration of the environment. `ConfigError` or `VaultError` when the program must not start."""
    environment = secrets.environment()
    if environment not in CLASSES:
        raise ConfigError(f"there is no configuration for the environment {environment!r}; set COFFRE_ENV to one of {', '.join(CLASSES)}")
    config = CLASSES[environment]()
    missing = [name for name in REQUIRED if not optional(name)]
    if missing:
        raise ConfigError(f"no value for {', '.join(missing)} in {secrets.source()}; look with: coffre migrate status")
    log.warning("environment %s, secrets from %s", config.ENVIRONMENT, secrets.source())
    return config


def allowed_origins() -> list[str]:
    """Of which other sites browsers may ask."""
    return [origin.strip() for origin in os.environ.get("SOCKETIO_CORS_ORIGINS", "").split(",") if origin.strip()]


def has_workers() -> bool:
    """Whether tasks can be sent: there is a broker, and Celery is installed."""
    return bool(optional("CELERY_BROKER_URL")) and importlib.util.find_spec("celery") is not None


def sqlite_only() -> bool:
    return os.environ.get("ATMR_DATABASE") == "sqlite"


def sqlite_path() -> str:
    return os.environ.get("ATMR_SQLITE_PATH") or str(ROOT / "atmr.sqlite3")


def shows_fingerprints() -> bool:
    return secrets.environment() == "dev" or os.environ.get("ATMR_FINGERPRINTS") == "1"


def optional(name: str) -> str:
    """A secret that may be missing; then empty."""
    try:
        return secrets.get_secret(name) if name in secrets.names() else ""
    except secrets.NotFound:
        return ""
