"""What can go wrong. No message, attribute or cause holds a value."""

from __future__ import annotations


class CoffreError(Exception):
    """Base of all errors of this package.

    ``kind`` is a stable word for programs, ``retryable`` says whether the same call may succeed later without anybody
    changing anything. The text is for people: what happened, and what to do next.
    """

    kind: str = "internal"
    retryable: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        return again, (type(self), str(self), self.kind, self.retryable)


def again(kind_of_error: type[CoffreError], text: str, kind: str, retryable: bool) -> CoffreError:
    """The same error anew: in another process, or for another thread."""
    error = kind_of_error(text)
    error.kind, error.retryable = kind, retryable
    return error


class Unavailable(CoffreError):
    """The server did not answer in time, and there is no value that may still be used."""

    kind = "unavailable"
    retryable = True


class Stale(CoffreError):
    """There was a value, but the server has not confirmed it for longer than is allowed."""

    kind = "stale"
    retryable = True


class Denied(CoffreError):
    """The server refuses this to the application's identity."""

    kind = "denied"


class Gone(CoffreError):
    """The secret was deleted or destroyed."""

    kind = "gone"


class NotFound(CoffreError):
    """Nothing is there: no such variable, path or field."""

    kind = "not_found"


class SourceError(CoffreError):
    """Where secrets come from could not be decided, or the decision is to refuse. The application should not start."""

    kind = "refused"


class RotationError(CoffreError):
    """The rotation engine refuses this. ``kind`` is ``refused``, ``conflict`` (another engine was faster; again later) or
    ``fenced`` (a newer engine is in charge)."""

    kind = "refused"


for _class in (CoffreError, Unavailable, Stale, Denied, Gone, NotFound, SourceError, RotationError):
    # As people import it, and as tracebacks and pickles should name it.
    _class.__module__ = "coffre"
