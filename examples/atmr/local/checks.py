"""What must work, asked from outside: the same questions before and after a migration.

A memory is kept between runs: the token, the cookie and the notes which one run got must still be good in the next, which
they are only if JWT_SECRET_KEY, SECRET_KEY and APP_ENCRYPTION_KEY_B64 are the same.
"""

import json
import secrets
from pathlib import Path

from .process import until
from .web import Answer, call

SECONDS = 30


class Checks:
    """`run` gives a line of evidence for each check; AssertionError says which one failed."""

    def __init__(self, base: str, memory: Path):
        self.base, self.memory = base, memory
        self.known = json.loads(memory.read_text()) if memory.exists() else {}
        self.headers: dict[str, str] = {}

    def run(self) -> list[tuple[str, str]]:
        done = []
        for check in (self.health, self.earlier, self.login, self.notes, self.session, self.cache, self.task, self.beat):
            evidence = check()
            if evidence:
                done.append((check.__name__, evidence))
        self.memory.touch(0o600)
        self.memory.write_text(json.dumps(self.known))
        return done

    def health(self) -> str:
        body = self.get("/health")
        assert body["status"] == "ok", body
        assert body["database"]["in_use"] == "postgresql" and body["redis"]["in_use"], body
        return f"secrets from {body['source']}; PostgreSQL and Redis in use"

    def earlier(self) -> str:
        """Nothing to say in the first run."""
        if not self.known:
            return ""
        self.headers = {"Authorization": f"Bearer {self.known['token']}"}
        assert self.get("/me") == {"username": "demo"}, "the token of an earlier run"
        assert self.get("/preferences", {"Cookie": self.known["cookie"]}) == {"theme": "dark"}, "the cookie of an earlier run"
        assert set(self.known["notes"]) <= set(self.bodies()), "the notes of an earlier run"
        return f"token, session and {len(self.known['notes'])} notes of an earlier run are good"

    def login(self) -> str:
        wrong = self.call("POST", "/auth/login", {"username": "demo", "password": "wrong"})
        assert wrong.status == 401, wrong
        body = self.call("POST", "/auth/login", {"username": "demo", "password": "demo"}).body
        self.headers = {"Authorization": f"Bearer {body['access_token']}"}
        assert self.get("/me") == {"username": "demo"}
        assert self.call("GET", "/me", headers={"Authorization": f"Bearer {body['access_token'][:-2]}"}).status == 401
        self.known["token"] = body["access_token"]
        return "a token for the right password only, and only as it was issued"

    def notes(self) -> str:
        text = f"note {secrets.token_hex(8)} with é and 漢"
        assert self.call("POST", "/notes", {"body": text}).status == 201
        assert text in self.bodies()
        self.known.setdefault("notes", []).append(text)
        return f"{len(self.bodies())} notes, encrypted and opened again"

    def session(self) -> str:
        answer = self.call("PUT", "/preferences", {"theme": "dark"})
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert self.get("/preferences", {"Cookie": cookie}) == {"theme": "dark"}
        name, _, content = cookie.partition("=")
        assert self.get("/preferences", {"Cookie": f"{name}=x{content}"}) == {"theme": None}, "a cookie that was changed"
        self.known["cookie"] = cookie
        return "a signed cookie, refused when changed"

    def cache(self) -> str:
        # Other requests of this run may have filled it: a new note empties it.
        self.call("POST", "/notes", {"body": "empties the cache"})
        first, second = self.get("/notes/summary"), self.get("/notes/summary")
        assert (first.pop("cached"), second.pop("cached")) == (False, True) and first == second
        return "the second answer came from Redis"

    def task(self) -> str:
        before = self.get("/statistics").get("request", {}).get("runs", 0)
        counted = self.job("/jobs/count-notes")
        after = self.get("/statistics")["request"]
        assert (after["runs"], after["notes"]) == (before + 1, counted["notes"]) and counted["notes"] >= len(self.bodies())
        return f"a worker opened {counted['notes']} notes and wrote so to PostgreSQL"

    def beat(self) -> str:
        before = self.get("/statistics").get("beat", {}).get("runs", 0)
        assert until(lambda: self.get("/statistics").get("beat", {}).get("runs", 0) > before, SECONDS), "beat sent nothing"
        return "beat sent a task, and a worker did it"

    def job(self, path: str):
        """Asks for work and waits for its result."""
        identifier = self.call("POST", path).body["id"]
        assert until(lambda: self.get(f"/jobs/{identifier}")["state"] in ("SUCCESS", "FAILURE"), SECONDS), "no worker answers"
        found = self.get(f"/jobs/{identifier}")
        assert found["state"] == "SUCCESS", found
        return found["result"]

    def bodies(self) -> list[str]:
        return [note["body"] for note in self.get("/notes")["notes"]]

    def get(self, path: str, headers=None):
        answer = self.call("GET", path, headers=headers)
        assert answer.status == 200, f"GET {path} was answered with {answer.status}: {answer.body}"
        return answer.body

    def call(self, method: str, path: str, body=None, headers=None) -> Answer:
        return call(method, f"{self.base}{path}", body, self.headers | (headers or {}))
