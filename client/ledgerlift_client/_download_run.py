"""One download but for its calls and its writing: what is asked for, what has come, and what is told. Does no I/O."""

from __future__ import annotations

from ledgerlift.v1 import document_service_pb2 as pb

from ledgerlift_client import _convert, errors
from ledgerlift_client._core import tell_of
from ledgerlift_client._download_course import DownloadCourse
from ledgerlift_client._models import Document
from ledgerlift_client._transfer_events import Reporter


class DownloadRun:
    """The state of one download.

    Until it is `complete`: call with `request`, give every message to `received`, write what that answers, then
    `moved`; behind the last message `ended`. Whatever breaks goes to `failed`.
    """

    def __init__(self, document_id: str, course: DownloadCourse, reporter: Reporter) -> None:
        self._document_id = document_id
        self._course = course
        self._reporter = reporter
        self._meter = reporter.meter
        self._known = False

    @property
    def complete(self) -> bool:
        """Everything has come, and is right."""
        return self._course.complete

    @property
    def record(self) -> Document:
        """The document, once there is one."""
        record = self._course.record
        if record is None:
            raise RuntimeError("there is no record before the download is complete")
        return record

    def request(self) -> pb.DownloadDocumentRequest:
        """For the next call."""
        course = self._course
        return pb.DownloadDocumentRequest(
            document_id=self._document_id, offset=course.position, length=course.still_wanted
        )

    def received(self, message: pb.DownloadDocumentResponse) -> bytes:
        """The bytes in `message` that are to be written now. Raises LedgerLiftError for what cannot be right."""
        course = self._course
        match message.WhichOneof("part"):
            case "document":
                course.document(_convert.document(message.document))
                if not self._known:
                    self._known = True
                    self._meter.total = course.end
                    self._meter.at(course.position)
            case "chunk":
                data = message.chunk.data
                course.chunk(message.chunk.offset, data, message.chunk.crc32c)
                return data
            case "summary":
                course.summary(message.summary.sha256, message.summary.size)
        return b""

    def moved(self) -> None:
        """What was received is written."""
        position = self._course.position
        self._meter.moved(position)
        self._meter.durable(position)
        self._reporter.moved()

    def ended(self) -> None:
        """The call ended with OK. Raises where something is missing."""
        if not self._course.complete:
            raise self._course.cut_short()

    def failed(self, error: errors.LedgerLiftError, request_id: str) -> float:
        """Seconds to wait before the next call. Raises `error` when there shall be none."""
        error.metadata.setdefault("document_id", self._document_id)
        error.request_id = error.request_id or request_id
        seconds = self._course.failed(error)
        tell_of(seconds, error)
        self._reporter.retrying(error, seconds, error.attempts)
        if self._known:
            self._reporter.resumed(self._course.position, None)
        return seconds
