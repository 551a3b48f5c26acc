"""Who is at work while replicas are rolled: callers of all kinds, and one who follows everything that happens."""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator

import grpc
from ledgerlift_client import LedgerLiftClient, LedgerLiftError, UploadState

from tests.faults.fetch.contestants import Ours, Record, told
from tests.faults.fetch.operations import Kind, Operation, operations

BATCH = 50
SLOW_STEP = 0.2
"""Seconds that a slow caller takes for each step of what it sends or receives: it outlasts the drain of a replica."""
POLL = 0.05
END = "rolled.end"
"""The event behind which nothing more happens."""


def until(over: threading.Event, seed: int, caller: int) -> Iterator[Operation]:
    """Operations as of `./scripts/faults fetch`, as long as it is not over."""
    for batch in itertools.count():
        for operation in operations(seed + batch, caller, BATCH):
            if over.is_set():
                return
            yield operation


def up_and_down(over: threading.Event, seed: int, size: int) -> Iterator[Operation]:
    """An upload of `size` bytes, then a download, in turn."""
    for number in itertools.count():
        if over.is_set():
            return
        yield Operation(Kind.DOWNLOAD if number % 2 else Kind.UPLOAD, seed + number, size, pick=0.999)


class Slow(Ours):
    """Sends and receives a document over some seconds, so that it is always in the middle of one."""

    def upload(self, data: bytes, *, content_type: str, request_id: str) -> Record:
        """See Contestant."""
        return self._upload(_SlowFile(data), content_type, request_id)

    def download(self, document_id: str) -> str:
        """See Contestant."""
        sink = _SlowSink()
        with told():
            self._client.download(document_id, sink)
        return hashlib.sha256(sink.getvalue()).hexdigest()


class Watching(Ours):
    """Follows each of its uploads while it runs, and wants to see it grow and be committed."""

    def upload(self, data: bytes, *, content_type: str, request_id: str) -> Record:
        """See Contestant."""
        seen: list[tuple[UploadState, int]] = []
        failures: list[LedgerLiftError] = []
        uploaded = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(request_id, seen, failures, uploaded), daemon=True)
        watcher.start()
        try:
            record = self._upload(_SlowFile(data), content_type, request_id)
        finally:
            uploaded.set()
            watcher.join(120)
        with told():
            if failures:
                raise failures[0]
        sizes = [size for _, size in seen]
        assert sizes == sorted(sizes), f"a watched upload went back: {sizes}"
        assert seen[-1] == (UploadState.COMMITTED, len(data)), f"a watched upload ended as {seen[-1:]}"
        return record

    def _watch(
        self,
        request_id: str,
        seen: list[tuple[UploadState, int]],
        failures: list[LedgerLiftError],
        uploaded: threading.Event,
    ) -> None:
        try:
            while not (sessions := list(self._client.list_uploads(request_id=request_id))):
                if uploaded.wait(POLL):
                    sessions = list(self._client.list_uploads(request_id=request_id))
                    break
            for session in self._client.watch_upload(sessions[0].upload_id):
                seen.append((session.state, session.persisted_size))
        except LedgerLiftError as error:
            failures.append(error)


class Follower:
    """Follows the audit trail from its beginning: every entry once, in the order in which the list has them."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials) -> None:
        self._client = LedgerLiftClient(target, credentials=credentials)
        self._seen: list[str] = []
        self._failed: LedgerLiftError | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def finish(self, document_id: str) -> tuple[int, list[str]]:
        """How many events there were, and what was wrong, when nothing happens any more."""
        self._client.record_event(document_id, END, request_id=END)
        self._thread.join(120)
        there = [event.event_id for event in self._client.events()]
        self._client.close()
        wrong = [] if self._failed is None else [f"following the trail failed: {self._failed}"]
        if self._seen != there:
            missed, twice = Counter(there) - Counter(self._seen), Counter(self._seen) - Counter(there)
            wrong.append(f"of {len(there)} events the follower missed {len(missed)} and saw {len(twice)} too often")
        return len(there), wrong

    def _follow(self) -> None:
        try:
            for event in self._client.watch_events():
                self._seen.append(event.event_id)
                if event.type == END:
                    return
        except LedgerLiftError as error:
            self._failed = error


class _SlowFile(io.BytesIO):
    """Takes its time for each read."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(SLOW_STEP)
        return super().read(size)

    def readinto(self, buffer: object, /) -> int:
        time.sleep(SLOW_STEP)
        return super().readinto(buffer)  # type: ignore[arg-type]  # as BytesIO takes it


class _SlowSink(io.BytesIO):
    """Takes its time for each write."""

    def write(self, data: object, /) -> int:
        time.sleep(SLOW_STEP)
        return super().write(data)  # type: ignore[arg-type]  # as BytesIO takes it
