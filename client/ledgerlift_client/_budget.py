"""How many retries all calls of one client may make together: a server in trouble gets calls, not a multiple of them.

A bucket of tokens (the idea of gRFC A6 `retryThrottling` and of the AWS SDKs): each retry takes one, each success
gives a part of one back, and a success that needed a retry gives that retry back as well, because it was of use.
Retries that only ever fail empty it: from then on a call is one attempt.
"""

from __future__ import annotations

import threading

SUCCESS_GIVES = 0.1
"""Tokens that any success gives back: one retry in ten calls is always affordable."""


class RetryBudget:
    """The tokens. Thread-safe. It begins full."""

    def __init__(self, most: float) -> None:
        """`most` tokens fit: so many retries in a row, over all calls, without one success."""
        self._most = float(most)
        self._tokens = float(most)
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Tokens that are there."""
        return self._tokens

    def take(self) -> bool:
        """Take one for a retry; False when there is none."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    def succeeded(self, *, retried: bool) -> None:
        """A call succeeded; `retried`: not with its first attempt."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + SUCCESS_GIVES + (1.0 if retried else 0.0))
