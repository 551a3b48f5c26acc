"""How a stream ends that is not let to its end: stalls, deadlines, drains, clients that leave, full memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.answer_time import AnswerTime
from ledgerlift_server.domain.upload_models import UploadState
from ledgerlift_server.domain.upload_stream import Committed, Stopped, StopReason
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

from tests.support.clock import ManualClock
from tests.support.domain_objects import spec
from tests.support.loop_clock import turns, until
from tests.support.upload_calls import begin
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Gate,
    Replica,
    Script,
    UploadRig,
    content,
    message,
    stream,
)

MANY = 10
"""Parts: more than may be on their way at once."""


async def stopped(running: asyncio.Task[Committed | Stopped], reason: StopReason, durable: int) -> Stopped:
    """The outcome of a call that did not commit."""
    outcome = await running
    assert isinstance(outcome, Stopped)
    assert (outcome.reason, outcome.session.persisted_size) == (reason, durable)
    return outcome


async def waiting(source: Script) -> None:
    """Until the server has taken everything in and waits for more."""
    await until(lambda: source.waiting)


# Stalls


async def test_a_stalled_stream_is_ended_with_its_durable_size(rig: UploadRig, replica: Replica) -> None:
    """Thirty seconds without a message."""
    source = Script(*stream(content(2 * PART + 9), to=spec(), finish=False))
    running = begin(replica, source)
    await waiting(source)
    await rig.durable(2 * PART)
    await rig.clock.advance(15.0)
    assert not running.done()
    await rig.clock.advance(15.1)
    await stopped(running, StopReason.STALLED, 2 * PART)


async def test_every_message_winds_the_stall_clock_up_again(rig: UploadRig, replica: Replica) -> None:
    """A slow transfer that moves has no total limit."""
    source = Script(message(to=spec()))
    running = begin(replica, source)
    for _ in range(5):
        await waiting(source)
        await rig.clock.advance(15.0)
        source.send(message(b"x"))
    await waiting(source)
    source.send(message(finish=True))
    assert isinstance(await running, Committed)


async def test_the_stall_clock_stands_while_the_server_itself_is_slow(rig: UploadRig, replica: Replica) -> None:
    """Waiting for the store is not the client's fault."""
    gate = replica.store.before["put_part"] = Gate()
    source = Script(*stream(content(MANY * PART), to=spec(), finish=False))
    running = begin(replica, source)
    await until(lambda: gate.arrived == OPTIONS.parts_in_flight)
    await rig.clock.advance(120.0)
    assert not running.done()
    gate.open()
    source.send(message(finish=True))
    assert isinstance(await running, Committed)


async def test_no_first_message_is_a_stall_too(rig: UploadRig, replica: Replica) -> None:
    """The clock runs from the very start."""
    running = begin(replica, Script())
    await turns()
    await rig.clock.advance(30.1)
    with pytest.raises(errors.UploadStalled, match="30 s"):
        await running


# Deadlines


async def test_near_its_deadline_a_stream_is_answered_with_what_is_durable(rig: UploadRig) -> None:
    """A margin before, so that the answer still arrives."""
    replica = rig.replica(replace(OPTIONS, stall_timeout=10_000.0, deadline_margin=100.0))
    source = Script(*stream(content(2 * PART + 9), to=spec(), finish=False))
    with deadline_scope(rig.clock.deadline(1000.0)):
        running = begin(replica, source)
    await waiting(source)
    await rig.durable(2 * PART)
    await rig.clock.advance(850.0)
    assert not running.done()
    await rig.clock.advance(51.0)
    await stopped(running, StopReason.DEADLINE, 2 * PART)


async def test_the_nearer_of_stall_and_deadline_is_told(rig: UploadRig, replica: Replica) -> None:
    """Whether the client or its deadline was to blame makes a difference to who reads it."""
    source = Script(*stream(content(PART), to=spec(), finish=False))
    with deadline_scope(rig.clock.deadline(100.0)):
        running = begin(replica, source)
    await waiting(source)
    await rig.durable(PART)
    await rig.clock.advance(30.1)
    await stopped(running, StopReason.STALLED, PART)


