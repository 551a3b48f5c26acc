"""Callers with our client, blocking or asyncio: what they are told has to be right, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from random import Random
from typing import Any

from ledgerlift_client import Document, DuplicatePolicy, LedgerLiftError, ProcessingStatus, UploadResult, errors

from tests.faults.campaign.model import Model, Told
from tests.faults.campaign.tally import NOTHING_THERE, OK
from tests.faults.campaign.workers import Operation
from tests.faults.fetch.caller import NEXT_STATUS
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME, content

CALL, TRANSFER = 15.0, 40.0
"""Seconds that a short call, with all of its attempts, and an upload or a download are given."""
LATE = 10.0
"""Seconds that a busy machine may add to what was asked for."""
LARGE = 0.12
"""Of all documents: those of more than one part."""
REMEMBERED = 20
"""Unfinished uploads that a caller may come back to."""

_OTHER_SIDE = (errors.UploadSuperseded,)
"""What a side of a race may be told whose time is over when the other one takes the session."""
_FINE = (errors.TryLater, errors.DeadlineExceeded)
"""Errors that say nothing but: not now."""


class Careful:
    """Operations of one caller. `client` is a LedgerLiftClient, or has its face; `other` reaches another server."""

    def __init__(
        self, name: str, client: Any, other: Any, model: Model, random: Random, part_size: int, clock_jumps: bool
    ) -> None:
        """`clock_jumps`: sessions may expire under their callers."""
        self._name = name
        self._client = client
        self._other = other
        self._model = model
        self._random = random
        self._part_size = part_size
        self._fine = (*_FINE, errors.UploadExpired) if clock_jumps else _FINE
        self._unfinished: list[tuple[str, int, int]] = []
        self._number = 0
        self._status: dict[str, str | None] = {}

    @property
    def operations(self) -> dict[str, tuple[int, float, Operation]]:
        """As a worker takes them."""
        return {
            "upload": (30, TRANSFER + LATE, self._upload),
            "impatient upload": (20, TRANSFER + LATE, self._impatient),
            "go on": (10, TRANSFER + LATE, self._go_on),
            "replay": (5, TRANSFER + LATE, self._replay),
            "race": (5, TRANSFER + LATE, self._race),
            "duplicate": (10, TRANSFER + LATE, self._duplicate),
            "get": (8, CALL + LATE, self._get),
            "download": (12, TRANSFER + LATE, self._download),
            "status change": (10, CALL + LATE, self._change_status),
            "delete": (10, CALL + LATE, self._delete),
        }

    def _upload(self) -> str:
        return self._store(*self._new())

    def _impatient(self) -> str:
        """With next to no time, and never again: what has begun by then is the servers' alone."""
        upload, timeout = self._new(), self._random.uniform(0.1, 1.5)
        return self._done(lambda: self._send(self._client, *upload, timeout=timeout))

    def _new(self) -> tuple[str, int, int]:
        self._number += 1
        part = self._part_size
        large = self._random.random() < LARGE
        size = self._random.randint(part, 2 * part + 1000) if large else self._random.randint(0, min(part, 60_000))
        return f"{self._name}-{self._number}", self._random.getrandbits(48), size

    def _store(self, request_id: str, seed: int, size: int) -> str:
        done = self._done(lambda: self._send(self._client, request_id, seed, size))
        if done != OK:
            self._unfinished = [*self._unfinished, (request_id, seed, size)][-REMEMBERED:]
        return done

    def _send(
        self,
        client: Any,
        request_id: str,
        seed: int,
        size: int,
        policy: DuplicatePolicy = DuplicatePolicy.RETURN_EXISTING,
        timeout: float = TRANSFER,
    ) -> UploadResult:
        data = content(seed, size)
        digest = hashlib.sha256(data).hexdigest()
        self._model.intend(request_id, digest, finish=True)
        result: UploadResult = client.upload(
            data,
            filename=FILENAME,
            content_type=CONTENT_TYPE,
            request_id=request_id,
            duplicate_policy=policy,
            timeout=timeout,
        )
        document = result.document
        self._model.uploaded(Told(document.document_id, document.sha256, seed, size, self._name, request_id, policy))
        if (document.sha256, document.size) != (digest, size):
            self._model.accuse(f"{self._name}: {digest} of {size} bytes became {document}")
        return result

    def _go_on(self) -> str:
        """With what did not come to its end, one's own or somebody else's."""
        if self._unfinished and self._random.random() < 0.5:
            return self._store(*self._unfinished.pop(self._random.randrange(len(self._unfinished))))
        left = self._model.take_left(self._random)
        return self._upload() if left is None else self._store(*left)

    def _replay(self) -> str:
        """The same again: the same document, for whoever is told twice."""
        one = self._model.some_document(self._random, self._name)
        if one is None:
            return self._upload()
        return self._done(lambda: self._send(self._client, one.request_id, one.seed, one.size, one.policy))

    def _race(self) -> str:
        """The same from two sides at the same time; both get the same document, which the model looks at."""
        upload = self._new()
        outcomes: list[str] = []
        second = threading.Thread(
            target=lambda: outcomes.append(self._done(lambda: self._send(self._other, *upload), _OTHER_SIDE)),
            daemon=True,
        )
        second.start()
        first = self._done(lambda: self._send(self._client, *upload), _OTHER_SIDE)
        second.join(TRANSFER + LATE)
        if not outcomes:
            self._model.accuse(f"{self._name}: the other side of a race did not end, or raised what it must not")
        return first if outcomes == [OK] else next(iter(outcomes), "no answer")

    def _duplicate(self) -> str:
        """Bytes that are there, under another id: the same document, or another one on the same object."""
        one = self._model.some_document(self._random)
        if one is None:
            return self._upload()
        request_id, _, _ = self._new()
        policy = self._random.choice([DuplicatePolicy.RETURN_EXISTING, DuplicatePolicy.CREATE_NEW])
        return self._done(lambda: self._send(self._client, request_id, one.seed, one.size, policy))

    def _get(self) -> str:
        # Where there is nothing, an upload would have the time of one, and not that of a short call.
        one = self._model.some_document(self._random)
        if one is None:
            return NOTHING_THERE
        return self._done(lambda: self._compare(self._client.get(one.document_id, timeout=CALL), one))

    def _download(self) -> str:
        one = self._model.some_document(self._random)
        if one is None:
            return self._upload()
        memory = io.BytesIO()

        def download() -> None:
            self._client.download(one.document_id, memory, timeout=TRANSFER)
            if (digest := hashlib.sha256(memory.getvalue()).hexdigest()) != one.sha256:
                self._model.accuse(f"{self._name}: downloaded {digest} of {one}")

        return self._done(download)

    def _change_status(self) -> str:
        one = self._model.some_document(self._random, self._name)
        status = None if one is None else self._status.get(one.document_id, "UPLOADED")
        if one is None or status not in NEXT_STATUS:
            return self._get()
        wanted = NEXT_STATUS[status]

        def change() -> None:
            document = self._client.update_status(
                one.document_id,
                ProcessingStatus(wanted),
                request_id=f"{one.document_id}-{wanted}",
                timeout=CALL,
            )
            self._model.change(one.document_id, wanted, done=True)
            self._status[one.document_id] = wanted
            self._compare(document, one)

        self._model.change(one.document_id, wanted, done=False)
        self._status[one.document_id] = None  # nobody knows, until it is answered
        return self._done(change)

    def _delete(self) -> str:
        one = self._model.some_document(self._random)
        if one is None:
            return NOTHING_THERE
        self._model.delete(one.document_id, done=False)

        def delete() -> None:
            self._client.delete(one.document_id, timeout=CALL)
            self._model.delete(one.document_id, done=True)

        return self._done(delete)

    def _compare(self, document: Document, one: Told) -> None:
        if (document.document_id, document.sha256, document.size) != (one.document_id, one.sha256, one.size):
            self._model.accuse(f"{self._name}: told {document} of {one}")

    def _done(self, work: Callable[[], object], also: tuple[type[LedgerLiftError], ...] = ()) -> str:
        """OK, or what our client raised. `also`: errors that may be told here."""
        try:
            work()
        except LedgerLiftError as error:
            if not isinstance(error, (*self._fine, *also)) and not self._was_deleted(error):
                how = f"{error.code}, {error.attempts} attempts, request {error.request_id}"
                self._model.accuse(f"{self._name}: told {error!r} ({how}), doing {work}")
            return error.reason or (error.code.name if error.code is not None else type(error).__name__)
        return OK

    def _was_deleted(self, error: LedgerLiftError) -> bool:
        """The document that it is about, by somebody else and at the same time."""
        if not isinstance(error, errors.DocumentNotFound) or error.resource is None:
            return False
        return not self._model.is_there(error.resource.id)
