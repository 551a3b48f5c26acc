"""One call to the store: made again where that helps, within the deadline, and its failure translated.

botocore's own retries are off: they would multiply its timeouts. This is the only retry around the store. While the
store fails, a call of the port is at most `max_attempts` requests: what fails is not followed by another operation.
Where it answers, a list makes a request for each page, and `stat` a second one where the object is not there.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from ledgerlift_server.adapters.s3.clients import Clients
from ledgerlift_server.adapters.s3.failures import credentials_are_stale, is_transient, translate
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.adapters.s3.transport import attempt
from ledgerlift_server.errors import DeadlineExceeded
from ledgerlift_server.resilience.deadline import time_left
from ledgerlift_server.resilience.retry import Attempts, RetryBudget, RetryPolicy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds; the pause after attempt n is random between 0 and `FIRST_PAUSE * 2 ** (n - 1)` (full jitter)."""
PATIENCE = 30.0
"""Seconds behind the first failure after which no attempt begins; the attempts before may have been long ones."""
BUDGET, BUDGET_REFILL = 50.0, 0.2
"""Further attempts that all calls together may make in a row, and what each call that succeeds brings back."""
_DEADLINE_TOLERANCE = 0.01
"""Seconds by which a timeout that was set from the deadline may come before it."""


class Calls:
    """Runs calls of the low-level client. Every one of them is idempotent, so any may be made again."""

    def __init__(
        self,
        clients: Clients,
        options: S3Options,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` is in [0, 1)."""
        self._clients = clients
        self._options = options
        self._policy = RetryPolicy(FIRST_PAUSE, LONGEST_PAUSE, options.max_attempts, PATIENCE)
        self.budget = RetryBudget(BUDGET, BUDGET_REFILL)
        self._sleep = sleep
        self._jitter = jitter

    def run(self, operation: str, call: Callable[[S3Client], T], *, wait: float | None = None) -> T:
        """The result of `call`, made up to `max_attempts` times, and fewer while most calls fail.

        `wait` is how long the store may take for its next bytes, in seconds; None: `read_timeout`. Raises
        StoreAnswer where the store says no, DependencyUnavailable, and DeadlineExceeded, after which the
        outcome is unknown.
        """
        attempts: Attempts | None = None
        while True:
            if time_left(math.inf) <= _DEADLINE_TOLERANCE:
                raise DeadlineExceeded("the object store was not asked before the deadline")
            try:
                patience = self._options.read_timeout if wait is None else wait
                with attempt(patience=patience, asks=attempts is not None):
                    result = call(self._clients.current())
            except ParamValidationError:
                raise  # a defect of ours
            except (BotoCoreError, ClientError, HTTPError) as error:
                if time_left(math.inf) <= _DEADLINE_TOLERANCE:
                    raise DeadlineExceeded("the object store did not answer before the deadline") from error
                if credentials_are_stale(error):
                    self._clients.expire()
                attempts = attempts or Attempts(self._policy, self.budget, jitter=self._jitter)
                pause = attempts.again() if is_transient(error) else None
                if pause is None:
                    raise translate(error, operation) from error
                self._sleep(pause)
            else:
                self.budget.succeeded()
                return result