async def test_a_short_call_is_not_spent_on_its_answer(rig: UploadRig) -> None:
    """The margin is a share of it, so that a small document can be sent under a deadline below the usual margin."""
    replica = rig.replica(replace(OPTIONS, deadline_margin=20.0))
    source = Script(message(to=spec()))
    with deadline_scope(rig.clock.deadline(19.0)):
        running = begin(replica, source)
    await waiting(source)
    source.send(message(b"x", finish=True))
    assert isinstance(await running, Committed)


async def test_a_late_first_message_under_a_deadline(rig: UploadRig, replica: Replica) -> None:
    """Told as the deadline that it is, before the client's own strikes."""
    with deadline_scope(rig.clock.deadline(10.0)):
        running = begin(replica, Script())
    await turns()
    await rig.clock.advance(8.1)
    with pytest.raises(errors.UploadDeadline):
        await running


async def test_waiting_for_the_store_does_not_outlast_the_deadline(rig: UploadRig) -> None:
    """A store that hangs: the client is still told what is durable, in time, and the late parts are not lost."""
    replica = rig.replica(replace(OPTIONS, deadline_margin=100.0, settle_timeout=1000.0))
    gate = replica.store.before["put_part"] = Gate(lambda _name, _id, number, _body: number > 2)
    source = Script(*stream(content(MANY * PART), to=spec(), finish=False))
    with deadline_scope(rig.clock.deadline(1000.0)):
        running = begin(replica, source)
    await until(lambda: gate.arrived == OPTIONS.parts_in_flight and replica.ledger.done["record_parts"] > 0)
    await rig.durable(2 * PART)
    await rig.clock.advance(901.0)
    assert not running.done(), "it waits for the parts on their way a little longer"
    await rig.clock.advance(50.0)
    await stopped(running, StopReason.DEADLINE, 2 * PART)
    gate.open()
    await until(lambda: replica.budget.used == 0)
    await rig.durable(6 * PART)  # those on their way, and the one that was whole and waited for its turn


async def test_a_commit_that_takes_longer_than_the_call_goes_on(rig: UploadRig, replica: Replica) -> None:
    """The client is told to ask GetUpload, which has the document later."""
    gate = replica.store.before["put"] = Gate()
    data = content(100)
    with deadline_scope(rig.clock.deadline(10.0)):
        running = begin(replica, Script(*stream(data, to=spec())))
    await until(lambda: gate.arrived == 1)
    await rig.clock.advance(8.1)
    with pytest.raises(errors.UploadCommitting):
        await running
    gate.open()
    await replica.committer.close()
    session = await rig.session()
    assert session.state is UploadState.COMMITTED
    (document,) = await rig.all_documents()
    await rig.check_whole(document, data)


def test_the_margin_is_the_same_for_every_wait_of_a_call() -> None:
    """Stop, then answer, then the deadline; without a deadline no limit."""

    clock = ManualClock(0.0)
    with deadline_scope(Deadline.after(100.0, clock=clock)):
        long = AnswerTime(2.0)
    with deadline_scope(Deadline.after(1.0, clock=clock)):
        short = AnswerTime(2.0)
    assert (long.to_stop(), long.to_answer()) == (98.0, 99.0)
    assert (short.to_stop(), short.to_answer()) == (0.8, 0.9)
    clock.advance(99.5)
    assert (long.to_stop(), long.to_answer()) == (0.0, 0.0)
    assert (AnswerTime(2.0).to_stop(), AnswerTime(2.0).to_answer()) == (None, None)


# Drains


async def test_a_drain_answers_running_streams_at_once(rig: UploadRig, replica: Replica) -> None:
    """With what is durable; the client goes on elsewhere."""
    data = content(2 * PART + 9)
    source = Script(*stream(data, to=spec(), finish=False))
    running = begin(replica, source)
    await waiting(source)
    replica.entry.drain()
    left = await stopped(running, StopReason.DRAINING, 2 * PART)
    elsewhere = rig.replica()
    done = await elsewhere.run(*stream(data[2 * PART :], to=left.session.upload_id))
    assert isinstance(done, Committed)
    await rig.check_whole(done.document, data)


async def test_a_drain_is_heard_while_the_stream_waits_for_memory(rig: UploadRig) -> None:
    """Not only between two messages."""
    replica = rig.replica(replace(OPTIONS, memory_budget=PART))
    taken = await replica.budget.take(PART)
    blocked = begin(replica, Script(message(content(5), to=spec())))
    await until(lambda: replica.budget.waiting == 1)
    replica.entry.drain()
    await stopped(blocked, StopReason.DRAINING, 0)
    replica.budget.give_back(taken)


