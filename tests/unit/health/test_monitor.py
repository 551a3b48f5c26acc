"""`health/monitor.py`: when it looks, what it makes of what it sees, and that it waits for nobody too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.domain.models import Count
from ledgerlift_server.errors import CircuitOpen, DeadlineExceeded, DependencyUnavailable, LedgerLiftError, Overloaded
from ledgerlift_server.health.board import HealthBoard
from ledgerlift_server.health.component import SOON, UNREACHABLE_PAUSE, Component, HealthStatus
from ledgerlift_server.health.monitor import DEFECT, Monitor, MonitorOptions, Watched
from ledgerlift_server.health.resources import MachineResources, SystemResources, Thresholds
from ledgerlift_server.resilience.breaker import BreakerOptions, BreakerState, CallRefused, CircuitBreaker, Outcome
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.resilience.deadline import current_deadline

from tests.support.captured_log import Entries
from tests.support.loop_clock import LoopClock, turns, until

INTERVAL = 30.0
QUIET = SystemResources(1.0, 1.0, 1.0, 1, 1, 1)


class Answering:
    """A dependency that answers, or fails with `failure`, behind a breaker of its own as the real ones are."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        """It is well."""
        self.component = Component(name)
        self.breaker = CircuitBreaker(
            name, BreakerOptions(failure_threshold=3, recovery_timeout=60.0, jitter=0.0), clock=clock
        )
        self.failure: Exception | None = None
        self.pings = 0
        self.time_left: float | None = None

    async def ping(self) -> None:
        """One look."""
        self.pings += 1
        deadline = current_deadline()
        self.time_left = None if deadline is None else deadline.remaining()
        try:
            permit = self.breaker.acquire()
        except CallRefused as refused:
            raise CircuitOpen("not asked for a while", retry_after=refused.retry_after) from None
        permit.end(Outcome.FAILURE if isinstance(self.failure, DependencyUnavailable) else Outcome.SUCCESS)
        if self.failure is not None:
            raise self.failure

    def open_breaker(self) -> None:
        """As calls do that fail; on a thread, where calls are."""

        def fail() -> None:
            for _ in range(3):
                self.breaker.acquire().end(Outcome.FAILURE)

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        assert self.breaker.snapshot().state is BreakerState.OPEN

    @property
    def watched(self) -> Watched:
        """For the monitor."""
        return Watched(self.component, self.ping, self.breaker)


class Rig:
    """A monitor over two dependencies, a machine and a number of documents, all of which a test can change."""

    def __init__(self, **options: Any) -> None:
        """Made in the loop; nothing was looked at yet."""
        self.clock = LoopClock()
        self.database, self.storage = Answering("database", self.clock), Answering("storage", self.clock)
        self.board = HealthBoard([], ["database", "storage"])
        self.board.open()
        self.resources: SystemResources | Exception = QUIET
        self.measured = self.counted = 0
        self.counting_takes = 0.0
        self.count_failure: LedgerLiftError | None = None
        self.monitor = Monitor(
            self.board,
            [self.database.watched, self.storage.watched],
            self._measure,
            self._count,
            MonitorOptions(interval=INTERVAL, **options),
            clock=self.clock,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Refreshed once, as at the start of a server, and then running."""
        await self.monitor.refresh()
        task = asyncio.create_task(self.monitor.run())
        await turns()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

    @property
    def ready(self) -> bool:
        """What `readiness` says."""
        return self.board.statuses["readiness"]

    async def _measure(self) -> SystemResources:
        self.measured += 1
        if isinstance(self.resources, Exception):
            raise self.resources
        return self.resources

    async def _count(self) -> Count:
        self.counted += 1
        if self.counting_takes:
            await self.clock.advance(self.counting_takes)
        if self.count_failure is not None:
            raise self.count_failure
        return Count(self.counted, 1000)


async def test_the_first_look_tells_the_board() -> None:
    """Ready once everything was found well, not before."""
    rig = Rig()
    assert not rig.ready
    await rig.monitor.refresh()
    assert rig.ready
    assert rig.board.statuses["system"]
    assert rig.database.component.health.status is HealthStatus.HEALTHY


async def test_it_looks_again_every_interval() -> None:
    """Not sooner, and every component."""
    rig = Rig()
    async with rig.running():
        await rig.clock.advance(INTERVAL - 1)
        assert (rig.database.pings, rig.storage.pings, rig.measured) == (1, 1, 1)
        await rig.clock.advance(1)
        assert (rig.database.pings, rig.storage.pings, rig.measured) == (2, 2, 2)


