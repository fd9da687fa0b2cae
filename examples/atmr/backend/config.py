"""Configuration classes. Each reads the process environment, and says where its secrets came from."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from .shared.manifest import Manifest
from .shared.secret_source import Loaded, SourceError, environment_name, load

log = logging.getLogger("atmr.config")

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = ("SECRET_KEY", "JWT_SECRET_KEY", "APP_ENCRYPTION_KEY_B64")


class Config:
    """What every environment shares."""

    ENVIRONMENT = "prod"
    DEBUG = False
    TOKEN_SECONDS = 24 * 3600
    SESSION_COOKIE_HTTPONLY = True
    SESSION_COOKIE_SAMESITE = "Lax"
    SESSION_COOKIE_SECURE = True
    # Without PostgreSQL the application may use SQLite: always in development, elsewhere only when asked to.
    SQLITE_ALLOWED = False

    def __init__(self, environ: Mapping[str, str], loaded: Loaded, manifest: Manifest):
        missing = [name for name in REQUIRED if not loaded.values.get(name)]
        if missing:
            raise SourceError(f"no value for {', '.join(missing)} in {loaded.source}; look with: coffre migrate status")
        self.SOURCE = loaded.source
        self.ORIGIN = loaded.origin
        self.MANIFEST = manifest
        self.SECRETS = {name: loaded.values[name] for name in manifest.secrets if name in loaded.values}
        self.SECRET_KEY = loaded.values["SECRET_KEY"]
        self.DATABASE_URL = loaded.values.get("DATABASE_URL", "")
        self.REDIS_URL = loaded.values.get("REDIS_URL", "")
        self.SETTINGS = {name: loaded.values[name] for name in manifest.config if name in loaded.values}
        self.CORS_ORIGINS = [o.strip() for o in self.SETTINGS.get("SOCKETIO_CORS_ORIGINS", "").split(",") if o.strip()]
        self.SQLITE_PATH = environ.get("ATMR_SQLITE_PATH") or str(ROOT / "atmr.sqlite3")
        self.SQLITE_ALLOWED = self.SQLITE_ALLOWED or environ.get("ATMR_DATABASE") == "sqlite"
        self.SQLITE_ONLY = environ.get("ATMR_DATABASE") == "sqlite"
        self.FINGERPRINTS = self.ENVIRONMENT == "dev" or environ.get("ATMR_FINGERPRINTS") == "1"


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


CLASSES = {cls.ENVIRONMENT: cls for cls in (DevelopmentConfig, StagingConfig, ProductionConfig)}


def load_config(
    environ: Mapping[str, str] | None = None, dotenv_path: Path | None = None, manifest_path: Path | None = None
) -> Config:
    """The configuration for the stated environment. Raises `SourceError` or `VaultError` when the program must not start."""
    environ = os.environ if environ is None else environ
    manifest = Manifest.load(manifest_path or ROOT / "coffre.toml")
    loaded = load(environ, manifest, dotenv_path or ROOT / ".env")
    config = CLASSES[environment_name(environ)](environ, loaded, manifest)
    log.warning("environment %s, secrets from %s", config.ENVIRONMENT, config.SOURCE)
    return config
