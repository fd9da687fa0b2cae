"""Rotation by Celery: tasks that do steps of the engine, and a beat schedule from the manifest. See `coffre.celery`."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple

import celery  # type: ignore[import-untyped]
from celery.schedules import BaseSchedule, schedule, schedstate  # type: ignore[import-untyped]
from celery.utils.log import get_task_logger  # type: ignore[import-untyped]

from coffre import _native
from coffre._errors import CoffreError, RotationError
from coffre.rotation import Rotator, Status

log = get_task_logger("coffre.celery")

# The plan's tasks, and what each is about: a variable, and the path that stands for it in other manifests.
TASKS: Dict[str, Tuple[str, str]] = {
    "rotate_jwt_secret": ("JWT_SECRET_KEY", "jwt/secret_key"),
    "rotate_flask_secret_key": ("SECRET_KEY", "flask/secret_key"),
    "rotate_encryption_key": ("APP_ENCRYPTION_KEY_B64", "encryption/master_key"),
}
ALL = "rotate_all_secrets"
ONE = "rotate_secret"
# Seconds between tries when the vault does not answer: the engine's own bounds, with full jitter.
LEAST, MOST, TRIES = 5.0, 900.0, 8
# How much later than asked for a task still makes sense; what comes after it does the same.
LONGEST_WAIT = 3600.0
BEFORE_PROMOTION = ("PREPARE", "APPLY", "VERIFY", "PUBLISH", "PROMOTE", "UNDO")


class Cron(BaseSchedule):  # type: ignore[misc]
    """Five cron fields in an IANA time zone, as the engine understands them, whatever zone Celery works in."""

    def __init__(self, cron: str, zone: str, nowfun: Any = None, app: Any = None) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.cron, self.zone = cron, zone
        _native.next_occurrence(cron, zone, 0.0)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        due = self._after(self._aware(last_run_at))
        return timedelta(seconds=due - self._aware(self.now()) if due is not None else LONGEST_WAIT)

    def is_due(self, last_run_at: datetime) -> Any:
        now, due = self._aware(self.now()), self._after(self._aware(last_run_at))
        if due is None:
            return schedstate(False, LONGEST_WAIT)
        if due > now:
            return schedstate(False, due - now)
        following = self._after(now)
        return schedstate(True, following - now if following is not None else LONGEST_WAIT)

    def _after(self, seconds: float) -> Optional[float]:
        return _native.next_occurrence(self.cron, self.zone, seconds)

    def _aware(self, when: datetime) -> float:
        aware = when if when.tzinfo is not None else self.maybe_make_aware(when)
        return float(aware.timestamp())

    def __repr__(self) -> str:
        return f"<{self.cron} {self.zone}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cron) and (self.cron, self.zone) == (other.cron, other.zone)

    def __hash__(self) -> int:
        return hash((self.cron, self.zone))

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.cron, self.zone)


@dataclass
class Tasks:
    """The tasks that were registered, by their short names, and the entries of the beat schedule."""

    tasks: Dict[str, Any] = field(default_factory=dict)
    beat: Dict[str, Dict[str, Any]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["tasks"][name]
        except KeyError:
            raise AttributeError(name) from None


def register(
    app: celery.Celery,
    rotator: Rotator,
    targets: List[Dict[str, Any]],
    *,
    prefix: str,
    names: Mapping[str, str],
    heartbeat: float,
    queue: Optional[str],
    beat: bool,
) -> Tasks:
    """Makes the tasks and, with ``beat``, adds what the manifest says to the application's schedule."""
    work = _Work(rotator)
    made = Tasks()
    options: Dict[str, Any] = {"bind": True, "acks_late": True, "reject_on_worker_lost": True, "max_retries": TRIES}

    def add(short: str, function: Any) -> None:
        function.__name__ = short
        made.tasks[short] = app.task(name=prefix + short, **options)(function)

    chosen = _chosen(targets, names)
    for short, target in chosen.items():
        add(short, _rotates(work, target))
    add(ONE, _rotates_any(work))
    add(ALL, _rotates_all(work))
    if queue is not None:
        ours = {prefix + short: {"queue": queue} for short in made.tasks}
        app.conf.task_routes = [ours, *_routes(app.conf.task_routes)]
    if beat:
        made.beat = _entries(targets, chosen, prefix, heartbeat, queue)
        app.conf.beat_schedule = {**(app.conf.beat_schedule or {}), **made.beat}
    return made


