"""Celery: broker and result store from the vault, in workers and beat.

    app = Celery("atmr")
    coffre.celery.setup(app)

With Redis each new connection logs in with what holds then: a change of user or password needs no restart, and neither
``app.conf`` nor anything printed from it holds a password. Anything else (AMQP, another host or database) is read by Celery
once, at its start: then the worker, or beat, ends its present tasks and starts anew, see ``restart``.

Pools fork: a child asks for its own connection to the vault when it first needs one, and never uses its parent's.

Workers can rotate too, instead of ``coffre rotate run`` or beside it:

    tasks = coffre.celery.setup_rotation(app, queue="rotation")

registers the tasks and adds the manifest's times to beat's schedule.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional
from urllib.parse import urlsplit, urlunsplit

import celery  # type: ignore[import-untyped]
import kombu
from celery import signals

from coffre._errors import CoffreError
from coffre._masked import Masked
from coffre._process import SecretsLike, process_secrets

if TYPE_CHECKING:
    from coffre._celery_rotation import Tasks
    from coffre.rotation import Bridge, Rotator

__all__ = ["setup", "setup_rotation"]

log = logging.getLogger("coffre.celery")

# SIGTERM: end the present tasks and the process; what supervises it starts it again.
# SIGHUP: end the present tasks, then run the same command line in the same process.
RESTARTS: Dict[str, Optional[signal.Signals]] = {
    "supervisor": signal.SIGTERM,
    "in-place": signal.SIGHUP,
    "never": None,
}


def setup(
    app: celery.Celery,
    secrets: Optional[SecretsLike] = None,
    *,
    broker: Optional[str] = "CELERY_BROKER_URL",
    result: Optional[str] = "CELERY_RESULT_BACKEND",
    restart: str = "supervisor",
) -> celery.Celery:
    """Sets ``broker_url`` and ``result_backend`` from two variables (None leaves one alone), and watches them.

    ``restart`` is what happens when a URL changes in a way that running connections cannot follow: ``supervisor`` ends
    the process after its present tasks (SIGTERM), and systemd, Kubernetes or `coffre agent` starts it again;
    ``in-place`` lets a worker run its own command line anew (SIGHUP; beat has no such thing and ends); ``never`` only
    warns. Call it where the application is made, before any task is sent; the same application, for convenience."""
    if restart not in RESTARTS:
        raise ValueError(f"restart is one of {', '.join(RESTARTS)}")
    found = process_secrets(secrets)
    watched = []
    if broker is not None:
        watched.append(_set_url(app, "broker_url", "broker", broker, found))
    if result is not None:
        watched.append(_set_url(app, "result_backend", "result", result, found))
    watch = _Watch(found, watched, restart)
    signals.worker_init.connect(watch.in_worker, weak=False)
    signals.beat_init.connect(watch.in_beat, weak=False)
    signals.worker_process_init.connect(watch.in_child, weak=False)
    return app


def setup_rotation(
    app: celery.Celery,
    rotator: Optional[Rotator] = None,
    *,
    queue: Optional[str] = None,
    heartbeat: float = 20.0,
    beat: bool = True,
    prefix: str = "coffre.",
    names: Optional[Mapping[str, str]] = None,
    bridges: Optional[Mapping[str, Bridge]] = None,
    environ: Optional[Mapping[str, str]] = None,
    manifest: Optional[str] = None,
) -> Tasks:
    """Registers tasks that rotate, and adds to ``app.conf.beat_schedule`` when: each automatic target of the manifest at
    its ``every`` or ``cron`` (in its own zone), and every ``heartbeat`` seconds whatever is due. Call it after the
    application's own schedule is set; only the manifest is read here, and no server is asked.

    The tasks are ``rotate_jwt_secret``, ``rotate_flask_secret_key`` and ``rotate_encryption_key`` where the manifest
    rotates ``JWT_SECRET_KEY``, ``SECRET_KEY`` and ``APP_ENCRYPTION_KEY_B64`` (``names`` says otherwise, by task),
    ``rotate_secret(target)`` for any other, and ``rotate_all_secrets``; the result has them as attributes.

    A task waits for nothing: it does what can be done now, as steps of the one engine whose state is in the vault, and a
    later heartbeat goes on. So each may run twice, anywhere, together with others, and be killed. Without an argument it
    begins only what is due; ``rotate_jwt_secret.delay(older_than="2026-11-22T23:00:00Z")`` begins if the key is older
    than that, once, however often the task is delivered. If the vault does not answer, Celery tries again, between five
    seconds and a quarter of an hour later. No argument, result or log record holds a secret.

    ``queue``: where these tasks go. A worker that takes them needs the rotation's identity (see `coffre.rotation`), and
    nobody else does. ``bridges``: the application's own rotations, by target."""
    from coffre import _celery_rotation, _native
    from coffre.rotation import Rotator

    if heartbeat <= 0:
        raise ValueError("heartbeat is a number of seconds")
    found = rotator if rotator is not None else Rotator(environ, manifest=manifest)
    for target, bridge in (bridges or {}).items():
        found.bridge(target, bridge)
    targets = _native.rotating(environ, manifest=manifest)
    return _celery_rotation.register(
        app, found, targets, prefix=prefix, names=names or {}, heartbeat=heartbeat, queue=queue, beat=beat
    )


