"""Asking the server again out of turn: one flight for all who ask, and not more often than an interval allows.

Somebody from outside can cause such a question (a token with an unknown key id, a wrong password), so it is bounded."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import Callable, Dict, Optional

__all__ = ["ForcedRefresh", "Unknown"]

log = logging.getLogger("coffre.refresh")

INTERVAL_SECONDS = 10.0
NEGATIVE_SECONDS = 60.0
NEGATIVE_ENTRIES = 1024


class ForcedRefresh:
    """Calls ``refresh`` at most once in ``interval`` seconds of this process; callers meanwhile wait for the same call."""

    def __init__(
        self,
        refresh: Callable[[], object],
        interval: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.count = 0
        self._refresh = refresh
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._started: Optional[float] = None
        self._flight = 0
        _after_fork.add(self)

    def __call__(self) -> bool:
        """Whether the server was asked, by us or by somebody at the same time. A failure to ask is logged, not raised:
        the caller has something to say that fits better."""
        flight = self._flight
        if not self._lock.acquire(blocking=False):
            with self._lock:
                return self._flight > flight
        try:
            now = self._clock()
            if self._started is not None and now - self._started < self._interval:
                return False
            self._started = now
            self.count += 1
            try:
                self._refresh()
            except Exception as error:
                log.warning("a forced refresh failed: %s", type(error).__name__)
                return False
            self._flight += 1
            return True
        finally:
            self._lock.release()

    def _reset(self) -> None:
        # A lock that another thread held at the time of a fork stays locked for ever in the child.
        self._lock = threading.Lock()
        self._started = None
        self._flight = 0


class Unknown:
    """Names that were asked for and are not there, remembered for a while. Bounded: the oldest makes room."""

    def __init__(self, seconds: float = NEGATIVE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: Dict[str, float] = {}
        self._lock = threading.Lock()
        _after_fork.add(self)

    def __contains__(self, name: str) -> bool:
        until = self._until.get(name)
        return until is not None and self._clock() < until

    def add(self, name: str) -> None:
        with self._lock:
            self._until.pop(name, None)
            while len(self._until) >= NEGATIVE_ENTRIES:
                del self._until[next(iter(self._until))]
            self._until[name] = self._clock() + self._seconds

    def __len__(self) -> int:
        return len(self._until)

    def _reset(self) -> None:
        self._lock = threading.Lock()


_after_fork: "weakref.WeakSet[ForcedRefresh | Unknown]" = weakref.WeakSet()


def _reset_all() -> None:
    for each in list(_after_fork):
        each._reset()


os.register_at_fork(after_in_child=_reset_all)