class _Work:
    """The engine in a worker; each process of a pool opens its own connection."""

    def __init__(self, rotator: Rotator) -> None:
        self.rotator = rotator
        self._told: Optional[int] = None

    def one(self, task: Any, target: str, older_than: Optional[str]) -> Dict[str, Any]:
        return self._tried(task, lambda: self._one(target, older_than))

    def all(self, task: Any) -> Dict[str, Any]:
        return self._tried(task, self._all)

    def _one(self, target: str, older_than: Optional[str]) -> Dict[str, Any]:
        if older_than is not None:
            self._begin(target, _instant(older_than))
        steps, wait = self.rotator.drive(target)
        until = wait.until.isoformat() if wait and wait.until else None
        return {"target": target, "steps": steps, "waits": wait.why if wait else None, "until": until}

    def _begin(self, target: str, older_than: datetime) -> None:
        found = self._status(target)
        if found.last is not None and found.last >= older_than:
            return
        if found.phase in BEFORE_PROMOTION:
            return
        try:
            self.rotator.now(target)
        except RotationError as error:
            # Another worker was faster, or a person is needed; what is under way is gone on with.
            log.warning("%s is not begun: %s", target, error)

    def _status(self, target: str) -> Status:
        plan = {line.target: line for line in self.rotator.status()}
        found = plan[target]
        if found.failed is not None:
            raise RotationError(found.failed)
        return found

    def _all(self) -> Dict[str, Any]:
        if self._told != os.getpid():
            # What consumers may keep for how long follows from the manifest.
            self.rotator.publish_policy()
            self._told = os.getpid()
        report = self.rotator.tick()
        for target, why in report.failed.items():
            log.warning("%s could not be looked at: %s", target, why)
        return {"steps": report.steps, "waiting": report.waiting, "failed": report.failed}

    def _tried(self, task: Any, work: Any) -> Dict[str, Any]:
        try:
            found: Dict[str, Any] = work()
            return found
        except CoffreError as error:
            if not error.retryable:
                raise
            top = min(MOST, LEAST * 2.0**task.request.retries)
            raise task.retry(exc=error, countdown=random.uniform(LEAST, top)) from None


def _rotates(work: _Work, target: str) -> Any:
    def rotate(self: Any, older_than: Optional[str] = None) -> Dict[str, Any]:
        return work.one(self, target, older_than)

    rotate.__doc__ = f"Does what can be done now for {target}. ``older_than``, a time: begins if its secret is older."
    return rotate


def _rotates_any(work: _Work) -> Any:
    def rotate(self: Any, target: str, older_than: Optional[str] = None) -> Dict[str, Any]:
        """Does what can be done now for a target, by its path. ``older_than``, a time: begins if its secret is older."""
        return work.one(self, target, older_than)

    return rotate


def _rotates_all(work: _Work) -> Any:
    def rotate(self: Any) -> Dict[str, Any]:
        """Does what is due now for every target. The heartbeat."""
        return work.all(self)

    return rotate


def _chosen(targets: List[Dict[str, Any]], names: Mapping[str, str]) -> Dict[str, str]:
    """The plan's tasks whose secret the manifest rotates."""
    unknown = sorted(set(names) - set(TASKS))
    if unknown:
        raise ValueError(f"names: {', '.join(unknown)} is none of {', '.join(TASKS)}")
    found = {}
    for short, usual in TASKS.items():
        wanted = (names[short],) if short in names else usual
        matches = [each for each in targets if each["target"] in wanted or set(each["variables"]) & set(wanted)]
        if not matches and short in names:
            raise ValueError(f"names: {short}: nothing that rotates is called {names[short]}")
        if matches:
            found[short] = str(matches[0]["target"])
    return found


def _entries(
    targets: List[Dict[str, Any]], chosen: Dict[str, str], prefix: str, heartbeat: float, queue: Optional[str]
) -> Dict[str, Dict[str, Any]]:
    """One entry for each automatic target at its own times, and the heartbeat."""
    shorts = {target: short for short, target in chosen.items()}
    entries: Dict[str, Dict[str, Any]] = {}

    def add(name: str, task: str, when: Any, expires: float, arguments: List[str]) -> None:
        options: Dict[str, Any] = {"expires": expires}
        if queue is not None:
            options["queue"] = queue
        entries[name] = {"task": prefix + task, "schedule": when, "args": arguments, "options": options}

    for each in targets:
        target, short = each["target"], shorts.get(each["target"])
        if not each["automatic"]:
            continue
        if each["cron"] is not None:
            when: Any = Cron(each["cron"], each["zone"])
        elif each["every"] is not None:
            when = schedule(timedelta(seconds=each["every"]))
        else:
            continue
        add(f"rotate {target}", short or ONE, when, LONGEST_WAIT, [] if short else [target])
    # Phases go on, and what beat forgot when its own file was lost is due all the same: the vault knows.
    add("rotation goes on", ALL, schedule(timedelta(seconds=heartbeat)), max(heartbeat, 1.0), [])
    return entries


def _routes(found: Any) -> List[Any]:
    """The application's own, in the one form of several."""
    if found is None:
        return []
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError("older_than is a time as 2026-11-22T23:00:00Z") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
