"""Rotation from Python: the engine of ``coffre rotate``, opened with the same manifest.

    from coffre.rotation import Rotator

    with Rotator() as rotator:
        for line in rotator.status():
            print(line.target, line.phase, line.next)
        rotator.tick()  # everything that is due now

It logs in with an identity of its own, the rotation's, which may write: ``VAULT_ROTATE_ROLE_ID`` and
``VAULT_ROTATE_SECRET_ID`` (or their ``_FILE``), ``VAULT_ROTATE_KUBERNETES_ROLE``, ``VAULT_ROTATE_TOKEN``, or arguments.
Without any of these the process is nothing but a rotator, and ``VAULT_ROLE_ID`` and its kin are the rotation's.

Nothing here waits for a gate or a date: each call does what can be done now. All state is in the vault, so any number of
processes may call, and one that is killed is gone on with by the next call anywhere. Nothing that is returned or raised
holds a secret.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Protocol, Sequence, Tuple, Type, TypeVar, Union

from coffre import _native
from coffre._errors import RotationError

__all__ = [
    "Bridge",
    "Finding",
    "Generation",
    "Halt",
    "History",
    "Leaving",
    "NeedsPerson",
    "Overtaken",
    "Planned",
    "Refused",
    "Report",
    "RotationError",
    "Rotator",
    "Status",
    "Step",
    "Wait",
]

_Path = Union[str, "os.PathLike[str]"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Wait:
    """Why there is nothing to do now."""

    why: str
    until: Optional[datetime] = None
    """When it is worth asking again; None: when somebody changes something."""
    consumers: Tuple[str, ...] = ()
    """Those that are waited for."""


@dataclass(frozen=True)
class Step:
    """What one step came to: a phase before and after, or a wait, or neither: somebody else was faster."""

    before: Optional[str] = None
    after: Optional[str] = None
    wait: Optional[Wait] = None


@dataclass(frozen=True)
class Report:
    """What a round over all targets came to."""

    steps: int
    waiting: Dict[str, str]
    """Targets that wait, and why."""
    failed: Dict[str, str]
    """Targets that could not be looked at, and why."""
    again: Optional[datetime] = None
    """When it is worth coming again."""


@dataclass(frozen=True)
class Leaving:
    """A generation that was active."""

    generation: int
    phase: str
    earliest_retire: Optional[datetime]
    compromised: bool


@dataclass(frozen=True)
class Halt:
    """Why a target stands still, and what to do."""

    code: str
    why: str
    advice: str
    phase: str
    since: Optional[datetime]


@dataclass(frozen=True)
class Status:
    """Where a target stands. A target that could not be read says why in ``failed``."""

    target: str
    kind: str
    enabled: bool
    phase: str
    active: int
    """The generation in use; 0: none yet."""
    epoch: int
    """How often the document changed."""
    phase_since: Optional[datetime] = None
    reason: Optional[str] = None
    pending: Optional[int] = None
    retiring: Tuple[Leaving, ...] = ()
    last: Optional[datetime] = None
    """The last promotion."""
    next: Optional[datetime] = None
    deadline: Optional[datetime] = None
    waits: Optional[str] = None
    until: Optional[datetime] = None
    consumers: Tuple[str, ...] = ()
    holder: Optional[str] = None
    halt: Optional[Halt] = None
    frozen: Optional[str] = None
    failed: Optional[str] = None


@dataclass(frozen=True)
class Planned:
    """One line of a plan."""

    phase: str
    note: str
    at: Optional[datetime] = None


@dataclass(frozen=True)
class Finding:
    """Something that forbids a target to rotate by itself: what is wrong and what to do."""

    target: str
    sentence: str


@dataclass(frozen=True)
class History:
    """Events, oldest first, as they stand in the vault; ``holds``: nobody has changed their chain."""

    events: List[Dict[str, Any]]
    holds: bool


class Generation:
    """What a call of a `Bridge` is about. It does not show its value, and is not pickled: use it in the call, keep it nowhere
    but where it belongs."""

    __slots__ = ("compromised", "fence", "number", "target", "until", "value")

    target: str
    """The path of its document, as ``mail/password``."""
    number: int
    """From 1. Numbers only grow, and one is never given to another value."""
    value: Optional[str]
    """The secret itself. None in `retire` if no copy of it is kept any more: then the number must do."""
    fence: int
    """Grows whenever another engine takes over. Code that writes it down with each change can refuse a smaller one, with
    `Overtaken`: it comes from a process that was paused and does not know that another has gone on."""
    until: datetime
    """The call must be over by then; afterwards another process may be at the same."""
    compromised: bool
    """Its value is known to others: end at once what it logged in."""

    def __init__(
        self, target: str, number: int, value: Optional[str], fence: int, until: float, compromised: bool
    ) -> None:
        self.target, self.number, self.value, self.fence = target, number, value, fence
        self.until, self.compromised = datetime.fromtimestamp(until, timezone.utc), compromised

    def __repr__(self) -> str:
        return f"<generation {self.number} of {self.target}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a generation holds a secret: it cannot be pickled or copied")


class Bridge(Protocol):
    """Two functions by which an application that has a rotation of its own is rotated by the engine; for targets with
    ``bridge = true`` in their ``rotation``. Everything else, drawing, storing, publishing, waiting for the others, going on
    after a crash, is the engine's.

    What both may assume, and must keep:

    * A call may come again with the same generation, also after it has had its effect: the process was killed, the answer
      was lost, it ran out of time, another worker went on. A repetition succeeds and changes nothing. Calls of one target
      follow each other; after ``until`` of a call that hangs, another process may make the same one.
    * Either may raise. `Refused`: this value will never do, another is drawn (three times, then a person is asked).
      `NeedsPerson`: nothing goes on before somebody has looked; its text is shown to people. `Overtaken`: a larger fence
      was seen. Anything else is a trouble that passes: it is tried again, less and less often, for a day. Of the exception
      only the name of its class is kept, never its text.
    * Until `apply` has returned nobody uses the value, and the one before it is valid whatever happens. The value is in the
      vault before the first call.
    """

    def apply(self, new: Generation) -> None:
        """From its return on, everything that this application runs or talks to accepts the new value, *beside* what it
        accepted before. Nothing may stop accepting the old one, and nothing needs to use the new one yet: the document in
        the vault says when, and consumers read that."""

    def retire(self, old: Generation) -> None:
        """From its return on, nothing accepts or needs this value. It comes when no consumer can use it any more (of a key
        that encrypts: when nothing under it is left, before it is destroyed); at once for a compromised one; and for a new
        one that is taken back, even if `apply` was never called with it or did not finish."""


class Refused(Exception):
    """Raised by a `Bridge`: this value will never do."""


class NeedsPerson(Exception):
    """Raised by a `Bridge`: a person must see to something. The text says what; it must hold no secret."""


class Overtaken(Exception):
    """Raised by a `Bridge`: a larger fence was seen."""


class Rotator:
    """The engine for everything that the manifest rotates. Any number of threads may share one.

    ``environ`` stands in for ``os.environ``, and is read at once; the other arguments win over it. The vault is asked when
    that is first needed, in each process anew, so that a rotator that was made before a fork works after it. A target is
    named by its path (``jwt/secret_key``) or by a variable that reads it (``JWT_SECRET_KEY``).

    Raises SourceError (no manifest, no identity), NotFound (no such target), Denied, Unavailable, and RotationError for
    what the engine refuses; ``retryable`` says whether the same call may succeed later.
    """

    def __init__(
        self,
        environ: Optional[Mapping[str, str]] = None,
        *,
        directory: Optional[_Path] = None,
        manifest: Optional[_Path] = None,
        address: Optional[str] = None,
        environment: Optional[str] = None,
        role_id: Optional[str] = None,
        secret_id: Optional[str] = None,
        token: Optional[str] = None,
    ) -> None:
        self._native = _native.Rotator(
            environ,
            directory=directory,
            manifest=manifest,
            address=address,
            environment=environment,
            role_id=role_id,
            secret_id=secret_id,
            token=token,
        )

    def status(self) -> List[Status]:
        """Where all targets stand."""
        return [_status(line) for line in self._native.status()]

    def plan(self, target: str) -> List[Planned]:
        """What the next rotation will do and when, or what is left of the one under way."""
        return [_made(Planned, line, at=_time(line["at"])) for line in self._native.plan(target)]

    def step(self, target: str) -> Step:
        """Does at most one thing: one write, or one effect and the write that says so."""
        found = self._native.step(target)
        return Step(found.get("before"), found.get("after"), _wait(found.get("wait")))

    def drive(self, target: str) -> Tuple[int, Optional[Wait]]:
        """Does for one target what can be done now: how many steps that were, and why there are no more."""
        found = self._native.drive(target)
        return found["steps"], _wait(found["wait"])

    def tick(self) -> Report:
        """Does what is due now, of all targets."""
        found = self._native.tick()
        return Report(found["steps"], dict(found["waiting"]), dict(found["failed"]), _time(found["again"]))

    def now(self, target: str, compromised: bool = False) -> None:
        """Begins a rotation; the steps that follow go on with it. ``compromised``: there is no overlap, and what the old
        secret signed or logged in ends at once."""
        self._native.now(target, compromised)

    def undo(self, target: str) -> None:
        """Takes back what was begun and is not in use yet."""
        self._native.undo(target)

    def rollback(self, target: str) -> None:
        """Uses the secret before again, while it is still accepted."""
        self._native.rollback(target)

    def resume(self, target: str, epoch_reset: bool = False) -> None:
        """Goes on after a halt. ``epoch_reset``: the server was restored from a snapshot, and that is known."""
        self._native.resume(target, epoch_reset)

    def provide(self, target: str, value: str) -> None:
        """Brings the new value of a key that somebody else issues. It is tried before anybody gets it."""
        self._native.provide(target, value)

    def confirm_revoked(self, target: str) -> None:
        """The old key was revoked at its issuer: it is tried, and must be refused."""
        self._native.confirm_revoked(target)

    def freeze(self, why: str = "") -> None:
        """Nothing leaves any engine of the environment until `unfreeze`; what is active stays so."""
        self._native.freeze(why)

    def unfreeze(self) -> None:
        """Takes a freeze back."""
        self._native.unfreeze()

    def history(self, target: str, most: int = 20) -> History:
        """The newest events of a target."""
        events, holds = self._native.history(target, most)
        return History(events, holds)

    def enable(self, targets: Sequence[str] = (), check: bool = False) -> List[Finding]:
        """Lets targets rotate by themselves (all that are automatic, without any), unless something forbids it, which is
        returned. ``check`` changes nothing."""
        return [_made(Finding, line) for line in self._native.enable(list(targets), check)]

    def disable(self, targets: Sequence[str]) -> None:
        """Lets targets rotate only when somebody asks. What is under way is finished."""
        self._native.disable(list(targets))

    def publish_policy(self) -> bool:
        """Tells consumers the bounds that the manifest sets, as ``coffre rotate run`` does; whether it was news."""
        return self._native.publish_policy()

    def bridge(self, target: str, bridge: Bridge) -> None:
        """From now on the engine calls an application's own rotation for a target, whose ``rotation`` in the manifest says
        ``bridge = true``. Engines without it leave that target alone."""
        for name in ("apply", "retire"):
            if not callable(getattr(bridge, name, None)):
                raise TypeError(f"a bridge has two functions, apply and retire; this one has no {name}")
        self._native.bridge(target, bridge)

    def close(self) -> None:
        """Ends its connections; the next call opens them again."""
        self._native.close()

    def __enter__(self) -> Rotator:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<coffre.rotation.Rotator>"


def _status(line: Dict[str, Any]) -> Status:
    halt = line["halt"]
    return _made(
        Status,
        line,
        **{name: _time(line[name]) for name in ("phase_since", "last", "next", "deadline", "until")},
        retiring=tuple(_made(Leaving, old, earliest_retire=_time(old["earliest_retire"])) for old in line["retiring"]),
        consumers=tuple(line["consumers"]),
        halt=_made(Halt, halt, since=_time(halt["since"])) if halt else None,
    )


def _wait(found: Optional[Dict[str, Any]]) -> Optional[Wait]:
    return Wait(found["why"], _time(found["until"]), tuple(found["consumers"])) if found else None


def _made(kind: Type[_T], line: Dict[str, Any], **given: Any) -> _T:
    """Of those fields of a line that the class knows."""
    known = {field.name: line[field.name] for field in fields(kind) if field.name in line}  # type: ignore[arg-type]
    return kind(**{**known, **given})


def _time(text: Optional[str]) -> Optional[datetime]:
    """RFC 3339 in universal time, as the engine writes it: `2026-11-22T23:05:00Z`, perhaps with a fraction."""
    if not text:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    found = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    return found.replace(microsecond=int(fraction[:6].ljust(6, "0") or 0), tzinfo=timezone.utc)
