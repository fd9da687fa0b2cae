"""The secrets of the application under test: the package's own, and until it has them, the same interface over hvac."""

import json
import os
import threading
import time
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import coffre


def open_secrets(environ=None):
    environ = dict(os.environ if environ is None else environ)
    if hasattr(coffre, "Secrets"):
        return coffre.Secrets(environ)
    return HvacSecrets(environ)


class Hidden(dict):
    """A document."""

    def __repr__(self):
        return "<document>"


class Credentials:
    def __init__(self, url):
        p = urlsplit(url)
        self.username, self.password, self.host, self.port = unquote(p.username), unquote(p.password), p.hostname, p.port
        self.database = p.path.lstrip("/")


class HvacSecrets:
    SOFT = 300.0

    def __init__(self, environ):
        self.env = environ["COFFRE_ENV"]
        self.SOFT = float(environ.get("COFFRE_SOFT_TTL", "300s").rstrip("s"))
        self.manifest = tomllib.loads(Path(environ["COFFRE_MANIFEST"]).read_text())["secret"]
        self._environ = environ
        self._login()
        os.register_at_fork(after_in_child=self._login)
        self._cache = {}
        self.reads = 0

    def _login(self):
        import hvac

        environ = self._environ
        self._lock = threading.RLock()
        self._client = hvac.Client(environ["VAULT_ADDR"], verify=environ.get("VAULT_CACERT", True))
        self._client.auth.approle.login(environ["VAULT_ROLE_ID"], environ["VAULT_SECRET_ID"])

    def get_document(self, path):
        now = time.monotonic()
        held = self._cache.get(path)
        if held is None or now - held[0] > self.SOFT:
            self.refresh(path)
        return self._cache[path][1]

    def refresh(self, path):
        self.reads += 1
        data = self._client.secrets.kv.v2.read_secret_version(f"{self.env}/{path}", mount_point="shop", raise_on_deleted_version=True)
        self._cache[path] = (time.monotonic(), Hidden(data["data"]["data"]))

    def path_of(self, name):
        return self.manifest[name].get("path")

    def documents_of(self, name):
        return [self.path_of(name) or self.path_of("REDIS_URL")]

    def get_secret(self, name, field=None):
        if "/" in name:
            return self.get_document(name)[field or "value"]
        if name not in self.manifest:
            raise coffre.NotFound(name)
        entry = self.manifest[name]
        if "path" in entry:
            return self.get_document(entry["path"])["value"]
        return entry["template"].replace("{REDIS_URL}", self.get_secret("REDIS_URL"))

    def get_database_credentials(self):
        return Credentials(self.get_secret("DATABASE_URL"))

    def names(self):
        return list(self.manifest)

    def environment(self):
        return self.env

    def source(self):
        return "vault"

    def health(self):
        return {"source": "vault", "status": "ok", "environment": self.env}

    def metrics(self):
        return "coffre_secrets_fallback_active 0\n"

    def on_change(self, callback):
        def poll():
            before = None
            while True:
                time.sleep(0.3)
                for entry in self.manifest.values():
                    if "path" in entry:
                        try: self.refresh(entry["path"])
                        except Exception: pass
                now = json.dumps({p: d for p, (_, d) in self._cache.items()}, sort_keys=True)
                if before not in (None, now):
                    callback(None)
                before = now
        threading.Thread(target=poll, daemon=True).start()
        return lambda: None
