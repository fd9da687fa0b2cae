"""Fixtures: the process environment as `coffre run` makes it, and an application on SQLite."""

import importlib.util
from pathlib import Path

import pytest
from dotenv import dotenv_values

from backend.app import build_app
from backend.config import load_config

ROOT = Path(__file__).resolve().parent.parent
STEERING = ("VAULT_ADDR", "USE_VAULT", "FLASK_ENV", "APP_ENV", "COFFRE_SOURCE")


@pytest.fixture
def values():
    """What the sample's `.env` holds, as python-dotenv reads it."""
    return {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}


@pytest.fixture
def environ(values, monkeypatch, tmp_path):
    """A development environment with every value in it; change it with `monkeypatch` before the application is made."""
    for name in STEERING:
        monkeypatch.delenv(name, raising=False)
    stated = {"COFFRE_SOURCE": "a test", "COFFRE_ENV": "dev", "ATMR_DATABASE": "sqlite", "ATMR_SQLITE_PATH": str(tmp_path / "atmr.sqlite3")}
    # No Redis by accident, and no broker.
    for name, value in (values | {"REDIS_URL": ""} | stated).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FLASK_ENV")
    monkeypatch.chdir(ROOT)
    yield monkeypatch
    if importlib.util.find_spec("coffre") is not None:
        import coffre

        # The next test decides anew.
        coffre.close()


@pytest.fixture
def app(environ):
    return build_app(load_config())


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def token(client):
    answer = client.post("/auth/login", json={"username": "demo", "password": "demo"})
    return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
