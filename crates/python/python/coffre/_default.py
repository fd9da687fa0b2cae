"""The secrets of the whole process: opened when first needed, from its environment and working directory."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Optional

from coffre import _native
from coffre._errors import CoffreError, again
from coffre._native import Secrets

_lock = threading.Lock()
_opened: Optional[Secrets] = None
_attempts = 0
_failure: Optional[CoffreError] = None
# What this thread took before it forked.
_holding = threading.local()

# Seconds that a fork waits for another thread that is just opening.
FORK_PATIENCE = 2.0


def secrets() -> Secrets:
    """Opened once for all threads. Raises SourceError (or another CoffreError) when that is refused; the next call tries
    again. Threads that waited for an attempt which failed get the same failure, without an attempt of their own."""
    if _opened is not None:
        return _opened
    return _open(_attempts)


def opened() -> Optional[Secrets]:
    """The same if it is open already."""
    return _opened


def close() -> None:
    """Ends what `secrets` opened; the next use opens again."""
    global _opened
    with _lock:
        closing, _opened = _opened, None
        _native.share(None)
    if closing is not None:
        closing.close()


def _open(seen: int) -> Secrets:
    global _opened, _attempts, _failure
    with _lock:
        if _opened is not None:
            return _opened
        if _attempts != seen and _failure is not None:
            raise _copy(_failure)
        _attempts += 1
        try:
            _opened = _native.open_default()
        except CoffreError as error:
            # Without the traceback, which would keep the frames of whoever asked.
            _failure = _copy(error)
            raise
        _failure = None
        _native.share(_opened)
        return _opened


def _copy(error: CoffreError) -> CoffreError:
    return again(type(error), str(error), error.kind, error.retryable)


def _before_fork() -> None:
    # What a thread sets up for the first time while it opens (cryptography above all) would never be ready in a child that
    # was forked in between. Waiting for the server takes longer, and does no harm.
    _holding.lock = _lock if _lock.acquire(timeout=FORK_PATIENCE) else None


def _after_fork_in_parent() -> None:
    lock, _holding.lock = _holding.lock, None
    if lock is not None:
        lock.release()


def _after_fork() -> None:
    # Another thread may have held the lock; it does not exist in the child.
    global _lock
    _lock = threading.Lock()
    _native.after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
atexit.register(_native.close_all)
