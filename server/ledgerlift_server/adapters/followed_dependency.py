"""The one door to whatever blocks (`dependency.py`), where somebody follows what passes through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.domain.spans import Spans

T = TypeVar("T")


class FollowedDependency(Dependency):
    """A class of its own, so that where nobody follows the door is as it was."""

    def __init__(self, *args: Any, spans: Spans, **named: Any) -> None:
        """`spans` are told of every call; the rest as for `Dependency`."""
        super().__init__(*args, **named)
        self._spans = spans

    async def call(
        self, operation: str, fn: Callable[..., T], /, *args: object, lent: bool = False, size: int = 0
    ) -> T:
        """As `Dependency.call`: the wait for a thread is a part of the step, and so are its further attempts."""
        facts = {"size": size} if size else {}
        with self._spans.step(f"{self.name} {operation}", outside=True, **facts):
            return await super().call(operation, fn, *args, lent=lent, size=size)
