"""`domain/session_pulses.py`: news of sessions reaches whoever follows them, once, soon, and with few queries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ledgerlift_server.domain.session_pulses import LOOKS_PER_INTERVAL, PulseInbox, SessionPulses
from ledgerlift_server.domain.upload_models import SessionPulse, UploadState
from ledgerlift_server.errors import DependencyUnavailable

from tests.support.domain_objects import NOON
from tests.support.loop_clock import LoopClock, turns

INTERVAL = 1000.0


class Sessions:
    """The one method of a ledger that is polled, over pulses that the test sets."""

    def __init__(self) -> None:
        self.now: dict[str, SessionPulse] = {}
        self.asked: list[set[str]] = []
        self.broken: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    def put(self, upload_id: str, **changes: Any) -> SessionPulse:
        """The session changes."""
        before = self.now.get(upload_id, SessionPulse(upload_id, 1, UploadState.ACTIVE, 0, NOON))
        self.now[upload_id] = replace(before, **{"update_time": before.update_time + timedelta(1), **changes})
        return self.now[upload_id]

    async def pulse(self, upload_ids: Collection[str]) -> Mapping[str, SessionPulse]:
        """See `UploadLedger`."""
        self.asked.append(set(upload_ids))
        found = {upload_id: self.now[upload_id] for upload_id in upload_ids if upload_id in self.now}
        await self.answering.wait()
        if self.broken is not None:
            raise self.broken
        return found


@asynccontextmanager
async def running(sessions: Sessions) -> AsyncIterator[tuple[SessionPulses, LoopClock]]:
    """Pulses that are polled, on a clock of the test's."""
    clock = LoopClock()
    pulses = SessionPulses(sessions, interval=INTERVAL)  # type: ignore[arg-type]  # only `pulse` is called
    task = asyncio.create_task(pulses.run())
    await turns()
    try:
        yield pulses, clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_follower_gets_the_pulse_at_once_and_then_every_change() -> None:
    """The present state first, afterwards what is new, and nothing twice."""
    sessions, seen = Sessions(), list[SessionPulse]()
    first = sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", seen.append):
            await turns()
            assert seen == [first]
            await clock.advance(INTERVAL + 200)
            await clock.advance(INTERVAL + 200)
            assert seen == [first], "no news"
            second = sessions.put("a", epoch=2)
            await clock.advance(INTERVAL + 200)
            assert seen == [first, second]


async def test_nobody_follows_nobody_asks() -> None:
    """An idle server sends no queries, however long it runs."""
    sessions = Sessions()
    async with running(sessions) as (_, clock):
        for _ in range(5):
            await clock.advance(10 * INTERVAL)
    assert sessions.asked == []


async def test_one_query_asks_for_all() -> None:
    """A hundred sessions cost as many queries as one."""
    sessions = Sessions()
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", lambda _: None), pulses.follow("b", lambda _: None):
            await clock.advance(INTERVAL + 200)
            assert sessions.asked[-1] == {"a", "b"}
            count = len(sessions.asked)
            await clock.advance(INTERVAL + 200)
            assert len(sessions.asked) == count + 1


async def test_a_second_follower_is_told_what_is_known() -> None:
    """Without another query, and only what concerns its session."""
    sessions, first, second, other = Sessions(), list[SessionPulse](), list[SessionPulse](), list[SessionPulse]()
    pulse = sessions.put("a")
    async with running(sessions) as (pulses, _):
        with pulses.follow("a", first.append), pulses.follow("b", other.append):
            await turns()
            asked = len(sessions.asked)
            with pulses.follow("a", second.append):
                assert second == [pulse]
            assert len(sessions.asked) == asked
    assert other == []


async def test_a_nudge_is_answered_without_the_interval() -> None:
    """What happens in this process is seen at once."""
    sessions, seen = Sessions(), list[SessionPulse]()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", seen.append):
            await turns()
            await clock.advance(INTERVAL / 2)
            news = sessions.put("a", persisted_size=64)
            pulses.nudge("a")
            await turns()
            assert seen[-1] == news


async def test_a_nudge_for_a_session_that_nobody_follows_is_nothing() -> None:
    """A thousand streams that nobody watches cause no queries by what they store."""
    sessions = Sessions()
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", lambda _: None):
            await turns()
            await clock.advance(INTERVAL / 2)
            asked = len(sessions.asked)
            pulses.nudge("other")
            await turns()
            assert len(sessions.asked) == asked


