"""`adapters/dependency.py`: what its breaker and its statistics are told of a call, whatever becomes of the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from ledgerlift_server.adapters.dependency import SLOWEST_TRANSFER, Dependency
from ledgerlift_server.domain.store_port import NoSuchObject
from ledgerlift_server.errors import (
    CircuitOpen,
    DeadlineExceeded,
    DependencyUnavailable,
    Draining,
    Overloaded,
)
from ledgerlift_server.resilience.breaker import BreakerOptions, BreakerState, CircuitBreaker, Outcome
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.resilience.deadline import deadline_scope

from tests.support.loop_clock import LoopClock, turns, until

OPTIONS = BreakerOptions(failure_threshold=2, jitter=0.0)
OWN_TIMEOUT = 5.0


class Storage:
    """A dependency with all its parts, on a clock that the test can put forward."""

    def __init__(self, threads: int, options: BreakerOptions = OPTIONS) -> None:
        """`threads` of its bulkhead."""
        self.clock = LoopClock()
        self.bulkhead = Bulkhead("storage", threads, max_wait=5.0)
        self.breaker = CircuitBreaker("storage", options, clock=self.clock)
        self.door = Dependency("storage", self.bulkhead, self.breaker, own_timeout=OWN_TIMEOUT, clock=self.clock)
        self.statistics = self.door.statistics

    async def fail(self, times: int) -> None:
        """Calls that fail, one after the other."""
        for _ in range(times):
            with pytest.raises(DependencyUnavailable):
                await self.door.call("ping", down)

    @property
    def state(self) -> BreakerState:
        """Of its breaker."""
        return self.breaker.snapshot().state


def down() -> None:
    """A dependency that is down."""
    raise DependencyUnavailable("the storage is down")


@pytest.fixture
def storage() -> Iterator[Callable[..., Storage]]:
    """Makes dependencies and closes them."""
    made: list[Storage] = []

    def make(threads: int = 1, options: BreakerOptions = OPTIONS) -> Storage:
        made.append(Storage(threads, options))
        return made[-1]

    yield make
    for one in made:
        one.bulkhead.close()


class Hang:
    """Work that goes on until the test lets it. `inside` counts the threads that are at it."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.inside = 0

    def wait(self) -> None:
        """Hang."""
        with self._lock:
            self.inside += 1
        self._over.wait(60)

    def end(self) -> None:
        """Let everybody go, for good."""
        self._over.set()


@pytest.fixture
def hang() -> Iterator[Hang]:
    """Ended at the end."""
    made = Hang()
    yield made
    made.end()


async def test_eight_slow_calls_run_side_by_side_through_a_closed_breaker(storage: Callable[..., Storage]) -> None:
    """The breaker makes no call wait for another: each of eight goes on only when all of them are under way."""
    eight, together = storage(8), threading.Barrier(8)
    await asyncio.gather(*(eight.door.call("ping", together.wait, 60) for _ in range(8)))
    assert eight.breaker.snapshot().window_calls == 8


