"""Reads what the application needs of ``coffre.toml``: which variable lives where. It holds no values."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Manifest:
    """The application's name, the path of each secret below ``<app>/<environment>/``, and what may stay in ``.env``."""

    app: str
    paths: dict[str, str]
    local: frozenset[str]
    config: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        secrets = document.get("secret", {})
        return cls(
            app=document["app"],
            paths={name: entry["path"] for name, entry in secrets.items()},
            local=frozenset(name for name, entry in secrets.items() if entry.get("local") == "env"),
            config=tuple(document.get("config", {}).get("names", ())),
        )
