"""The point in time by which an answer is owed, carried through a request in a context variable.

A deadline is made once, at the edge, and only ever shortened on its way down: to the bulkhead's queue,
to the database (`statement_timeout`) and to the store (socket timeouts). Work that belongs to the
server rather than to a call (a commit, the janitor) runs in a detached scope of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Monotonic seconds."""


class DeadlinePassed(Exception):
    """The current deadline came before the work had ended. What was begun may still end."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds."""

    at: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, *, clock: Clock = time.monotonic) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left; 0 once it has passed."""
        return max(0.0, self.at - self.clock())


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current_deadline() -> Deadline | None:
    """The deadline of the work at hand; None where nobody waits."""
    return _current.get()


def time_left(limit: float) -> float:
    """Seconds that a step may take which by itself is allowed `limit`: that, or what the deadline leaves."""
    deadline = _current.get()
    return limit if deadline is None else min(limit, deadline.remaining())


@contextmanager
def deadline_scope(deadline: Deadline, *, detached: bool = False) -> Iterator[Deadline]:
    """Run the block under `deadline`, or under the enclosing one where that is nearer.

    `detached`: whatever encloses the block does not count, for work that its caller cannot hurry.
    """
    enclosing = _current.get()
    if enclosing is not None and not detached and enclosing.at < deadline.at:
        deadline = enclosing
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)