async def test_a_drain_is_heard_while_the_stream_waits_for_the_store(rig: UploadRig, replica: Replica) -> None:
    """A store that hangs does not hold the drain up for longer than the settling may take."""
    gate = replica.store.before["put_part"] = Gate()
    blocked = begin(replica, Script(*stream(content(MANY * PART), to=spec())))
    await until(lambda: gate.arrived == OPTIONS.parts_in_flight)
    await turns()
    replica.entry.drain()
    await turns()
    await rig.clock.advance(OPTIONS.settle_timeout)
    await stopped(blocked, StopReason.DRAINING, 0)
    gate.open()
    await rig.durable((OPTIONS.parts_in_flight + 1) * PART)  # the part that waited for its turn was whole


async def test_the_end_of_a_segment_waits_for_all_of_it(rig: UploadRig, replica: Replica) -> None:
    """The client has sent it and wants it durable; only the deadline ends that wait."""
    gate = replica.store.before["put_part"] = Gate()
    running = begin(replica, Script(*stream(content(3 * PART), to=spec(), finish=False), None))
    await until(lambda: gate.arrived == 3)
    await turns()
    await rig.clock.advance(OPTIONS.settle_timeout * 2)
    assert not running.done()
    gate.open()
    await stopped(running, StopReason.SEGMENT_END, 3 * PART)


async def test_a_drain_waits_a_little_for_the_parts_on_their_way(rig: UploadRig, replica: Replica) -> None:
    """They need not be sent twice, but a store that hangs does not hold the drain up."""
    gate = replica.store.before["put_part"] = Gate(lambda _name, _id, number, _body: number > 1)
    source = Script(*stream(content(3 * PART), to=spec(), finish=False))
    running = begin(replica, source)
    await until(lambda: gate.arrived == 2 and replica.ledger.done["record_parts"] == 1)
    await waiting(source)
    replica.entry.drain()
    await turns()
    assert not running.done()
    await rig.clock.advance(OPTIONS.settle_timeout)
    await stopped(running, StopReason.DRAINING, PART)
    gate.open()
    await rig.durable(3 * PART)


async def test_a_draining_server_takes_no_new_streams(replica: Replica) -> None:
    """Neither those that come, nor those that have come and not said yet what they want."""
    early = begin(replica, Script())
    await turns()
    replica.entry.drain()
    with pytest.raises(errors.Draining) as refused:
        await early
    assert refused.value.retry_after is not None
    with pytest.raises(errors.Draining):
        await replica.run(*stream(content(5), to=spec()))
    assert replica.ledger.calls == []


async def test_a_stream_that_got_its_session_during_the_drain_is_ended_too(rig: UploadRig, replica: Replica) -> None:
    """The drain comes while the session is being opened."""
    gate = replica.ledger.before["open"] = Gate()
    running = begin(replica, Script(message(to=spec())))
    await until(lambda: gate.arrived == 1)
    replica.entry.drain()
    gate.open()
    await stopped(running, StopReason.DRAINING, 0)


async def test_a_commit_that_has_begun_ends_in_spite_of_the_drain(rig: UploadRig, replica: Replica) -> None:
    """The client gets its document."""
    gate = replica.store.before["put"] = Gate()
    running = begin(replica, Script(*stream(content(9), to=spec())))
    await until(lambda: gate.arrived == 1)
    replica.entry.drain()
    gate.open()
    assert isinstance(await running, Committed)


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("stall", errors.UploadStalled),
        ("deadline", errors.UploadDeadline),
        ("drain", errors.Draining),
    ],
)
async def test_without_accept_partial_no_interruption_is_ok(
    rig: UploadRig, replica: Replica, why: str, expected: type[errors.TryLater]
) -> None:
    """Each its own error, with the facts to go on with."""
    source = Script(message(content(2 * PART + 3), to=spec(), partial=False))
    with deadline_scope(rig.clock.deadline(20.0 if why == "deadline" else 1000.0)):
        running = begin(replica, source)
    await waiting(source)
    await rig.durable(2 * PART)
    if why == "drain":
        replica.entry.drain()
    await rig.clock.advance(0.0 if why == "drain" else 30.1 if why == "stall" else 18.1)
    with pytest.raises(expected) as refused:
        await running
    assert refused.value.metadata == {
        "upload_id": replica.announced[0].upload_id,
        "persisted_size": str(2 * PART),
    }
    assert refused.value.retry_after is not None


