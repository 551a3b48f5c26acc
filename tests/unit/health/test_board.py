"""`health/board.py`: what each name says in each phase of the server's life, and what watchers are told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from ledgerlift_server.health.board import COMPONENTS, KEPT_CHANGES, HealthBoard

from tests.support.loop_clock import turns

SERVICE = "example.v1.Service"


def serving(board: HealthBoard) -> set[str]:
    """The names that serve."""
    return {name for name, serves in board.statuses.items() if serves}


def all_well(readiness_checks: tuple[str, ...] = ("database", "storage")) -> HealthBoard:
    """A board of a server that starts, with nothing wrong around it."""
    board = HealthBoard([SERVICE], readiness_checks)
    for component in COMPONENTS:
        board.report(component, True)
    return board


async def told(watch: AsyncIterator[bool | None], count: int) -> list[bool | None]:
    """The next `count` answers."""
    return [await anext(watch) for _ in range(count)]


def test_at_first_only_the_process_is_alive() -> None:
    """Before anything was looked at, nothing but liveness is claimed."""
    assert serving(HealthBoard([SERVICE], ["database"])) == {"liveness"}


def test_a_server_that_starts_is_not_ready_whatever_is_well() -> None:
    """Dependencies are reported as they are; the server and readiness wait for the start."""
    assert serving(all_well()) == {"liveness", "database", "storage", "s3", "system"}


def test_a_server_that_is_open_serves_under_every_name() -> None:
    """With all well, every name serves."""
    board = all_well()
    board.open()
    assert serving(board) == {"", SERVICE, "liveness", "readiness", "database", "storage", "s3", "system"}


def test_a_drain_takes_the_server_and_readiness_and_nothing_else() -> None:
    """A process that drains is alive, and its database is as it was."""
    board = all_well()
    board.open()
    board.drain()
    assert serving(board) == {"liveness", "database", "storage", "s3", "system"}
    board.report("database", False)
    assert serving(board) == {"liveness", "storage", "s3", "system"}


@pytest.mark.parametrize(
    ("component", "lost"),
    [
        ("database", {"database", "readiness"}),
        ("storage", {"storage", "s3", "readiness"}),
        ("system", {"system"}),
    ],
)
def test_a_component_that_is_not_well_takes_its_names_with_it(component: str, lost: set[str]) -> None:
    """`s3` is another word for storage; readiness depends on what it was told to, the server itself on nothing."""
    board = all_well()
    board.open()
    before = serving(board)
    board.report(component, False)
    assert before - serving(board) == lost
    board.report(component, True)
    assert serving(board) == before


@pytest.mark.parametrize(
    ("chosen", "component", "ready"),
    [(("system",), "system", False), (("system",), "database", True), ((), "database", True)],
)
def test_readiness_depends_on_what_was_chosen(chosen: tuple[str, ...], component: str, ready: bool) -> None:
    """READINESS_CHECKS=system, and READINESS_CHECKS=none."""
    board = all_well(chosen)
    board.open()
    board.report(component, False)
    assert board.statuses["readiness"] is ready


async def test_a_watcher_is_told_every_change_in_order() -> None:
    """The status now, and then each change; what does not change is not told."""
    board = all_well()
    watch = board.watch("readiness")
    assert await told(watch, 1) == [False]
    board.open()
    board.report("database", False)
    board.report("database", False)
    board.report("storage", False)
    board.report("storage", True)
    board.report("database", True)
    board.drain()
    assert await told(watch, 4) == [True, False, True, False]
    waiting = asyncio.ensure_future(anext(watch))
    await turns()
    assert not waiting.done()
    waiting.cancel()


async def test_watchers_of_one_name_are_told_alike_and_others_nothing() -> None:
    """Each has its own place in the changes."""
    board = all_well()
    first, second, other = board.watch(""), board.watch(""), board.watch("liveness")
    for watch in (first, second, other):
        await anext(watch)
    board.open()
    board.drain()
    assert await told(first, 2) == await told(second, 2) == [True, False]
    waiting = asyncio.ensure_future(anext(other))
    await turns()
    assert not waiting.done()
    waiting.cancel()


async def test_an_unknown_name_is_told_once_that_it_is() -> None:
    """None, and then silence."""
    board = all_well()
    watch = board.watch("nobody")
    assert await anext(watch) is None
    waiting = asyncio.ensure_future(anext(watch))
    board.open()
    await turns()
    assert not waiting.done()
    waiting.cancel()


async def test_a_watcher_that_does_not_read_holds_nobody_and_hears_the_end() -> None:
    """Changes never wait for it; of too many it is told the last ones."""
    board = all_well()
    board.open()
    watch = board.watch("database")
    assert await anext(watch)
    for _ in range(10 * KEPT_CHANGES):
        board.report("database", False)
        board.report("database", True)
    board.report("database", False)
    heard = await told(watch, KEPT_CHANGES)
    assert heard[-1] is False
    waiting = asyncio.ensure_future(anext(watch))
    await turns()
    assert not waiting.done()
    waiting.cancel()


async def test_a_watcher_that_has_left_is_forgotten() -> None:
    """Nothing is kept for it, whatever name it asked for."""
    board = all_well()
    for name in ("", "nobody"):
        watch = board.watch(name)
        await anext(watch)
        await watch.aclose()  # type: ignore[attr-defined]  # a generator, typed as the iterator that it is used as
    assert not board._watchers
