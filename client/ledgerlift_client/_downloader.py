"""Carries out a download: the I/O of `DownloadCourse`, on the calling thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import BinaryIO, Protocol

from ledgerlift.v1 import document_service_pb2 as pb

from ledgerlift_client import _convert, errors
from ledgerlift_client._calls import Calls, header_id, pause
from ledgerlift_client._download_course import DownloadCourse
from ledgerlift_client._files import AtomicFile
from ledgerlift_client._models import Document
from ledgerlift_client._policies import DOWNLOAD_DOCUMENT
from ledgerlift_client._progress import Meter, Progress


class _Sink(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...


def _write_all(sink: _Sink, data: bytes) -> None:
    """A raw file may take less than it is given; what returns no number has taken all."""
    rest = memoryview(data)
    while rest and (taken := sink.write(rest)) is not None:
        rest = rest[taken:]


def download(
    calls: Calls,
    document_id: str,
    to: str | os.PathLike[str] | BinaryIO,
    *,
    offset: int,
    length: int | None,
    timeout: float | None,
    progress: Callable[[Progress], None] | None,
) -> Document:
    """See `LedgerLiftClient.download`."""
    state = calls.transfer_state(timeout)
    course = DownloadCourse(state, offset=offset, length=length)
    run = _Run(calls, document_id, course, state.time_left, progress)
    if not isinstance(to, str | os.PathLike):
        run.into(to)
        to.flush()
        return run.record
    file = AtomicFile(to)
    try:
        run.into(file)
        file.commit()
    finally:
        file.abandon()
    return run.record


class _Run:
    def __init__(
        self,
        calls: Calls,
        document_id: str,
        course: DownloadCourse,
        timeout: Callable[[float], float],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._calls = calls
        self._document_id = document_id
        self._course = course
        self._timeout = timeout
        self._progress = progress
        self._meter: Meter | None = None
        self._header = header_id(None)

    @property
    def record(self) -> Document:
        """The document, once there is one."""
        record = self._course.record
        if record is None:
            raise RuntimeError("there is no record before the download is complete")
        return record

    def into(self, sink: _Sink) -> None:
        """Call after call until everything has been written to `sink`."""
        while not self._course.complete:
            try:
                self._once(sink)
            except errors.LedgerLiftError as error:
                error.metadata.setdefault("document_id", self._document_id)
                error.request_id = error.request_id or self._header
                pause(self._course.failed(error), error)

    def _once(self, sink: _Sink) -> None:
        course = self._course
        request = pb.DownloadDocumentRequest(
            document_id=self._document_id, offset=course.position, length=course.still_wanted
        )
        limit = min(DOWNLOAD_DOCUMENT.default_timeout, self._calls.options.segment_timeout)
        stream = self._calls.stream(DOWNLOAD_DOCUMENT, request, timeout=self._timeout(limit), request_id=self._header)
        with closing(stream):
            for message in stream:
                match message.WhichOneof("part"):
                    case "document":
                        course.document(_convert.document(message.document))
                        self._report()
                    case "chunk":
                        data = message.chunk.data
                        course.chunk(message.chunk.offset, data, message.chunk.crc32c)
                        _write_all(sink, data)
                        self._report()
                    case "summary":
                        course.summary(message.summary.sha256, message.summary.size)
        if not course.complete:
            raise course.cut_short()

    def _report(self) -> None:
        if self._progress is None:
            return
        position = self._course.position
        if self._meter is None:
            self._meter = Meter(self._course.end)
            self._meter.at(position)
        self._meter.moved(position)
        self._meter.durable(position)
        self._progress(self._meter.progress())
