"""SQLite has one writer: those of this process queue for their turn, and not on SQLite's own busy handler."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledgerlift_server.adapters.sql.sqlite import SqliteFlavour


def test_one_writer_at_a_time() -> None:
    """Eight threads, and never two of them inside."""
    flavour = SqliteFlavour(lock_timeout=30.0)
    inside: list[int] = []
    most: list[int] = []

    def write(number: int) -> None:
        with flavour.attempt(write=True, limit=30.0):
            inside.append(number)
            most.append(len(inside))
            threading.Event().wait(0.001)
            inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(40)))
    assert (len(most), max(most)) == (40, 1)


@pytest.mark.parametrize(("lock_timeout", "limit"), [(0.02, 30.0), (30.0, 0.02)])
def test_a_turn_that_does_not_come(lock_timeout: float, limit: float) -> None:
    """The nearer of both limits ends the wait; readers do not wait at all, and the turn comes once it is free."""
    flavour = SqliteFlavour(lock_timeout)
    with flavour.attempt(write=True, limit=30.0):
        with pytest.raises(TimeoutError), flavour.attempt(write=True, limit=limit):
            pass
        with flavour.attempt(write=False, limit=limit):
            pass
    with flavour.attempt(write=True, limit=limit):
        pass