@dataclass(frozen=True)
class _Url:
    """One URL as Celery has it: `fixed` is the part of it that Celery cannot change while it runs."""

    setting: str
    name: str
    live: bool
    fixed: Masked


def _set_url(app: celery.Celery, setting: str, what: str, name: str, secrets: SecretsLike) -> _Url:
    url = secrets.get_secret(name)
    if not _takes_logins(url, what):
        setattr(app.conf, setting, Masked(url))
        return _Url(setting, name, False, Masked(url))
    from coffre import _celery_redis, redis

    bare = redis.without_credentials(url)
    if what == "result":
        ours = {scheme: "coffre._celery_redis:RedisBackend" for scheme in ("redis", "rediss")}
        app.loader.override_backends = {**ours, **app.loader.override_backends}
    parts = urlsplit(bare)
    query = "&".join(part for part in (parts.query, _celery_redis.bind(what, name, secrets)) if part)
    setattr(app.conf, setting, urlunsplit(parts._replace(query=query)))
    return _Url(setting, name, True, Masked(bare))


def _takes_logins(url: str, what: str) -> bool:
    """Whether Celery asks a provider for each login: of Redis, since celery 5.6 (results) and kombu 5.6.1 (broker)."""
    if urlsplit(url).scheme not in ("redis", "rediss"):
        return False
    return bool(celery.VERSION >= (5, 6) if what == "result" else kombu.VERSION >= (5, 6, 1))


class _Watch:
    """Looks at the URLs when secrets change, in the process that Celery's command started."""

    def __init__(self, secrets: SecretsLike, urls: List[_Url], restart: str) -> None:
        self._secrets = secrets
        self._urls = urls
        self._restart = restart
        self._end: Optional[Callable[[], None]] = None
        self._sent = threading.Event()

    def in_worker(self, **_: Any) -> None:
        self._begin(RESTARTS[self._restart])

    def in_beat(self, **_: Any) -> None:
        self._begin(signal.SIGTERM if self._restart != "never" else None)

    def in_child(self, **_: Any) -> None:
        """In a process of the pool: its own connection to the vault is there before its first task."""
        for url in self._urls:
            try:
                self._secrets.get_secret(url.name)
            except CoffreError as error:
                log.warning("%s cannot be read in this process now: %s", url.name, error)

    def changed(self, pid: int, how: Optional[signal.Signals]) -> None:
        """Restarts if a URL is another one than at the start."""
        if os.getpid() != pid or self._sent.is_set():
            return
        moved = [url.name for url in self._urls if self._moved(url)]
        if not moved:
            return
        names = ", ".join(moved)
        if how is None:
            log.warning("%s changed: this process keeps the old one until it is restarted", names)
            return
        self._sent.set()
        if how is signal.SIGHUP:
            _mend_command_line()
        log.warning("%s changed: ending after the present tasks, to start anew (%s)", names, how.name)
        os.kill(pid, how)

    def _moved(self, url: _Url) -> bool:
        try:
            now = self._secrets.get_secret(url.name)
        except CoffreError as error:
            log.warning("%s cannot be read now: %s", url.name, error)
            return False
        if url.live:
            from coffre import redis

            now = redis.without_credentials(now)
        return now != url.fixed

    def _begin(self, how: Optional[signal.Signals]) -> None:
        pid = os.getpid()
        if self._end is None:
            self._end = self._secrets.on_change(lambda change: self.changed(pid, how))
        # What changed between the application's start and now told nobody.
        self.changed(pid, how)


def _mend_command_line() -> None:
    """Celery runs `python` with `sys.argv` anew. After `python -m celery` that names a file of its package, which cannot
    run by itself."""
    package = getattr(getattr(sys.modules.get("__main__"), "__spec__", None), "parent", None)
    if package and os.path.basename(sys.argv[0]) == "__main__.py":
        sys.argv[0:1] = ["-m", package]
