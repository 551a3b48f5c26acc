"""Follows the audit trail over broken connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from ledgerlift.v1 import document_service_pb2 as pb

from ledgerlift_client import _convert, errors
from ledgerlift_client._calls import Calls, header_id, pause
from ledgerlift_client._models import Event
from ledgerlift_client._policies import WATCH_EVENTS


def watch(calls: Calls, document_id: str, cursor: str) -> Iterator[Event]:
    """Entries after `cursor`, without end. Raises LedgerLiftError when the server stays away."""
    request = pb.WatchEventsRequest(document_id=document_id, cursor=cursor)
    request_id = header_id(None)
    state = calls.transfer_state(None)
    while True:
        try:
            with closing(
                calls.stream(WATCH_EVENTS, request, timeout=WATCH_EVENTS.default_timeout, request_id=request_id)
            ) as messages:
                for message in messages:
                    event = _convert.event(message.event)
                    request.cursor = event.cursor
                    state = calls.transfer_state(None)
                    yield event
            # Servers end it by its deadline or with an error; whatever this one is, do not ask it without a pause.
            ended = errors.Unavailable("the stream of events ended", retryable=True, request_id=request_id)
            pause(state.after(ended), ended)
        except errors.DeadlineExceeded:
            state = calls.transfer_state(None)  # a quiet trail ends by its deadline: that is no failure
        except errors.LedgerLiftError as error:
            if not error.retryable:
                raise
            pause(state.after(error), error)