async def test_a_ping_has_a_deadline_of_its_own() -> None:
    """Short, and the same for whoever runs the monitor."""
    rig = Rig(check_timeout=2.0)
    await rig.monitor.refresh()
    assert rig.database.time_left == pytest.approx(2.0, abs=0.5)


async def test_one_lost_ping_is_asked_again_soon_and_flips_nothing() -> None:
    """The second attempt comes after a moment, not after the interval."""
    rig = Rig()
    async with rig.running():
        rig.database.failure = DeadlineExceeded("no answer")
        await rig.clock.advance(INTERVAL)
        assert rig.database.pings == 2
        assert rig.ready
        rig.database.failure = None
        await rig.clock.advance(SOON)
        assert rig.database.pings == 3
        assert rig.ready
        assert rig.database.component.health.status is HealthStatus.HEALTHY


async def test_two_lost_pings_take_readiness_and_one_answer_brings_it_back(log: Entries) -> None:
    """Noticed within seconds, both ways, and logged once each."""
    rig = Rig()
    async with rig.running():
        rig.database.failure = DeadlineExceeded("no answer")
        await rig.clock.advance(INTERVAL)
        await rig.clock.advance(SOON)
        assert not rig.ready
        assert not rig.board.statuses["database"]
        assert rig.board.statuses["storage"]
        await rig.clock.advance(UNREACHABLE_PAUSE)
        assert not rig.ready
        rig.database.failure = None
        await rig.clock.advance(UNREACHABLE_PAUSE)
        assert rig.ready
    changes = [entry for entry in log() if entry["event"].startswith("dependency_")]
    assert [(entry["event"], entry["dependency"], entry["cause"]) for entry in changes] == [
        ("dependency_unreachable", "database", "no answer"),
        ("dependency_reachable", "database", ""),
    ]


async def test_a_breaker_that_opens_is_heard_at_once() -> None:
    """From whichever thread: no interval is waited for, and no second failure."""
    rig = Rig()
    async with rig.running():
        rig.storage.open_breaker()
        await until(lambda: not rig.ready)
        assert not rig.board.statuses["s3"]
        assert rig.storage.component.health.status is HealthStatus.UNHEALTHY
        assert rig.database.pings == 1


async def test_its_pings_close_the_breaker_of_a_server_that_nobody_calls() -> None:
    """Readiness sent everybody away: the pings are the probes. It is ready with the first that is answered."""
    rig = Rig()
    async with rig.running():
        rig.database.open_breaker()
        await until(lambda: not rig.ready)
        for _ in range(11):  # the breaker's minute, but for a few seconds
            await rig.clock.advance(UNREACHABLE_PAUSE)
        assert not rig.ready
        await rig.clock.advance(UNREACHABLE_PAUSE)
        assert rig.ready
        for _ in range(2):
            await rig.clock.advance(SOON)
        assert rig.database.breaker.snapshot().state is BreakerState.CLOSED
        assert rig.ready


async def test_a_half_open_breaker_whose_probes_are_out_flips_nothing() -> None:
    """Callers probe already; what they find out is not known yet."""
    rig = Rig()
    async with rig.running():
        rig.database.open_breaker()
        await until(lambda: not rig.ready)
        for _ in range(12):
            await rig.clock.advance(UNREACHABLE_PAUSE)
        assert rig.ready
        assert rig.database.breaker.snapshot().state is BreakerState.HALF_OPEN
        probes = [rig.database.breaker.acquire() for _ in range(3)]
        await rig.clock.advance(SOON)
        assert rig.ready
        assert rig.database.component.health.message == "not asked for a while"
        for probe in probes:
            probe.end(Outcome.NEUTRAL)


async def test_a_server_with_all_threads_busy_keeps_its_database() -> None:
    """No thread came free: that is load, and to lose readiness by it would send the load to fewer servers."""
    rig = Rig()
    async with rig.running():
        rig.database.failure = Overloaded("no connection free")
        await rig.clock.advance(INTERVAL)
        for _ in range(5):
            await rig.clock.advance(SOON)
        assert rig.database.pings >= 5
        assert rig.ready
        assert rig.database.component.health.status is HealthStatus.DEGRADED


