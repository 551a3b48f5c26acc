"""Follows the audit trail and upload sessions over broken connections: the calls of a `Watch`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from ledgerlift_client import errors
from ledgerlift_client._attempt import watch_limit
from ledgerlift_client._calls import Calls, Operation
from ledgerlift_client._core import header_id
from ledgerlift_client._models import Event, Upload
from ledgerlift_client._policies import WATCH_EVENTS, WATCH_UPLOAD, Method
from ledgerlift_client._watch_course import EventWatch, UploadWatch, Watch


def watch_events(calls: Calls, document_id: str, cursor: str, timeout: float | None) -> Iterator[Event]:
    """Entries after `cursor`, without end. Raises LedgerLiftError when the server stays away."""
    course = EventWatch(document_id, cursor, calls.core.watch_state(timeout), header_id(None))
    with closing(_messages(calls, course, WATCH_EVENTS, course.request)) as messages:
        for message in messages:
            yield course.event(message)


def watch_upload(calls: Calls, upload_id: str, timeout: float | None) -> Iterator[Upload]:
    """The session at each change, until a final state."""
    course = UploadWatch(upload_id, calls.core.watch_state(timeout), header_id(None))
    with closing(_messages(calls, course, WATCH_UPLOAD, course.request)) as messages:
        for message in messages:
            upload = course.upload(message)
            if upload is not None:
                yield upload
            if course.over:
                return


def _messages(calls: Calls, course: Watch, method: Method[Any, Any], request: Any) -> Generator[Any, None, None]:
    """What the server sends, over as many calls as it takes."""
    operation = Operation(course.state, course.request_id)
    while True:
        course.began()
        try:
            with closing(calls.stream(method, request, operation, watch_limit(method))) as stream:
                yield from stream
            seconds = course.ended()
        except errors.LedgerLiftError as error:
            seconds = course.failed(error)
        operation.sleep(seconds)
