"""The configuration classes, and what stops a start. Where secrets come from is the business of the package and its tests."""

import base64
import json

import pytest
from cryptography.fernet import Fernet, MultiFernet
from dotenv import dotenv_values
from dotenv.parser import parse_stream

from backend.app import build_app, create_app
from backend.config import ConfigError, DevelopmentConfig, ProductionConfig, StagingConfig, load_config
from backend.shared import injected
from backend.shared import secret_source as secrets
from backend.shared.crypto import ColumnCipher, CryptoError

from .conftest import ROOT


@pytest.mark.parametrize(
    ("stated", "cls"),
    [
        ({"COFFRE_ENV": "dev"}, DevelopmentConfig),
        ({"COFFRE_ENV": "staging"}, StagingConfig),
        ({"COFFRE_ENV": "production"}, ProductionConfig),
        ({"COFFRE_ENV": "", "APP_ENV": "staging"}, StagingConfig),
        ({"COFFRE_ENV": ""}, ProductionConfig),
        ({"COFFRE_ENV": "prod", "FLASK_ENV": "development"}, ProductionConfig),
    ],
)
def test_each_environment_has_its_class(environ, stated, cls):
    for name, value in stated.items():
        environ.setenv(name, value)
    assert type(load_config()) is cls


def test_an_unknown_environment_is_refused(environ):
    environ.setenv("COFFRE_ENV", "devv")
    with pytest.raises((ConfigError, secrets.VaultError), match="COFFRE_ENV"):
        load_config()


def test_cookies_need_tls_outside_development(environ):
    assert build_app(load_config()).config["SESSION_COOKIE_SECURE"] is False
    assert StagingConfig.SESSION_COOKIE_SECURE and ProductionConfig.SESSION_COOKIE_SECURE


def test_every_secret_is_a_setting(app, values):
    for name in secrets.names():
        assert app.config[name] == ("" if name == "REDIS_URL" else values[name])


def test_a_missing_required_secret_stops_the_start(environ, capsys):
    environ.setenv("JWT_SECRET_KEY", "")
    with pytest.raises(ConfigError, match="no value for JWT_SECRET_KEY"):
        load_config()
    with pytest.raises(SystemExit) as stop:
        create_app()
    assert stop.value.code == 78
    assert capsys.readouterr().err.startswith("atmr: no value for JWT_SECRET_KEY")


def test_outside_development_sqlite_must_be_asked_for(environ):
    pytest.importorskip("psycopg")
    environ.setenv("COFFRE_ENV", "prod")
    environ.delenv("ATMR_DATABASE")
    environ.setenv("DATABASE_URL", "postgresql://u:not-to-be-shown@127.0.0.1:1/x")
    with pytest.raises(ConfigError, match="ATMR_DATABASE=sqlite") as stop:
        build_app(load_config())
    assert "not-to-be-shown" not in str(stop.value)


def test_the_sample_is_readable_and_fully_described(environ):
    labels = json.loads((ROOT / ".env.labels.json").read_text())["labels"]
    with open(ROOT / ".env", encoding="utf-8") as stream:
        assert [b.original.string for b in parse_stream(stream) if b.error] == []
    assert set(dotenv_values(ROOT / ".env")) == set(labels)
    assert set(secrets.names()) == {name for name, label in labels.items() if label != "config"}


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_a_bad_column_key_is_refused_without_showing_it(environ, text):
    environ.setenv("APP_ENCRYPTION_KEY_B64", text)
    with pytest.raises(injected.VaultError) as stop:
        injected.open_box("APP_ENCRYPTION_KEY_B64")
    assert not text or text not in str(stop.value)


def test_a_replaced_column_key_still_opens_what_it_sealed():
    old, new = (Fernet(base64.urlsafe_b64encode(bytes([number]) * 32)) for number in (1, 2))
    keys = [old]

    class Ring:
        def encrypt(self, data):
            return MultiFernet(keys).encrypt(data.encode()).decode()

        def decrypt(self, text):
            return MultiFernet(keys).decrypt(text)

    cipher = ColumnCipher(Ring())
    before = cipher.seal("text", "here")
    keys[:] = [new, old]
    after = cipher.seal("text", "here")
    assert cipher.open(before, "here") == cipher.open(after, "here") == "text"
    keys[:] = [new]
    assert cipher.open(after, "here") == "text"
    for cell, place in ((before, "here"), (after, "there")):
        with pytest.raises(CryptoError):
            cipher.open(cell, place)
