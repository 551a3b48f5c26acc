"""Who comes back for a session that a broken call has left lets the parts of that call become durable first."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.upload_stream import Committed, Stopped, StopReason
from ledgerlift_server.resilience.deadline import deadline_scope

from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import turns, until
from tests.support.upload_rig import OPTIONS, PART, Gate, Replica, Script, UploadRig, content, message, stream

IN_FLIGHT = OPTIONS.parts_in_flight
FOR_EVER = replace(OPTIONS, settle_timeout=1000.0)
"""Whoever waits where nobody should does not come back."""
Running = asyncio.Task[Committed | Stopped]


async def on_their_way(replica: Replica, parts: int = IN_FLIGHT) -> tuple[Gate, Script, Running]:
    """A call that has brought so many parts, which the store has not acknowledged."""
    gate = replica.store.after["put_part"] = Gate()
    source = Script(*stream(content(parts * PART), to=spec(request_id="r"), finish=False, size=PART))
    running = asyncio.create_task(replica.run(source=source))
    await until(lambda: gate.arrived == min(parts, IN_FLIGHT))
    return gate, source, running


async def left(running: Running) -> None:
    """Its client is gone."""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def come_back(replica: Replica, *, by_id: bool = True) -> Running:
    """The same client's next call: the first message alone."""
    target = replica.announced[0].upload_id if by_id else spec(request_id="r")
    return asyncio.create_task(replica.run(message(to=target)))


@pytest.mark.parametrize("by_id", [True, False])
async def test_parts_of_a_call_that_broke_are_not_lost_to_the_next(replica: Replica, by_id: bool) -> None:
    """The session is taken, and its durable size told, when the parts on their way are recorded."""
    gate, _, broken = await on_their_way(replica)
    await left(broken)
    back = come_back(replica, by_id=by_id)
    await turns()
    assert (len(replica.announced), replica.ledger.count("take")) == (1, 0)
    gate.open()
    outcome = await back
    assert isinstance(outcome, Stopped)
    assert replica.announced[1].persisted_size == outcome.session.persisted_size == IN_FLIGHT * PART


async def test_a_whole_part_that_waited_for_its_turn_is_not_lost(replica: Replica) -> None:
    """As many as may were on their way when the call broke, and one more was whole."""
    gate, _, broken = await on_their_way(replica, IN_FLIGHT + 1)
    await turns()
    await left(broken)
    back = come_back(replica)
    gate.open()
    await back
    assert replica.announced[1].persisted_size == (IN_FLIGHT + 1) * PART


async def test_a_call_that_ended_in_order_settles_as_well(replica: Replica) -> None:
    """What looks like a normal end of the stream, as most broken connections do."""
    gate, source, ended = await on_their_way(replica)
    source.send(None)
    await turns()
    back = come_back(replica)
    await turns()
    assert len(replica.announced) == 1
    gate.open()
    outcome = await ended
    assert isinstance(outcome, Stopped)
    assert (outcome.reason, outcome.session.persisted_size) == (StopReason.SEGMENT_END, IN_FLIGHT * PART)
    await back
    assert replica.announced[1].persisted_size == IN_FLIGHT * PART


async def test_a_store_that_hangs_is_not_waited_for_longer_than_it_takes_to_settle(
    rig: UploadRig, replica: Replica
) -> None:
    """Then the session is taken, and what was on its way is lost."""
    gate, _, broken = await on_their_way(replica)
    await left(broken)
    back = come_back(replica)
    await turns()
    await rig.clock.advance(OPTIONS.settle_timeout - 0.5)
    assert len(replica.announced) == 1
    await rig.clock.advance(0.6)
    await back
    assert replica.announced[1].persisted_size == 0
    gate.open()
    await until(lambda: replica.budget.used == 0)
    assert (await rig.session()).persisted_size == 0


async def test_the_wait_ends_in_time_for_an_answer(rig: UploadRig, replica: Replica) -> None:
    """A call of a second does not wait for five."""
    gate, _, broken = await on_their_way(replica)
    await left(broken)
    with deadline_scope(rig.clock.deadline(1.0)):
        back = come_back(replica)
    await turns()
    await rig.clock.advance(0.9)
    outcome = await back
    assert isinstance(outcome, Stopped)
    gate.open()


async def test_a_drain_ends_the_wait(rig: UploadRig) -> None:
    """The client is sent elsewhere at once."""
    replica = rig.replica(FOR_EVER)
    gate, _, broken = await on_their_way(replica)
    await left(broken)
    source = Script(message(to=replica.announced[0].upload_id))
    back = asyncio.create_task(replica.run(source=source))
    await turns()
    replica.entry.drain()
    outcome = await back
    assert isinstance(outcome, Stopped)
    assert outcome.reason is StopReason.DRAINING
    gate.open()


async def test_a_stream_that_lives_is_superseded_at_once(rig: UploadRig) -> None:
    """Its parts may take as long as they like: a session is not held by being slow."""
    replica = rig.replica(FOR_EVER)
    gate, source, older = await on_their_way(replica)
    assert source.waiting
    outcome = await come_back(replica)
    assert isinstance(outcome, Stopped)
    assert (len(replica.announced), gate.arrived) == (2, IN_FLIGHT)
    gate.open()
    await left(older)


async def test_nobody_waits_for_a_session_of_somebody_else(replica: Replica) -> None:
    """Nor can tell by the time it takes that it is there."""
    gate, _, broken = await on_their_way(replica)
    await left(broken)
    with pytest.raises(errors.UploadNotFound):
        await replica.run(message(to=replica.announced[0].upload_id), by=caller("somebody-else"))
    gate.open()