async def test_failures_open_it_and_nothing_is_asked(storage: Callable[..., Storage]) -> None:
    """A call that is refused by the breaker never reaches a thread, and its caller knows when to come again."""
    one, ran = storage(), list[int]()
    await one.fail(2)
    with pytest.raises(CircuitOpen, match="storage") as refused:
        await one.door.call("ping", ran.append, 1)
    assert refused.value.retry_after == pytest.approx(60.0, abs=5.0)
    assert ran == []
    await one.clock.advance(60.0)
    for _ in range(3):
        await one.door.call("ping", ran.append, 1)
    assert one.state is BreakerState.CLOSED
    assert ran == [1, 1, 1]


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (DependencyUnavailable("down"), True),
        (DependencyUnavailable("the bucket is not there", answered=True), False),
        (NoSuchObject("gone"), False),
        (Draining("a refusal of ours"), False),
        (DeadlineExceeded("a caller in a hurry"), False),
        (Overloaded("too many writers"), False),
        (KeyError("a defect"), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_only_what_failed_counts(storage: Callable[..., Storage], error: Exception, opens: bool) -> None:
    """What answered, if with a refusal, is up; callers in a hurry and defects of ours say nothing."""
    one = storage()

    def fail() -> None:
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            await one.door.call("ping", fail)
    assert (one.state is BreakerState.OPEN) is opens


@pytest.mark.parametrize(
    ("error", "ended_the_row"),
    [
        (DependencyUnavailable("the bucket is not there", answered=True), True),
        (NoSuchObject("gone"), True),
        (Overloaded("too many writers"), False),
        (KeyError("a defect"), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_answer_ends_a_row_of_failures(
    storage: Callable[..., Storage], error: Exception, ended_the_row: bool
) -> None:
    """A store that says no is a store that answers; what says nothing leaves the row as it is."""
    one = storage()

    def fail() -> None:
        raise error

    await one.fail(1)
    with pytest.raises(type(error)):
        await one.door.call("ping", fail)
    assert one.breaker.snapshot().consecutive_failures == (0 if ended_the_row else 1)


async def test_a_dependency_that_hangs_until_the_deadline_opens_it(
    storage: Callable[..., Storage], hang: Hang
) -> None:
    """Callers wait for longer than it may take, and are told at their deadline; its threads need not come back."""
    two = storage(2)
    with deadline_scope(two.clock.deadline(OWN_TIMEOUT + 1)):
        calls = [asyncio.create_task(two.door.call("ping", hang.wait)) for _ in range(2)]
    await until(lambda: hang.inside == 2)
    await two.clock.advance(OWN_TIMEOUT + 1.1)
    assert [type(error) for error in await asyncio.gather(*calls, return_exceptions=True)] == [DeadlineExceeded] * 2
    assert two.state is BreakerState.OPEN
    assert two.bulkhead.running == 2
    hang.end()
    await until(lambda: two.bulkhead.running == 0)
    assert two.state is BreakerState.OPEN


async def test_a_call_that_notices_its_deadline_itself_is_judged_by_its_time(storage: Callable[..., Storage]) -> None:
    """Drivers' timeouts end with the caller's deadline: behind what the dependency may take, it has failed."""
    one = storage()

    def time_out(seconds: float) -> None:
        one.clock.put_forward(seconds)
        raise DeadlineExceeded("no answer in time")

    for seconds, failures in ((OWN_TIMEOUT - 1, 0), (OWN_TIMEOUT, 1)):
        with pytest.raises(DeadlineExceeded):
            await one.door.call("ping", time_out, seconds)
        assert one.breaker.snapshot().consecutive_failures == failures


async def test_what_its_caller_left_before_it_began_never_begins(storage: Callable[..., Storage], hang: Hang) -> None:
    """Its permit is another's already."""
    one, ran = storage(), list[int]()
    one.bulkhead._threads.submit(hang.wait)  # a thread that is slow to come back from the call before
    call = asyncio.create_task(one.door.call("ping", ran.append, 1))
    await until(lambda: one.bulkhead.running == 1)
    call.cancel()
    await asyncio.wait({call})
    hang.end()
    await until(lambda: one.bulkhead.running == 0)
    assert ran == []


async def test_callers_in_a_hurry_do_not_open_it(storage: Callable[..., Storage], hang: Hang) -> None:
    """A deadline shorter than what the dependency may take is the caller's affair."""
    two = storage(2)
    with deadline_scope(two.clock.deadline(1.0)):
        calls = [asyncio.create_task(two.door.call("ping", hang.wait)) for _ in range(2)]
    await until(lambda: hang.inside == 2)
    await two.clock.advance(1.1)
    await asyncio.gather(*calls, return_exceptions=True)
    hang.end()
    await until(lambda: two.bulkhead.running == 0)
    assert two.breaker.snapshot().consecutive_failures == 0


async def test_a_call_that_its_caller_left_is_told_when_it_ends(storage: Callable[..., Storage], hang: Hang) -> None:
    """An impatient caller's call still shows, when its thread comes back, that the dependency is down."""
    one = storage()

    def fail_late() -> None:
        hang.wait()
        down()

    with deadline_scope(one.clock.deadline(1.0)):
        call = asyncio.create_task(one.door.call("ping", fail_late))
    await until(lambda: hang.inside == 1)
    await one.clock.advance(1.1)
    with pytest.raises(DeadlineExceeded):
        await call
    assert one.breaker.snapshot().consecutive_failures == 0
    hang.end()
    await until(lambda: one.breaker.snapshot().consecutive_failures == 1)
    (ping,) = one.statistics.snapshot()
    assert (ping.calls, ping.failures) == (1, 1)


async def half_open(one: Storage) -> None:
    """Open it, and let its time pass: the next three calls are probes."""
    await one.fail(2)
    await one.clock.advance(60.0)


async def test_a_probe_that_is_cancelled_in_the_queue_frees_its_permit(
    storage: Callable[..., Storage], hang: Hang
) -> None:
    """It never began; another takes its place at once."""
    one = storage(1)
    await half_open(one)
    running = asyncio.create_task(one.door.call("ping", hang.wait))
    await until(lambda: hang.inside == 1)
    queued = [asyncio.create_task(one.door.call("ping", int)) for _ in range(2)]
    await turns()
    assert one.breaker.refusal() is not None
    queued[0].cancel()
    await asyncio.wait({queued[0]})
    assert one.breaker.refusal() is None
    hang.end()
    await asyncio.gather(running, queued[1])


async def test_a_probe_that_finds_no_thread_frees_its_permit(storage: Callable[..., Storage], hang: Hang) -> None:
    """Where old calls fill the bulkhead, probes are told so, and leave the breaker as it is."""
    one = storage(1)
    old = asyncio.create_task(one.door.check("ping", hang.wait))
    await until(lambda: hang.inside == 1)
    for _ in range(2):
        one.breaker.acquire().end(Outcome.FAILURE)
    await one.clock.advance(60.0)
    probe = asyncio.create_task(one.door.call("ping", int))
    await turns()
    await one.clock.advance(5.1)
    with pytest.raises(Overloaded):
        await probe
    assert one.state is BreakerState.HALF_OPEN
    assert one.breaker.snapshot().opened_count == 1
    for _ in range(3):
        one.breaker.acquire()
    hang.end()
    await old


async def test_a_probe_that_is_cancelled_on_its_thread_settles_when_the_thread_ends(
    storage: Callable[..., Storage], hang: Hang
) -> None:
    """What a thread has begun it ends: only then is there room for another probe."""
    three = storage(3)
    await half_open(three)
    probes = [asyncio.create_task(three.door.call("ping", hang.wait)) for _ in range(3)]
    await until(lambda: hang.inside == 3)
    for probe in probes:
        probe.cancel()
    await asyncio.wait(probes)
    assert three.breaker.refusal() is not None
    hang.end()
    await until(lambda: three.state is BreakerState.CLOSED)


async def test_what_queues_when_it_opens_is_refused(storage: Callable[..., Storage], hang: Hang) -> None:
    """Calls that were let through and wait for a thread do not go to a dependency that is known to be down."""
    one, ran = storage(), list[int]()

    def fail_late() -> None:
        hang.wait()
        down()

    await one.fail(1)
    failing = asyncio.create_task(one.door.call("ping", fail_late))
    await until(lambda: hang.inside == 1)
    queued = [asyncio.create_task(one.door.call("ping", ran.append, 1)) for _ in range(3)]
    await turns()
    hang.end()
    with pytest.raises(DependencyUnavailable):
        await failing
    assert [type(error) for error in await asyncio.gather(*queued, return_exceptions=True)] == [CircuitOpen] * 3
    assert ran == []


async def test_a_check_passes_whatever_the_breaker_says(storage: Callable[..., Storage]) -> None:
    """A start asks what is down again and again, and a breaker it would have opened does not make it wait after."""
    one = storage()
    for _ in range(5):
        with pytest.raises(DependencyUnavailable):
            await one.door.check("ping", down)
    assert one.state is BreakerState.CLOSED
    await one.fail(2)
    assert await one.door.check("ping", divmod, 7, 2) == (3, 1)
    assert one.state is BreakerState.OPEN


async def test_a_slow_link_with_many_bytes_is_no_slow_store(storage: Callable[..., Storage]) -> None:
    """The time that a part's bytes take on a poor link is allowed for; the same time for no bytes is slow."""
    one = storage(options=replace(OPTIONS, slow_call=5.0))
    part = 8 * 1024 * 1024

    def take(seconds: float) -> None:
        one.clock.put_forward(seconds)

    await one.door.call("part.put", take, part / SLOWEST_TRANSFER + 4.0, size=part)
    assert one.breaker.snapshot().window_slow == 0
    await one.door.call("part.put", take, part / SLOWEST_TRANSFER + 5.1, size=part)
    assert one.breaker.snapshot().window_slow == 1
    await one.door.call("ping", take, 5.1)
    assert one.breaker.snapshot().window_slow == 2


async def test_calls_are_counted_by_their_operation(storage: Callable[..., Storage]) -> None:
    """Bytes are those that were carried: of a read what came back, of a failed call none."""
    one = storage()
    await one.door.call("object.read", bytes, 100, size=1000)
    await one.door.call("part.put", int, size=1000)
    with pytest.raises(NoSuchObject):
        await one.door.call("object.stat", raise_, NoSuchObject("gone"))
    with pytest.raises(DependencyUnavailable):
        await one.door.call("part.put", down, size=1000)
    counted = {it.operation: (it.calls, it.failures, it.size) for it in one.statistics.snapshot()}
    assert counted == {"object.read": (1, 0, 100), "object.stat": (1, 0, 0), "part.put": (2, 1, 1000)}


def raise_(error: Exception) -> None:
    """Fail with it."""
    raise error