async def test_a_check_that_is_broken_is_a_failure_and_no_secret_is_told(log: Entries) -> None:
    """An exception that nobody foresaw: its text goes to the log, the report says that there is one."""
    rig = Rig()
    rig.storage.failure = RuntimeError("password=hunter2")
    await rig.monitor.refresh()
    assert rig.storage.component.health.message == DEFECT
    assert "hunter2" in next(entry for entry in log() if entry["event"] == "health_check_broken")["exception"]


async def test_high_resources_are_issues_and_system_is_not_well() -> None:
    """By the thresholds that were set; gone with their cause."""
    rig = Rig(thresholds=Thresholds(cpu_percent=50.0))
    async with rig.running():
        rig.resources = SystemResources(60.0, 1.0, 95.0, 1, 1, 1)
        await rig.clock.advance(INTERVAL)
        assert rig.monitor.issues == ("high_cpu", "high_disk")
        assert not rig.board.statuses["system"]
        assert rig.ready
        rig.resources = QUIET
        await rig.clock.advance(INTERVAL)
        assert rig.monitor.issues == ()
        assert rig.board.statuses["system"]


async def test_a_machine_that_cannot_be_measured_is_not_called_well(log: Entries) -> None:
    """Old figures are not told as if they were new."""
    rig = Rig()
    async with rig.running():
        rig.resources = OSError(5, "Input/output error")
        await rig.clock.advance(INTERVAL)
        assert rig.monitor.resources is None
        assert not rig.board.statuses["system"]
        rig.resources = QUIET
        await rig.clock.advance(INTERVAL)
        assert rig.board.statuses["system"]
    assert [entry["level"] for entry in log() if entry["event"] == "machine_not_measured"] == ["warning"]


async def test_a_disk_that_hangs_holds_nothing_but_its_own_figures(tmp_path: Path) -> None:
    """The look at the machine ends with its deadline; the dependencies are looked at beside it."""
    rig, hangs = Rig(check_timeout=0.2), threading.Event()
    threads = Bulkhead("system", 1, max_wait=0.0)
    machine = MachineResources(tmp_path)

    def measure() -> SystemResources:
        hangs.wait(30)
        return machine.measure()

    rig.monitor._measure = lambda: threads.run(measure)
    try:
        await rig.monitor.refresh()
        assert rig.monitor.resources is None
        assert rig.ready
        await rig.monitor.refresh()  # the thread hangs still: no second one is begun
        assert rig.monitor.resources is None
        hangs.set()
        await until(lambda: threads.running == 0)
        await rig.monitor.refresh()
        assert rig.monitor.resources is not None
    finally:
        hangs.set()
        threads.close()


async def test_documents_are_counted_seldom() -> None:
    """At the start, and then every five minutes."""
    rig = Rig()
    async with rig.running():
        assert rig.monitor.totals == Count(1, 1000)
        await rig.clock.advance(299)
        assert rig.counted == 1
        await rig.clock.advance(1)
        assert rig.monitor.totals == Count(2, 1000)


async def test_a_count_that_takes_long_is_made_more_seldom() -> None:
    """At most a hundredth of the time is spent on it, however many documents there are."""
    rig = Rig()
    rig.counting_takes = 8.0
    async with rig.running():
        await until(lambda: rig.monitor.totals.documents == 1)
        await rig.clock.advance(790)
        assert rig.counted == 1
        await rig.clock.advance(10)
        await until(lambda: rig.counted == 2)


async def test_a_count_that_fails_leaves_the_last_one() -> None:
    """And is tried again, and does not end the monitor."""
    rig = Rig()
    async with rig.running():
        rig.count_failure = DependencyUnavailable("down")
        await rig.clock.advance(300)
        assert (rig.counted, rig.monitor.totals) == (2, Count(1, 1000))
        rig.count_failure = None
        await rig.clock.advance(300)
        assert rig.monitor.totals == Count(3, 1000)


async def test_a_breaker_outlives_the_loop_without_a_word(log: Entries) -> None:
    """A thread that ends after the server tells a loop that is gone; nobody is to find that in the log."""
    made: list[CircuitBreaker] = []

    async def serve() -> None:
        made.append(Rig().database.breaker)

    await asyncio.to_thread(asyncio.run, serve())
    made[0].acquire().end(Outcome.FAILURE)
    for _ in range(2):
        made[0].acquire().end(Outcome.FAILURE)
    assert made[0].snapshot().state is BreakerState.OPEN
    assert [entry for entry in log() if entry["event"] == "breaker_listener_failed"] == []
