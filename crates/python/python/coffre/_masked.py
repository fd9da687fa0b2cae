"""A text that does not show itself: for configurations, whose ``repr`` ends in logs, debuggers and error reports."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Masked"]


class Masked(str):
    """A `str` in all but ``repr`` and pickle. ``str()`` and formatting with ``{}`` give the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<secret>'"

    def __copy__(self) -> Masked:
        return self

    def __deepcopy__(self, memo: object) -> Masked:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
