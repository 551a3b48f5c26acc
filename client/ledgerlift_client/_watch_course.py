"""Following a stream of the server over broken connections: where to go on, and after how long. Does no I/O."""

from __future__ import annotations

from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import upload_service_pb2 as uploads

from ledgerlift_client import _convert, errors
from ledgerlift_client._core import tell_of
from ledgerlift_client._models import Event, Upload, UploadState
from ledgerlift_client._retry import RetryState

QUICK = 1.0
"""Seconds. A stream that ends by its deadline sooner than this did not end for want of news."""

FINAL = frozenset({UploadState.COMMITTED, UploadState.FAILED, UploadState.CANCELLED, UploadState.EXPIRED})
"""States behind which an upload session does not change."""


class Watch:
    """The calls of one watch: `began` before each, `heard` for every message, `ended` or `failed` behind it."""

    def __init__(self, state: RetryState, request_id: str) -> None:
        self.state = state
        self.request_id = request_id
        self._began = 0.0

    def began(self) -> None:
        """A call is about to be made."""
        self._began = self.state.now()

    def heard(self) -> None:
        """A message came: the failures before it do not count any more."""
        self.state.begun()
        self.state.progressed()

    def ended(self) -> float:
        """The call ended with OK: seconds until the next. Servers end a watch by its deadline or with an error;
        whatever this one is, it is not asked without a pause."""
        return self.failed(errors.Unavailable("the stream ended", retryable=True, request_id=self.request_id))

    def failed(self, error: errors.LedgerLiftError) -> float:
        """Seconds until the next call. Raises `error` when there shall be none."""
        if isinstance(error, errors.DeadlineExceeded) and self.state.now() - self._began >= QUICK:
            if self.state.time_left(QUICK) <= 0:
                raise error
            self.state.progressed()  # nothing happened for as long as a watch may last: that is no failure
            return 0.0
        if not error.retryable:
            error.attempts = self.state.attempts
            raise error
        seconds = self.state.after(error)
        tell_of(seconds, error)
        return seconds


class EventWatch(Watch):
    """The audit trail, each entry once: the cursor of the last one seen is where the next call goes on."""

    def __init__(self, document_id: str, cursor: str, state: RetryState, request_id: str) -> None:
        super().__init__(state, request_id)
        self.request = documents.WatchEventsRequest(document_id=document_id, cursor=cursor)

    def event(self, message: documents.WatchEventsResponse) -> Event:
        """The entry in `message`."""
        self.heard()
        event = _convert.event(message.event)
        self.request.cursor = event.cursor
        return event


class UploadWatch(Watch):
    """One session's changes: every call tells the present state first; what was told already is not told again."""

    def __init__(self, upload_id: str, state: RetryState, request_id: str) -> None:
        super().__init__(state, request_id)
        self.request = uploads.WatchUploadRequest(upload_id=upload_id)
        self._last: Upload | None = None

    def upload(self, message: uploads.WatchUploadResponse) -> Upload | None:
        """The session in `message`; None when it is as it was."""
        self.heard()
        upload = _convert.upload(message.upload)
        last = self._last
        if last is not None and (upload.state, upload.persisted_size) == (last.state, last.persisted_size):
            return None
        self._last = upload
        return upload

    @property
    def over(self) -> bool:
        """The session is in a final state."""
        return self._last is not None and self._last.state in FINAL
