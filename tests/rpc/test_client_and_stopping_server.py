"""Calls that reach a server in the moment of its stop: nobody cancelled them, and nobody is told so."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ledgerlift_client import ClientOptions, LedgerLiftClient, LedgerLiftError, errors

from tests.support.server_thread import server_in_thread

pytestmark = pytest.mark.usefixtures("both_clients")

CALLERS = 12
"""Each with one call under way at all times: some have just been sent when the server stops."""
ONCE = ClientOptions(max_attempts=1)
CALL, TIMEOUT = 2.0, 30.0
"""Seconds for a call, which for so long looks for the server that is gone, and for all that the test waits for."""


def test_what_a_stopping_server_has_not_taken_is_unavailable(tmp_path: Path) -> None:
    """grpc answers CANCELLED to these (grpc#41785); to our callers it is a server that is away."""
    answered = threading.Semaphore(0)

    def call_until_it_fails(client: LedgerLiftClient) -> LedgerLiftError:
        try:
            while True:
                client.limits(timeout=CALL)
                answered.release()
        except LedgerLiftError as error:
            return error

    with ThreadPoolExecutor(CALLERS) as pool:
        with server_in_thread(tmp_path) as server:
            client = LedgerLiftClient(server.address, options=ONCE)
            ends = [pool.submit(call_until_it_fails, client) for _ in range(CALLERS)]
            for _ in range(10 * CALLERS):
                assert answered.acquire(timeout=TIMEOUT)
        told = [end.result(TIMEOUT) for end in ends]
        client.close()
    known = (errors.Unavailable, errors.DeadlineExceeded)  # the latter where a busy machine answers nobody in time
    assert [error for error in told if not isinstance(error, known)] == []
