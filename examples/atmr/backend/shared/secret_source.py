"""Decides once, at start, where the secrets come from.

| setting                                | development                         | anywhere else                |
|----------------------------------------|-------------------------------------|------------------------------|
| `COFFRE_SOURCE` (set by `coffre run`)  | the process environment             | the same                     |
| `USE_VAULT=false`                      | `.env` and the process environment  | the same, with a warning     |
| `VAULT_ADDR` not set                   | `.env`                              | refuse to start              |
| server answers                         | server                              | server                       |
| server unreachable or sealed           | `.env`, with a banner               | wait, then refuse            |
| server refuses, or a secret is missing | error (missing may stay local)      | error                        |

There is no way from a failing server to `.env` outside development.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from .manifest import Manifest, render
from .vault_client import SecretMissing, VaultClient, VaultUnavailable

log = logging.getLogger("atmr.secrets")

ENVIRONMENTS = {
    "dev": "dev",
    "development": "dev",
    "staging": "staging",
    "prod": "prod",
    "production": "prod",
}
WAIT_SECONDS = 30.0
FALSE_WORDS = ("false", "0", "no", "off")


class SourceError(Exception):
    """The application must not start. The message says why and what to do."""


@dataclass(frozen=True)
class Loaded:
    """All values, and for each name where it came from: `vault`, `dotenv` or `environment`."""

    source: str
    values: dict[str, str] = field(repr=False)
    origin: dict[str, str]


def environment_name(environ: Mapping[str, str]) -> str:
    """`dev`, `staging` or `prod`, from the process environment only; unstated means `prod`."""
    stated = [environ[name] for name in ("COFFRE_ENV", "FLASK_ENV", "APP_ENV") if environ.get(name)]
    if not stated:
        return "prod"
    if stated[0].lower() not in ENVIRONMENTS:
        raise SourceError(f"unknown environment {stated[0]!r}; use one of {', '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[stated[0].lower()]


def load(
    environ: Mapping[str, str],
    manifest: Manifest,
    dotenv_path: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> Loaded:
    """Applies the table above. Nothing is written to the process environment."""
    environment = environment_name(environ)
    if injected := environ.get("COFFRE_SOURCE"):
        return _from_environment(environ, manifest, dotenv_path if environment == "dev" else None, injected)
    if environ.get("USE_VAULT", "").lower() in FALSE_WORDS:
        log.warning("USE_VAULT=false: secrets come from .env and the process environment, not from the vault")
        return _from_dotenv(environ, manifest, dotenv_path, "dotenv (USE_VAULT=false)")
    if not environ.get("VAULT_ADDR"):
        if environment == "dev":
            return _from_dotenv(environ, manifest, dotenv_path, "dotenv")
        raise SourceError(
            "VAULT_ADDR is not set and this is not development: start with `coffre run -- …`, "
            "or set VAULT_ADDR, VAULT_ROLE_ID and VAULT_SECRET_ID, or roll back with USE_VAULT=false"
        )
    client = VaultClient(environ, manifest.app)
    try:
        _await_server(client, environment, environ, sleep)
    except VaultUnavailable as error:
        if environment != "dev":
            raise SourceError(f"{error}; not falling back to .env outside development") from None
        log.warning("=" * 78)
        log.warning("VAULT UNAVAILABLE, development only: secrets come from .env (%s)", error)
        log.warning("=" * 78)
        return _from_dotenv(environ, manifest, dotenv_path, "dotenv (vault unavailable)")
    return _from_vault(client, environment, environ, manifest, dotenv_path)


def _await_server(client: VaultClient, environment: str, environ: Mapping[str, str], sleep: Callable[[float], None]) -> None:
    left = 0.0 if environment == "dev" else float(environ.get("ATMR_VAULT_WAIT", WAIT_SECONDS))
    pause = 0.25
    while True:
        try:
            return client.check()
        except VaultUnavailable:
            if left <= 0:
                raise
            sleep(min(pause, left))
            left -= pause
            pause = min(pause * 2, 5.0)


def _from_vault(
    client: VaultClient, environment: str, environ: Mapping[str, str], manifest: Manifest, dotenv_path: Path
) -> Loaded:
    values, origin = _configuration(environ, manifest, dotenv_path if environment == "dev" else None)
    local = dotenv_values(dotenv_path) if environment == "dev" else {}
    for name, path in manifest.paths.items():
        try:
            values[name] = client.get(f"{environment}/{path}")
            origin[name] = "vault"
        except SecretMissing:
            if name in manifest.local and local.get(name) is not None:
                values[name], origin[name] = local[name], "dotenv"
            else:
                raise
    for name, template in manifest.templates.items():
        try:
            values[name], origin[name] = render(template, values), "composed"
        except KeyError as missing:
            raise SourceError(f"{name} is composed of {missing}, which has no value; set it or change coffre.toml") from None
    return Loaded("vault", values, origin)


def _from_dotenv(environ: Mapping[str, str], manifest: Manifest, dotenv_path: Path, source: str) -> Loaded:
    values, origin = _configuration(environ, manifest, dotenv_path)
    in_file = dotenv_values(dotenv_path)
    for name in manifest.secrets:
        # The process environment wins, as with load_dotenv().
        if name in environ:
            values[name], origin[name] = environ[name], "environment"
        elif in_file.get(name) is not None:
            values[name], origin[name] = in_file[name], "dotenv"
    return Loaded(source, values, origin)


def _from_environment(
    environ: Mapping[str, str], manifest: Manifest, dotenv_path: Path | None, injected: str
) -> Loaded:
    values, origin = _configuration(environ, manifest, dotenv_path)
    for name in manifest.secrets:
        if name in environ:
            values[name], origin[name] = environ[name], injected
    return Loaded(f"coffre run ({injected})", values, origin)


def _configuration(environ: Mapping[str, str], manifest: Manifest, dotenv_path: Path | None) -> tuple[dict, dict]:
    """Settings which are no secrets: the process environment, then `.env` where it may be read."""
    in_file = dotenv_values(dotenv_path) if dotenv_path else {}
    values, origin = {}, {}
    for name in manifest.config:
        if name in environ:
            values[name], origin[name] = environ[name], "environment"
        elif in_file.get(name) is not None:
            values[name], origin[name] = in_file[name], "dotenv"
    return values, origin
