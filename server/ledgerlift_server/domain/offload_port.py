"""What the domain needs of whatever computes beside the loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Runs a function that computes (hashing) on a thread pool of its own."""

    def __call__(self, fn: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """Await the result of `fn(*args)`."""
