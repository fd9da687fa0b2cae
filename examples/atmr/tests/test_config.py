"""Where secrets come from: every row of the table, without a vault in the way (its rows are in test_vault_client)."""

import json
import logging

import pytest
from dotenv import dotenv_values
from dotenv.parser import parse_stream

from backend.app import create_app
from backend.config import DevelopmentConfig, ProductionConfig, StagingConfig, load_config
from backend.shared.crypto import ColumnCipher, CryptoError
from backend.shared.secret_source import SourceError, environment_name
from backend.stores import open_database

from .conftest import ROOT

KEY = "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlLi4="


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "prod"),
        ({"COFFRE_ENV": "dev"}, "dev"),
        ({"FLASK_ENV": "development"}, "dev"),
        ({"APP_ENV": "Staging"}, "staging"),
        ({"COFFRE_ENV": "prod", "FLASK_ENV": "development"}, "prod"),
        ({"COFFRE_ENV": "", "FLASK_ENV": "production"}, "prod"),
    ],
)
def test_the_environment_is_stated_or_production(environ, name):
    assert environment_name(environ) == name


def test_an_unknown_environment_is_refused():
    with pytest.raises(SourceError, match="unknown environment 'devv'"):
        environment_name({"COFFRE_ENV": "devv"})


def test_each_environment_has_its_class(dotenv):
    for name, cls in (("dev", DevelopmentConfig), ("staging", StagingConfig), ("prod", ProductionConfig)):
        assert type(load_config({"COFFRE_ENV": name, "USE_VAULT": "false"}, dotenv)) is cls


def test_development_without_a_vault_reads_dotenv_and_the_environment_wins(dotenv):
    config = load_config({"COFFRE_ENV": "dev", "MAIL_PASSWORD": "from the environment"}, dotenv)
    assert config.SOURCE == "dotenv"
    assert config.SECRET_KEY == dotenv_values(dotenv)["SECRET_KEY"]
    assert config.SECRETS["MAIL_PASSWORD"] == "from the environment"
    assert (config.ORIGIN["MAIL_PASSWORD"], config.ORIGIN["SECRET_KEY"]) == ("environment", "dotenv")


@pytest.mark.parametrize("environ", [{}, {"COFFRE_ENV": "prod"}, {"COFFRE_ENV": "staging"}])
def test_outside_development_a_missing_vault_address_stops_the_start(environ, dotenv):
    with pytest.raises(SourceError, match="VAULT_ADDR is not set"):
        load_config(environ, dotenv)


@pytest.mark.parametrize("flag", ["false", "False", "0", "no", "off"])
def test_use_vault_false_is_the_loud_way_back(flag, dotenv, caplog):
    with caplog.at_level(logging.WARNING):
        config = load_config({"COFFRE_ENV": "prod", "USE_VAULT": flag, "VAULT_ADDR": "http://127.0.0.1:1"}, dotenv)
    assert config.SOURCE == "dotenv (USE_VAULT=false)"
    assert config.SECRET_KEY == dotenv_values(dotenv)["SECRET_KEY"]
    assert "USE_VAULT=false" in caplog.text


def test_injected_secrets_come_from_the_process_environment_only(dotenv):
    injected = {"SECRET_KEY": "a", "JWT_SECRET_KEY": "b", "APP_ENCRYPTION_KEY_B64": KEY}
    config = load_config({"COFFRE_SOURCE": "vault", **injected}, dotenv)
    assert config.SOURCE == "coffre run (vault)"
    assert config.SECRETS == injected
    assert config.SETTINGS == {}


def test_a_missing_required_secret_stops_the_start(dotenv):
    with pytest.raises(SourceError, match="no value for JWT_SECRET_KEY, APP_ENCRYPTION_KEY_B64"):
        load_config({"COFFRE_SOURCE": "vault", "SECRET_KEY": "a"}, dotenv)


def test_the_factory_ends_with_one_sentence(monkeypatch, capsys):
    for name in ("COFFRE_ENV", "FLASK_ENV", "APP_ENV", "VAULT_ADDR", "USE_VAULT", "COFFRE_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as stop:
        create_app()
    assert stop.value.code == 78
    assert capsys.readouterr().err.startswith("atmr: VAULT_ADDR is not set")


def test_outside_development_sqlite_must_be_asked_for(dotenv, tmp_path):
    environ = {"COFFRE_ENV": "prod", "USE_VAULT": "false", "ATMR_SQLITE_PATH": str(tmp_path / "db"),
               "DATABASE_URL": "postgresql://u:not-to-be-shown@127.0.0.1:1/x"}
    with pytest.raises(SourceError, match="ATMR_DATABASE=sqlite") as stop:
        open_database(load_config(environ, dotenv))
    assert "not-to-be-shown" not in str(stop.value)
    assert open_database(load_config(environ | {"ATMR_DATABASE": "sqlite"}, dotenv)).kind == "sqlite"


def test_loaded_values_are_not_in_the_representation(dotenv, manifest):
    from backend.shared.secret_source import load

    loaded = load({"COFFRE_ENV": "dev"}, manifest, dotenv)
    assert loaded.values["SECRET_KEY"] not in repr(loaded)


def test_the_sample_is_readable_and_fully_described(manifest):
    labels = json.loads((ROOT / ".env.labels.json").read_text())["labels"]
    with open(ROOT / ".env", encoding="utf-8") as stream:
        assert [b.original.string for b in parse_stream(stream) if b.error] == []
    assert set(dotenv_values(ROOT / ".env")) == set(labels)
    assert set(manifest.secrets) == {name for name, label in labels.items() if label != "config"}
    assert set(manifest.config) == {name for name, label in labels.items() if label == "config"}
    assert len(set(manifest.paths.values())) == len(manifest.paths)


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_a_bad_column_key_is_refused_without_showing_it(text):
    with pytest.raises(CryptoError) as stop:
        ColumnCipher.from_base64(text)
    assert not text or text not in str(stop.value)
