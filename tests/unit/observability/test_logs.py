"""What a log line holds, and what it does not."""

from __future__ import annotations

import asyncio
import io
import logging
import warnings

import pytest
from grpc._cython import cygrpc
from ledgerlift_server.observability import logs

from tests.support.captured_log import Entries

logger = logging.getLogger("ledgerlift_server.test")


def test_an_event_and_its_fields(log: Entries) -> None:
    """Time, level, event, logger, and the fields given as `extra`, on one line."""
    logger.info("janitor_pass", extra={"removed": 3})
    [entry] = log()
    assert list(entry)[:3] == ["timestamp", "level", "event"]
    del entry["timestamp"]
    assert entry == {"level": "info", "event": "janitor_pass", "logger": logger.name, "removed": 3}


async def test_what_is_bound_follows_the_call(log: Entries) -> None:
    """Tasks and threads that a call starts log with its request id; another call does not."""

    async def one(request_id: str) -> None:
        logs.bind(request_id=request_id)
        await asyncio.gather(asyncio.create_task(other_task()), asyncio.to_thread(logger.info, "thread"))

    async def other_task() -> None:
        logger.info("task")

    await asyncio.gather(asyncio.create_task(one("a")), asyncio.create_task(one("b")))
    assert sorted((entry["event"], entry["request_id"]) for entry in log()) == [
        ("task", "a"),
        ("task", "b"),
        ("thread", "a"),
        ("thread", "b"),
    ]


def test_a_traceback_holds_no_local_variables(log: Entries) -> None:
    """Local variables are payloads and passwords; a traceback shows code only, on the same line."""
    secret = "hunter" + "2"
    try:
        raise ZeroDivisionError(len(secret))
    except ZeroDivisionError:
        logger.exception("defect")
    [entry] = log()
    assert "ZeroDivisionError" in entry["exception"]
    assert "hunter2" not in str(entry)


def test_libraries_are_quiet(log: Entries) -> None:
    """botocore's and grpc's chatter stays out, whatever LOG_LEVEL says; their warnings do not."""
    logging.getLogger("botocore.auth").debug("Authorization: ...")
    logging.getLogger("grpc._cython.cygrpc").debug("Loaded running loop")
    logging.getLogger("urllib3.connectionpool").warning("connection lost")
    assert [entry["event"] for entry in log()] == ["connection lost"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'Failed "execute_batch": (<SendStatusFromServerOperation>,)',
            ("info", "client_left_before_its_answer", False),
        ),
        ("Failed grpc_call_start_batch: 8 with grpc_call_error", ("error", "raised in core by [/a/B]", True)),
    ],
)
def test_a_client_that_leaves_while_it_is_answered_is_no_error(
    log: Entries, text: str, told: tuple[str, str, bool]
) -> None:
    """grpc.aio logs a traceback for it, with which nobody can do anything; what is a defect stays one."""
    try:
        raise cygrpc.ExecuteBatchError(text)
    except cygrpc.ExecuteBatchError:
        logging.getLogger("grpc._cython.cygrpc").exception("raised in core by [%s]", "/a/B")
    [entry] = log()
    assert (entry["level"], entry["event"], "exception" in entry) == told


def test_warnings_are_entries(log: Entries) -> None:
    """A library's DeprecationWarning is a log entry, not a line of its own making."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [entry["logger"] for entry in log()] == ["py.warnings"]


@pytest.mark.usefixtures("log")  # restores what `configure` replaces
def test_lines_for_people() -> None:
    """LOG_FORMAT=console: no colours where nobody looks at a terminal."""
    written = io.StringIO()
    logs.configure("INFO", "console", written)
    logger.info("serving", extra={"address": "127.0.0.1:1"})
    assert "serving" in written.getvalue()
    assert "address=127.0.0.1:1" in written.getvalue()
    assert "\x1b" not in written.getvalue()
