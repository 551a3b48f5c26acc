"""What all calls of one client have in common, whichever way they are made: breaker, budget, headers, process.

Does no I/O. The sync and the asyncio client each have one.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ledgerlift_client import errors
from ledgerlift_client._breaker import CircuitBreaker, Outcome, Permit, outcome_of
from ledgerlift_client._budget import RetryBudget
from ledgerlift_client._fork import ADVICE, WATCH
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._retry import Backoff, RetryState
from ledgerlift_client._spans import NO_SPANS, Headers, Spans

REQUEST_ID_HEADER = "x-request-id"
_MOST_ID_CHARACTERS = 128

Metadata: TypeAlias = "Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]"
"""Headers for every call, such as a bearer token. Names ending in `-bin` take bytes, all others printable ASCII."""

_NAME = re.compile(r"[a-z0-9_.-]+")

log = logging.getLogger("ledgerlift_client")


class ClientCore:
    """The state that is shared by the calls of one client. Thread-safe."""

    def __init__(self, target: str, options: ClientOptions, metadata: Metadata, spans: Spans | None = None) -> None:
        """ValueError for metadata that cannot be sent, RuntimeError in a process in which gRPC would hang."""
        WATCH.use()
        self.options = options
        self.spans = spans or NO_SPANS
        self.breaker = CircuitBreaker(
            target,
            failures=options.breaker_failures,
            recovery=options.breaker_recovery,
            grace=options.breaker_grace,
        )
        self.budget = RetryBudget(options.retry_budget)
        self.closed = False
        self._answered = False
        self._metadata = checked_metadata(metadata)
        self._process = os.getpid()

    @property
    def forked(self) -> bool:
        """True in a process that was forked after this client was made."""
        return os.getpid() != self._process

    def usable(self) -> None:
        """RuntimeError for a closed client, and in a forked process, where grpc's calls would wait for ever."""
        if self.forked:
            raise RuntimeError(
                f"this client was made in process {self._process} and cannot be used in process {os.getpid()}, "
                f"which was forked from it: {ADVICE}"
            )
        if self.closed:
            raise RuntimeError("this LedgerLiftClient is closed")

    def headers(self, request_id: str, of_its_own: Headers = ()) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata of one call."""
        return (*self._metadata, (REQUEST_ID_HEADER, request_id), *of_its_own)

    def retry_state(self, timeout: float | None) -> RetryState:
        """The retries of a short call: within `timeout` seconds (None: `call_timeout`), at most `max_attempts`."""
        limit = self.options.call_timeout if timeout is None else timeout
        return RetryState(
            self._backoff(),
            deadline=time.monotonic() + limit,
            max_attempts=self.options.max_attempts,
            budget=self.budget,
            answered_before=self._answered,
        )

    def transfer_state(self, timeout: float | None) -> RetryState:
        """The retries of a transfer: as long as it moves, or within `timeout` seconds.

        The number of attempts counts only as long as nobody has ever answered: the target may be wrong.
        """
        return self.watch_state(timeout if timeout is not None else self.options.transfer_timeout)

    def time_left(self, state: RetryState) -> float:
        """Seconds for a short call that belongs to a transfer: those of any short call, or what is left of it."""
        return state.time_left(self.options.call_timeout)

    def watch_state(self, timeout: float | None) -> RetryState:
        """The retries of a watch: for ever, as long as the server comes back, or for `timeout` seconds."""
        return RetryState(
            self._backoff(),
            deadline=None if timeout is None else time.monotonic() + timeout,
            max_attempts=None if self._answered else self.options.max_attempts,
            patience=self.options.patience,
            budget=self.budget,
            answered_before=self._answered,
        )

    def try_admit(self, state: RetryState) -> Permit | float:
        """Leave to make a call, or the seconds after which to ask again. Raises where that has no point.

        The call's end is to be told to the permit, whatever becomes of it: `answered`, `failed` or `given_up`.
        """
        try:
            return self.breaker.admit()
        except errors.CircuitOpen as refusal:
            return state.refused(refusal, soon=self.breaker.worth_waiting())

    def begins(self, permit: Permit, state: RetryState) -> None:
        """The call that `permit` is for is made, as an attempt of `state`, or as the breaker's probe."""
        state.begins(probe=self.breaker.probing(permit))

    def answered(self, permit: Permit) -> None:
        """The call succeeded, or its first message has come."""
        self._answered = True
        permit.end(Outcome.ANSWERED)

    def failed(self, permit: Permit, error: errors.LedgerLiftError, *, gave_time: bool) -> None:
        """The call failed; `gave_time`: after no less time than such a call is usually given."""
        permit.end(outcome_of(error, gave_time=gave_time), error.message)

    def _backoff(self) -> Backoff:
        return Backoff(self.options.backoff_base, self.options.backoff_cap)


def given_up(permit: Permit) -> None:
    """The call was given up on this side: that says nothing of its target."""
    permit.end(Outcome.NOTHING)


def header_id(wanted: str | None) -> str:
    """An id for a call's header: `wanted` where a header can carry it (printable ASCII), a new one elsewhere."""
    if wanted and len(wanted) <= _MOST_ID_CHARACTERS and wanted.isascii() and wanted.isprintable():
        return wanted
    return str(uuid.uuid4())


def checked_metadata(metadata: Metadata) -> tuple[tuple[str, str | bytes], ...]:
    """`metadata` as grpc takes it. ValueError names what it would refuse much later, in the middle of a call."""
    pairs = tuple(metadata.items() if isinstance(metadata, Mapping) else metadata)
    for name, value in pairs:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("grpc-"):
            raise ValueError(f"metadata: {name!r} is not a name in lower case, or is one of gRPC's own")
        if name == REQUEST_ID_HEADER:
            raise ValueError(f"metadata: {REQUEST_ID_HEADER} is set for each call; give `request_id` there")
        fits = isinstance(value, bytes) if name.endswith("-bin") else isinstance(value, str)
        if not fits or (isinstance(value, str) and not (value.isascii() and value.isprintable())):
            raise ValueError(f"metadata: the value of {name} must be printable ASCII, or bytes for a `-bin` name")
    return pairs


def tell_of(seconds: float, error: errors.LedgerLiftError) -> None:
    """Say in the log what failed, and when it is tried again."""
    log.warning(
        "%s (%s); trying again in %.1f s [request_id=%s]",
        error.message,
        error.reason or (error.code.name if error.code is not None else type(error).__name__),
        seconds,
        error.request_id,
    )
