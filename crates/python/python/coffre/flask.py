"""Flask: configuration, session keys and JWT keys that follow the vault without a restart, and a health page.

    app = Flask(__name__)
    app.config.from_object("coffre.flask.ProductionConfig")
    coffre.flask.init_app(app)
    coffre.flask.init_jwt(app, JWTManager(app))         # with flask-jwt-extended

Where secrets come from (``VAULT_ADDR``, ``USE_VAULT``, ``.env`` in development) is decided once, by the library itself;
this module only asks it.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple, Type

from flask import Blueprint, Flask, Response, jsonify
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from coffre._errors import NotFound, SourceError
from coffre._masked import Masked
from coffre._process import SecretsLike, document_reader, process_secrets
from coffre.keyring import Keyring, KeyringSource

if TYPE_CHECKING:
    from coffre._flask_jwt import JWTKeyRing

__all__ = [
    "Config",
    "DevelopmentConfig",
    "OneKeyExtension",
    "ProductionConfig",
    "SessionInterface",
    "StagingConfig",
    "config_class",
    "health_blueprint",
    "init_app",
    "init_jwt",
    "one_key_extensions",
]

log = logging.getLogger("coffre.flask")


class _FromSecrets(type):
    """Classes whose upper-case names include the manifest's variables, read when `from_object` asks for them."""

    def __dir__(cls) -> List[str]:
        return sorted({*super().__dir__(), *_available(cls)})

    def __getattr__(cls, name: str) -> Masked:
        return _variable(cls, name)


class Config(metaclass=_FromSecrets):
    """Every variable of the manifest as a setting, whatever the environment. `from_object` copies the values that hold at
    start; what must follow a rotation is read live: session and JWT keys by this module, anything else by
    `coffre.get_secret`."""

    #: The environment in which this class may be used; None means any.
    ENVIRONMENT: Optional[str] = None
    SESSION_COOKIE_HTTPONLY = True
    SESSION_COOKIE_SAMESITE = "Lax"
    SESSION_COOKIE_SECURE = True

    def __dir__(self) -> List[str]:
        return dir(type(self))

    def __getattr__(self, name: str) -> Masked:
        return _variable(type(self), name)


class DevelopmentConfig(Config):
    """A developer's machine: ``COFFRE_ENV=dev``. Cookies also without TLS."""

    ENVIRONMENT = "dev"
    SESSION_COOKIE_SECURE = False


class StagingConfig(Config):
    """As production, with the secrets of staging."""

    ENVIRONMENT = "staging"


class ProductionConfig(Config):
    """Production, which is also what an unstated environment means."""

    ENVIRONMENT = "prod"


def config_class(secrets: Optional[SecretsLike] = None) -> Type[Config]:
    """The class of the environment in which the process runs."""
    environment = process_secrets(secrets).health()["environment"]
    classes: Tuple[Type[Config], ...] = (DevelopmentConfig, StagingConfig, ProductionConfig)
    return next((each for each in classes if each.ENVIRONMENT == environment), Config)


def init_app(
    app: Flask,
    secrets: Optional[SecretsLike] = None,
    *,
    secret_key: Optional[str] = "SECRET_KEY",
    health_url: Optional[str] = None,
    accept_extensions: Iterable[str] = (),
) -> None:
    """Session cookies are signed with the present key of the ring at ``secret_key`` (a variable or a path; None leaves
    sessions alone) and accepted under each of its accepted keys; ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` of
    ``app.config`` follow. ``health_url`` adds the health page there. Extensions that know one key only are named in a
    warning, unless ``accept_extensions`` has them: what they signed is refused after a rotation."""
    found = process_secrets(secrets)
    if secret_key is not None:
        source = KeyringSource(document_reader(found, secret_key), secret_key)
        _put_session_interface(app, SessionInterface(source))
    if health_url is not None:
        app.register_blueprint(health_blueprint(found), url_prefix=health_url)
    app.extensions["coffre"] = found
    _warn_of_extensions(app, frozenset(accept_extensions))
    log.info("secrets come from: %s", found.source())


def init_jwt(
    app: Flask, manager: Any, secrets: Optional[SecretsLike] = None, *, name: str = "JWT_SECRET_KEY"
) -> JWTKeyRing:
    """Tokens of flask-jwt-extended are signed with, and verified under, the ring of ``name`` (a variable or a path)."""
    from coffre._flask_jwt import JWTKeyRing

    found = process_secrets(secrets)
    ring = JWTKeyRing.of(name, found)
    ring.init_app(app, manager)
    return ring


def health_blueprint(secrets: Optional[SecretsLike] = None, name: str = "coffre") -> Blueprint:
    """``GET /``: source and state of each secret as JSON, without values; 503 when something cannot be read.
    ``GET /metrics``: Prometheus' text format. Names of paths are shown: keep it inside."""
    found = process_secrets(secrets)
    blueprint = Blueprint(name, __name__)

    @blueprint.get("/")
    @blueprint.get("")
    def state() -> Tuple[Response, int]:
        health = found.health()
        return jsonify(health), 503 if health.get("status") == "failed" else 200

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(found.metrics(), mimetype="text/plain")

    return blueprint