async def test_a_nudge_during_a_query_is_looked_at_after_it() -> None:
    """The query under way may have read too early; the news is not lost."""
    sessions, seen = Sessions(), list[SessionPulse]()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        sessions.answering.clear()
        with pulses.follow("a", seen.append):
            await turns()
            assert len(sessions.asked) == 1
            news = sessions.put("a", epoch=9)
            pulses.nudge("a")
            sessions.answering.set()
            await turns()
            assert seen[-1] != news, "the first answer was read before"
            await clock.advance(INTERVAL / LOOKS_PER_INTERVAL + 10)
            assert seen[-1] == news


async def test_a_storm_of_nudges_is_a_handful_of_queries() -> None:
    """The database is not asked for each."""
    sessions = Sessions()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", lambda _: None):
            await turns()
            asked = len(sessions.asked)
            for _ in range(100):
                pulses.nudge("a")
                await clock.advance(INTERVAL / 100)
            assert LOOKS_PER_INTERVAL - 2 <= len(sessions.asked) - asked <= LOOKS_PER_INTERVAL + 1


async def test_what_a_stream_stores_is_looked_at_for_others_only() -> None:
    """It follows its own session, and knows how far it is: only somebody beside it makes the database be asked."""
    sessions, seen = Sessions(), list[SessionPulse]()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", lambda _: None):
            await turns()
            await clock.advance(INTERVAL / 2)
            asked = len(sessions.asked)
            pulses.moved("a")
            pulses.moved("nobody's")
            await turns()
            assert len(sessions.asked) == asked
            with pulses.follow("a", seen.append):
                news = sessions.put("a", persisted_size=64)
                pulses.moved("a")
                await turns()
                assert seen[-1] == news


async def test_a_follower_that_came_during_a_query_is_not_forgotten() -> None:
    """It is part of the next look, although the running one did not ask for it."""
    sessions, seen = Sessions(), list[SessionPulse]()
    late = sessions.put("late")
    async with running(sessions) as (pulses, clock):
        sessions.answering.clear()
        with pulses.follow("a", lambda _: None):
            await turns()
            with pulses.follow("late", seen.append):
                sessions.answering.set()
                await clock.advance(INTERVAL + 200)
                await clock.advance(INTERVAL + 200)
                assert seen == [late]


async def test_whoever_left_during_a_query_hears_nothing() -> None:
    """Unfollowing is at once."""
    sessions, seen = Sessions(), list[SessionPulse]()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("b", lambda _: None):
            await clock.advance(INTERVAL + 200)
            with pulses.follow("a", seen.append):
                sessions.answering.clear()
                await clock.advance(INTERVAL + 200)
            sessions.answering.set()
            await turns()
    assert seen == []


async def test_what_was_known_of_a_session_is_forgotten_with_its_last_follower() -> None:
    """Whoever follows it later is not told an old pulse as the present one."""
    sessions, seen = Sessions(), list[SessionPulse]()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("b", lambda _: None):
            with pulses.follow("a", lambda _: None):
                await clock.advance(INTERVAL + 200)
            newer = sessions.put("a", epoch=5)
            with pulses.follow("a", seen.append):
                assert seen == []
                await clock.advance(INTERVAL + 200)
    assert seen == [newer]


async def test_two_followers_of_one_session_come_and_go_by_themselves() -> None:
    """One that leaves does not take the other's news away."""
    sessions, stays, leaves = Sessions(), list[SessionPulse](), list[SessionPulse]()
    sessions.put("a")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", stays.append):
            with pulses.follow("a", leaves.append):
                await turns()
            heard = list(leaves)
            news = sessions.put("a", epoch=2)
            await clock.advance(INTERVAL + 200)
            assert stays[-1] == news
            assert leaves == heard


async def test_a_database_that_cannot_be_asked_is_asked_again() -> None:
    """The news comes late, but it comes, and the failing database is not hammered."""
    sessions, seen = Sessions(), list[SessionPulse]()
    pulse = sessions.put("a")
    sessions.broken = DependencyUnavailable("down")
    async with running(sessions) as (pulses, clock):
        with pulses.follow("a", seen.append):
            for _ in range(20):
                pulses.nudge("a")
                await clock.advance(INTERVAL / 10)
            assert len(sessions.asked) <= 3
            sessions.broken = None
            await clock.advance(INTERVAL + 200)
            await clock.advance(INTERVAL + 200)
    assert seen == [pulse]


async def test_an_inbox_keeps_the_latest_until_it_is_asked_for() -> None:
    """Who is slow gets the newest pulse once, not a queue of old ones."""
    inbox = PulseInbox()
    old, new = (SessionPulse("a", epoch, UploadState.ACTIVE, 0, NOON) for epoch in (1, 2))
    inbox(old)
    inbox(new)
    assert await inbox.next() == new
    waiting = asyncio.create_task(inbox.next())
    await turns()
    assert not waiting.done()
    inbox(old)
    assert await waiting == old
