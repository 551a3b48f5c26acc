"""Carries out a download: the calls of `DownloadRun` and the writing, on the calling thread."""

from __future__ import annotations

import os
from contextlib import closing
from typing import BinaryIO, Protocol

from ledgerlift_client import errors
from ledgerlift_client._calls import Calls, Operation
from ledgerlift_client._download_course import DownloadCourse
from ledgerlift_client._download_run import DownloadRun
from ledgerlift_client._files import AtomicFile
from ledgerlift_client._models import Document
from ledgerlift_client._policies import DOWNLOAD_DOCUMENT
from ledgerlift_client._transfer_events import Reporter


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
    reporter: Reporter,
    operation: Operation,
) -> Document:
    """See `LedgerLiftClient.download`."""
    run = DownloadRun(document_id, DownloadCourse(operation.state, offset=offset, length=length), reporter)
    if not isinstance(to, str | os.PathLike):
        _into(calls, operation, run, to)
        to.flush()
        return run.record
    file = AtomicFile(to)
    try:
        _into(calls, operation, run, file)
        file.commit()
    finally:
        file.abandon()
    return run.record


def _into(calls: Calls, operation: Operation, run: DownloadRun, sink: _Sink) -> None:
    """Call after call until everything has been written to `sink`."""
    limit = min(DOWNLOAD_DOCUMENT.default_timeout, calls.core.options.segment_timeout)
    while not run.complete:
        try:
            with closing(calls.stream(DOWNLOAD_DOCUMENT, run.request(), operation, limit)) as stream:
                for message in stream:
                    data = run.received(message)
                    if data:
                        _write_all(sink, data)
                    run.moved()
            run.ended()
        except errors.LedgerLiftError as error:
            operation.sleep(run.failed(error, operation.request_id))
