"""Reads what the application needs of ``coffre.toml``: which variable lives where. It holds no values."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

# {NAME}, {NAME|pct}, {{ and }}
HOLE = re.compile(r"\{\{|\}\}|\{(\w+)(\|pct)?\}")


@dataclass(frozen=True)
class Manifest:
    """`paths`: secrets that are stored, below ``<app>/<environment>/``. `templates`: secrets made of other variables.
    `local`: secrets which may stay in ``.env`` in development. `config`: variables that are not secret."""

    app: str
    paths: dict[str, str]
    templates: dict[str, str]
    local: frozenset[str]
    config: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        secrets = document.get("secret", {})
        return cls(
            app=document["app"],
            paths={name: entry["path"] for name, entry in secrets.items() if "path" in entry},
            templates={name: entry["template"] for name, entry in secrets.items() if "path" not in entry},
            local=frozenset(name for name, entry in secrets.items() if entry.get("local") == "env"),
            config=tuple(document.get("config", {}).get("names", ())),
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret variable, stored or composed."""
        return (*self.paths, *self.templates)


def render(template: str, values: Mapping[str, str]) -> str:
    """Fills a template in. KeyError names a variable without a value."""

    def piece(match: re.Match) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        value = values[match[1]]
        return quote(value, safe="") if match[2] else value

    return HOLE.sub(piece, template)
