"""Who is told how long operations and their attempts take: `tracing.Tracing`, or nobody. Knows no library."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Headers = tuple[tuple[str, str], ...]


class AttemptSpan(Protocol):
    """One call on the wire that is being followed."""

    @property
    def headers(self) -> Headers:
        """What tells the server whose part the call is."""

    def ended(self, code: str) -> None:
        """The call is over, with the gRPC status of that name. The first one counts."""


class Spans(Protocol):
    """Follows what a client does."""

    def operation(self, name: str, request_id: str) -> AbstractContextManager[object]:
        """One operation of the client, with all its attempts, for as long as the block lasts."""

    def attempt(self, method: str, request_id: str, number: int) -> AttemptSpan:
        """A call of `method` (`/package.Service/Method`) that begins now, as a part of the operation at hand."""


class _NoAttempt:
    headers: Headers = ()

    def ended(self, code: str) -> None:
        """Nobody follows."""


class NoSpans:
    """Nobody follows."""

    _NOTHING = nullcontext()
    _NO_ATTEMPT = _NoAttempt()

    def operation(self, name: str, request_id: str) -> AbstractContextManager[object]:
        """Nothing."""
        return self._NOTHING

    def attempt(self, method: str, request_id: str, number: int) -> AttemptSpan:
        """Nothing."""
        return self._NO_ATTEMPT


NO_SPANS = NoSpans()
"""The only one that is needed."""
