"""Carries out a download: the calls of `DownloadRun` and the writing, on the calling thread."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from typing import BinaryIO, Protocol

from ledgerlift_client import errors
from ledgerlift_client._attempt import transfer_limit
from ledgerlift_client._calls import Calls, Operation
from ledgerlift_client._download_run import DownloadRun
from ledgerlift_client._files import AtomicFile
from ledgerlift_client._models import Document
from ledgerlift_client._policies import DOWNLOAD_DOCUMENT


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: memoryview, /) -> int | None:
        """How many were taken; None for all."""


def write_all(sink: Sink, data: bytes) -> None:
    """A raw file may take less than it is given; what returns no number has taken all."""
    rest = memoryview(data)
    while rest and (taken := sink.write(rest)) is not None:
        rest = rest[taken:]


def download(calls: Calls, run: DownloadRun, to: str | os.PathLike[str] | BinaryIO, operation: Operation) -> Document:
    """See `LedgerLiftClient.download`."""
    if not isinstance(to, str | os.PathLike):
        for data in chunks(calls, run, operation):
            write_all(to, data)
        to.flush()
        return run.record
    file = AtomicFile(to)
    try:
        for data in chunks(calls, run, operation):
            write_all(file, data)
        file.commit()
    finally:
        file.abandon()
    return run.record


def chunks(calls: Calls, run: DownloadRun, operation: Operation) -> Generator[bytes, None, None]:
    """Call after call until everything has been handed out: what is asked for next has taken what came before."""
    limit = transfer_limit(DOWNLOAD_DOCUMENT, calls.core.options)
    while not run.complete:
        try:
            with closing(calls.stream(DOWNLOAD_DOCUMENT, run.request(), operation, limit)) as stream:
                for message in stream:
                    data = run.received(message)
                    if data:
                        yield data
                    run.moved()
            run.ended()
        except errors.LedgerLiftError as error:
            operation.sleep(run.failed(error, operation.request_id))
