"""Follows the audit trail and upload sessions over broken connections: the calls of a `Watch`."""

# ruff: noqa: ASYNC109 - `timeout` is sent with the calls and bounds their retries; asyncio.timeout would only cancel

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ledgerlift_client import errors
from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._attempt import Operation, watch_limit
from ledgerlift_client._core import header_id
from ledgerlift_client._models import Event, Upload
from ledgerlift_client._policies import WATCH_EVENTS, WATCH_UPLOAD, Method
from ledgerlift_client._watch_course import EventWatch, UploadWatch, Watch


async def watch_events(
    calls: Calls, document_id: str, cursor: str, timeout: float | None
) -> AsyncGenerator[Event, None]:
    """Entries after `cursor`, without end. Raises LedgerLiftError when the server stays away."""
    course = EventWatch(document_id, cursor, calls.core.watch_state(timeout), header_id(None))
    async with aclosing(_messages(calls, course, WATCH_EVENTS, course.request)) as messages:
        async for message in messages:
            yield course.event(message)


async def watch_upload(calls: Calls, upload_id: str, timeout: float | None) -> AsyncGenerator[Upload, None]:
    """The session at each change, until a final state."""
    course = UploadWatch(upload_id, calls.core.watch_state(timeout), header_id(None))
    async with aclosing(_messages(calls, course, WATCH_UPLOAD, course.request)) as messages:
        async for message in messages:
            upload = course.upload(message)
            if upload is not None:
                yield upload
            if course.over:
                return


async def _messages(calls: Calls, course: Watch, method: Method[Any, Any], request: Any) -> AsyncGenerator[Any, None]:
    """What the server sends, over as many calls as it takes."""
    operation = Operation(course.state, course.request_id)
    while True:
        course.began()
        try:
            async with aclosing(calls.stream(method, request, operation, watch_limit(method))) as stream:
                async for message in stream:
                    yield message
            seconds = course.ended()
        except errors.LedgerLiftError as error:
            seconds = course.failed(error)
        await asyncio.sleep(seconds)
