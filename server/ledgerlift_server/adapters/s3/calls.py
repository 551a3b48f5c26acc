"""One call to the store: made again where that helps, within the deadline, and its failure translated.

botocore's own retries are off: they would multiply its timeouts. This is the only retry around the store.
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
from ledgerlift_server.adapters.s3.transport import patience
from ledgerlift_server.errors import DeadlineExceeded
from ledgerlift_server.resilience.deadline import time_left

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds; the pause after attempt n is random between 0 and `FIRST_PAUSE * 2 ** (n - 1)` (full jitter)."""
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
        self._sleep = sleep
        self._jitter = jitter

    def run(self, operation: str, call: Callable[[S3Client], T], *, wait: float | None = None) -> T:
        """The result of `call`, made up to `max_attempts` times.

        `wait` is how long the store may take for its next bytes, in seconds; None: `read_timeout`. Raises
        StoreAnswer where the store says no, DependencyUnavailable, and DeadlineExceeded, after which the
        outcome is unknown.
        """
        attempt = 0
        while True:
            attempt += 1
            if time_left(math.inf) <= _DEADLINE_TOLERANCE:
                raise DeadlineExceeded("the object store was not asked before the deadline")
            try:
                with patience(self._options.read_timeout if wait is None else wait):
                    return call(self._clients.current())
            except ParamValidationError:
                raise  # a defect of ours
            except (BotoCoreError, ClientError, HTTPError) as error:
                if time_left(math.inf) <= _DEADLINE_TOLERANCE:
                    raise DeadlineExceeded("the object store did not answer before the deadline") from error
                if credentials_are_stale(error):
                    self._clients.expire()
                pause = self._jitter() * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
                if attempt >= self._options.max_attempts or not is_transient(error) or time_left(math.inf) <= pause:
                    raise translate(error, operation) from error
            self._sleep(pause)