# Clients that leave


@pytest.mark.parametrize("after_turns", [0, 1, 2, 5, 20])
async def test_a_cancelled_call_loses_neither_parts_nor_memory(
    rig: UploadRig, replica: Replica, after_turns: int
) -> None:
    """Wherever the client leaves: every buffer comes back, nothing is committed, the session goes on."""
    data = content(3 * PART + 5)
    source = Script(*stream(data, to=spec(), finish=False))
    running = begin(replica, source)
    await until(lambda: len(replica.announced) == 1)
    await turns(after_turns)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(lambda: replica.budget.used == 0)
    session = await rig.nothing_committed()
    done = await replica.run(*stream(data, to=session.upload_id, offset=0))
    assert isinstance(done, Committed)
    await rig.check_whole(done.document, data)


async def test_what_was_on_its_way_when_the_client_left_becomes_durable(rig: UploadRig, replica: Replica) -> None:
    """The store has the bytes, so the ledger learns of them."""
    gate = replica.store.before["put_part"] = Gate()
    source = Script(*stream(content(3 * PART), to=spec(), finish=False))
    running = begin(replica, source)
    await until(lambda: gate.arrived == 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    gate.open()
    await rig.durable(3 * PART)


@pytest.mark.parametrize("blocked_on", ["memory", "store"])
async def test_a_client_that_leaves_a_blocked_stream_holds_nothing(rig: UploadRig, blocked_on: str) -> None:
    """Neither its place in the queue nor memory beyond what its whole parts take to become durable."""
    replica = rig.replica(replace(OPTIONS, memory_budget=PART if blocked_on == "memory" else OPTIONS.memory_budget))
    gate = replica.store.before["put_part"] = Gate()
    running = begin(replica, Script(*stream(content(MANY * PART), to=spec(), finish=False, size=MANY * PART)))
    in_flight, whole = (1, 1) if blocked_on == "memory" else (OPTIONS.parts_in_flight, OPTIONS.parts_in_flight + 1)
    await until(lambda: gate.arrived == in_flight)
    await turns()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert replica.budget.waiting == 0
    assert replica.budget.used == whole * PART
    gate.open()
    await until(lambda: replica.budget.used == 0)
    await rig.durable(whole * PART)


# Memory


async def test_without_memory_a_stream_is_told_to_come_again(rig: UploadRig) -> None:
    """After the wait, with what is durable still so."""
    replica = rig.replica(replace(OPTIONS, memory_budget=PART))
    holder = Script(message(content(5), to=spec()))
    holding = begin(replica, holder)
    await waiting(holder)
    unlucky = begin(replica, Script(message(content(5), to=spec())))
    await until(lambda: replica.budget.waiting == 1)
    await rig.clock.advance(OPTIONS.budget_wait + 0.1)
    with pytest.raises(errors.Overloaded):
        await unlucky
    holder.send(message(finish=True))
    assert isinstance(await holding, Committed)


async def test_a_stream_never_takes_more_than_its_share(rig: UploadRig, replica: Replica) -> None:
    """As many parts on their way as allowed, and one that is being filled."""
    gate = replica.store.before["put_part"] = Gate()
    running = begin(replica, Script(*stream(content(MANY * PART), to=spec())))
    await until(lambda: gate.arrived == OPTIONS.parts_in_flight)
    await turns()
    assert replica.budget.used == (OPTIONS.parts_in_flight + 1) * PART
    gate.open()
    assert isinstance(await running, Committed)
    assert replica.budget.most_used == (OPTIONS.parts_in_flight + 1) * PART


@pytest.mark.parametrize("budget", [1, 2, 3])
async def test_many_streams_share_a_small_budget_without_a_deadlock(rig: UploadRig, budget: int) -> None:
    """More streams than buffers, each with more parts than that: all of them end."""
    replica = rig.replica(replace(OPTIONS, memory_budget=budget * PART, budget_wait=60.0))
    documents = [content(4 * PART + number, seed=number) for number in range(6)]
    outcomes = await asyncio.gather(*(replica.run(*stream(data, to=spec())) for data in documents))
    for data, done in zip(documents, outcomes, strict=True):
        assert isinstance(done, Committed)
        await rig.check_whole(done.document, data)
    assert replica.budget.most_used <= budget * PART
