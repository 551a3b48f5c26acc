"""`resilience/call_statistics.py`: what operators are told of the calls to a dependency."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ledgerlift_server.resilience.call_statistics import BOUNDS, CallStatistics


def test_it_tells_what_was_recorded() -> None:
    """Count, failures, times and bytes, for each kind of call, in the order of their names."""
    statistics = CallStatistics()
    statistics.record("part.put", 0.2, failed=False, size=100)
    statistics.record("part.put", 0.4, failed=True)
    statistics.record("object.read", 2.0, failed=False, size=7)
    read, put = statistics.snapshot()
    assert (read.operation, read.calls, read.failures, read.size) == ("object.read", 1, 0, 7)
    assert (put.operation, put.calls, put.failures, put.size) == ("part.put", 2, 1, 100)
    assert (round(put.total_seconds, 6), put.max_seconds) == (0.6, 0.4)


def test_a_call_is_in_the_bucket_of_its_time() -> None:
    """A bucket takes what is longer than the one before, up to its own bound; the last one takes the rest."""
    statistics = CallStatistics()
    for seconds in (0.0, *BOUNDS, 31.0, 3600.0):
        statistics.record("ping", seconds, failed=False)
    (ping,) = statistics.snapshot()
    assert ping.buckets == ((BOUNDS[0], 2), *((bound, 1) for bound in BOUNDS[1:]), (None, 2))


def test_no_call_is_lost_between_threads() -> None:
    """Eight threads that record at once are all counted."""
    statistics = CallStatistics()

    def record(number: int) -> None:
        for _ in range(2000):
            statistics.record("ping", 0.001, failed=bool(number % 2), size=3)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(record, range(8)))
    (ping,) = statistics.snapshot()
    assert (ping.calls, ping.failures, ping.size) == (16_000, 8_000, 48_000)
