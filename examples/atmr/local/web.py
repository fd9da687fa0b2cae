"""Small HTTP calls that need no package."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


def call(method: str, url: str, body=None, headers: Mapping[str, str] | None = None, ca: str | None = None) -> Answer:
    """One request with a JSON body; `body` of the answer is parsed, None if it is no JSON. OSError if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    headers = dict(headers or {}) | ({"Content-Type": "application/json"} if data else {})
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    context = ssl.create_default_context(cafile=ca) if ca else None
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:
            return Answer(answer.status, answer.headers, _parsed(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, _parsed(error.read()))


def _parsed(raw: bytes):
    try:
        return json.loads(raw)
    except ValueError:
        return None