class SessionInterface(SecureCookieSessionInterface):
    """Flask's signed cookies with the keys of a ring, looked up for each request. Derive from it instead of Flask's class
    where an application has a session interface of its own."""

    def __init__(self, ring: Callable[[], Keyring]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._configured: Optional[Keyring] = None
        # Flask makes a serializer for each request; one for each ring does. Replaced as a whole.
        self._made: Optional[Tuple[Tuple[object, ...], URLSafeTimedSerializer]] = None

    def get_signing_serializer(self, app: Flask) -> Optional[URLSafeTimedSerializer]:
        """Signs with the active key, accepts all; never None, so that no request is without a session."""
        ring = self._ring()
        if ring is not self._configured:
            self.configure(app, ring)
        parts = (ring, self.salt, self.serializer, self.key_derivation, self.digest_method)
        made = self._made
        if made is not None and made[0] == parts:
            return made[1]
        options = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
        keys: Any = ring.as_itsdangerous()
        serializer = URLSafeTimedSerializer(keys, salt=self.salt, serializer=self.serializer, signer_kwargs=options)
        self._made = (parts, serializer)
        return serializer

    def configure(self, app: Flask, ring: Optional[Keyring] = None) -> None:
        """Puts the keys into ``app.config`` for extensions that read them there."""
        keys = (ring or self._ring()).as_itsdangerous()
        with self._lock:
            # Fallbacks first: between the two lines the old key is known twice, never not at all.
            app.config["SECRET_KEY_FALLBACKS"] = [Masked(key) for key in keys]
            app.config["SECRET_KEY"] = Masked(keys[-1])
            app.config["SECRET_KEY_FALLBACKS"] = [Masked(key) for key in keys[:-1]]
            self._configured = ring


class OneKeyExtension(NamedTuple):
    """An extension in use that verifies with ``SECRET_KEY`` alone."""

    name: str
    effect: str


# Module, distribution, and what a rotation of SECRET_KEY does to what it signed.
_ONE_KEY = (
    ("flask_wtf", "flask-wtf", "forms that are open in a browser are refused once (CSRF token)"),
    ("flask_login", "flask-login", "'remember me' cookies are refused"),
    ("flask_session", "flask-session", "signed session ids (SESSION_USE_SIGNER) are refused"),
    ("flask_security", "flask-security", "links in mails and remembered logins may be refused"),
    ("flask_user", "flask-user", "links in mails are refused"),
    ("flask_praetorian", "flask-praetorian", "tokens are refused"),
)


def one_key_extensions(app: Flask) -> List[OneKeyExtension]:
    """The extensions, imported so far, for which a rotation of ``SECRET_KEY`` is not seamless. A rotation should not be
    automatic before somebody has accepted what stands here."""
    found = [OneKeyExtension(name, effect) for module, name, effect in _ONE_KEY if module in sys.modules]
    if "flask-jwt-extended" in app.extensions and "coffre-jwt" not in app.extensions:
        if not app.config.get("JWT_SECRET_KEY"):
            found.append(OneKeyExtension("flask-jwt-extended", "tokens are refused; call coffre.flask.init_jwt"))
    return found


def _warn_of_extensions(app: Flask, accepted: FrozenSet[str]) -> None:
    told = set(accepted)

    def warn() -> None:
        for extension in one_key_extensions(app):
            if extension.name not in told:
                told.add(extension.name)
                log.warning("%s knows one SECRET_KEY only: after a rotation %s", extension.name, extension.effect)

    warn()

    # Extensions are often set up after us: once more when the application is complete, which is at its first request.
    def first_request() -> None:
        app.before_request_funcs[None].remove(first_request)
        warn()

    app.before_request(first_request)


def _put_session_interface(app: Flask, interface: SessionInterface) -> None:
    present = type(app.session_interface)
    if isinstance(app.session_interface, SessionInterface):
        app.session_interface._ring = interface._ring
        interface = app.session_interface
    elif present is SecureCookieSessionInterface:
        app.session_interface = interface
    elif issubclass(present, SecureCookieSessionInterface):
        raise TypeError(
            f"{present.__name__} signs cookies with SECRET_KEY alone: derive it from coffre.flask.SessionInterface, "
            "or pass secret_key=None to leave sessions to it"
        )
    else:
        log.info("sessions are left to %s; SECRET_KEY follows the ring only where it is read here", present.__name__)
    interface.configure(app)


def _available(cls: type) -> Dict[str, None]:
    secrets = _checked(cls)
    names: Dict[str, None] = {}
    for name in secrets.names():
        try:
            secrets.get_secret(name)
        except NotFound:
            # The server must have all of them. In a `.env` something may be missing, as it always could.
            if secrets.source() == "vault":
                raise
            continue
        names[name] = None
    return names


def _variable(cls: type, name: str) -> Masked:
    if not name.isupper() or name.startswith("_"):
        raise AttributeError(name)
    secrets = _checked(cls)
    if name not in secrets.names():
        raise AttributeError(f"{name} is no variable of the manifest")
    return Masked(secrets.get_secret(name))


def _checked(cls: type) -> SecretsLike:
    secrets = process_secrets()
    wanted = getattr(cls, "ENVIRONMENT", None)
    stated = secrets.health()["environment"]
    if wanted is not None and wanted != stated:
        raise SourceError(
            f"{cls.__name__} is for the environment {wanted}, and this process runs in {stated}: "
            f"set COFFRE_ENV={wanted}, or let coffre.flask.config_class() choose"
        )
    return secrets
