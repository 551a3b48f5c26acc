"""Who is told how long the steps of a call take: whoever follows it (`observability/tracing`), or nobody."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Spans(Protocol):
    """Follows work while the `with` lasts. What is begun inside of it, in other tasks too, is a part of it.

    `facts` are ids, numbers and sizes: never payloads, file names or what else callers say.
    """

    def step(self, name: str, /, *, outside: bool = False, **facts: str | int) -> AbstractContextManager[object]:
        """A step of what is followed; nothing where nothing is. `outside`: another system is asked."""

    def work(self, name: str, /, **facts: str | int) -> AbstractContextManager[object]:
        """As `step`; where nothing is followed, as when the janitor does it, it is followed by itself."""


class NoSpans:
    """Nobody follows."""

    _NOTHING = nullcontext()

    def step(self, name: str, /, *, outside: bool = False, **facts: str | int) -> AbstractContextManager[object]:
        """Nothing."""
        return self._NOTHING

    def work(self, name: str, /, **facts: str | int) -> AbstractContextManager[object]:
        """Nothing."""
        return self._NOTHING


NO_SPANS = NoSpans()
"""The only one that is needed."""
