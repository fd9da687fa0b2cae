"""Fixtures: a copy of the sample project, and an application on SQLite."""

import shutil
from pathlib import Path

import pytest

from backend.app import build_app
from backend.config import load_config
from backend.shared.manifest import Manifest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def manifest():
    return Manifest.load(ROOT / "coffre.toml")


@pytest.fixture
def dotenv(tmp_path):
    return Path(shutil.copy(ROOT / ".env", tmp_path / ".env"))


@pytest.fixture
def environ(tmp_path):
    return {"COFFRE_ENV": "dev", "ATMR_DATABASE": "sqlite", "ATMR_SQLITE_PATH": str(tmp_path / "atmr.sqlite3")}


@pytest.fixture
def app(environ, dotenv):
    return build_app(load_config(environ, dotenv))


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def token(client):
    answer = client.post("/auth/login", json={"username": "demo", "password": "demo"})
    return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
