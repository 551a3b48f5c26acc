"""One caller at work: operation after operation at a steady pace, each answer compared with what is right."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.faults.fetch.contestants import Contestant, Failed, Record
from tests.faults.fetch.operations import Kind, Operation
from tests.support.raw_uploads import content

OK = "OK"
NEXT_STATUS = {"UPLOADED": "PROCESSING", "PROCESSING": "COMPLETED"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one operation: OK, or the status that the caller saw. Seconds as it took them."""

    kind: Kind
    code: str
    seconds: float


@dataclass(slots=True)
class Known:
    """A document that this caller was told is there. `status` None: a change failed, so that nobody knows."""

    document_id: str
    sha256: str
    size: int
    status: str | None


class Caller:
    """A thread of its own over a contestant of its own, which it closes.

    A caller that fails does not come back at once: the next operation has its time, as after a success.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Contestant],
        plan: Iterable[Operation],
        pace: float,
        answered: Callable[[], None],
    ) -> None:
        """`pace`: seconds between the beginnings of two operations, at least. `answered` is called behind each."""
        self.name = name
        self.content_type = f"application/x-{name}"
        self.answers: list[Answer] = []
        self.wrong: list[str] = []
        """A sentence for everything that was not as it had to be."""
        self.known: list[Known] = []
        self.uploaded: dict[str, bool] = {}
        """Whether it was acknowledged, by the digest of what was sent."""
        self.changed: dict[tuple[str, str], bool] = {}
        """Whether it was acknowledged, by document and new status."""
        self._connect = connect
        self._plan = plan
        self._pace = pace
        self._answered = answered
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, patience: float) -> None:
        """Wait for the end; what did not come to it is wrong."""
        self._thread.join(patience)
        if self._thread.is_alive():
            self.wrong.append(f"{self.name}: an operation did not end in {patience:g} s")

    def prepare(self, contestant: Contestant, seeds: Iterable[Operation]) -> None:
        """Documents that are there before anything goes wrong, so that there is something to ask for."""
        for operation in seeds:
            self._upload(contestant, operation, "first")

    def _run(self) -> None:
        contestant = self._connect()
        try:
            due = time.monotonic()
            for number, operation in enumerate(self._plan):
                time.sleep(max(0.0, due - time.monotonic()))
                began = time.monotonic()
                due = began + self._pace
                try:
                    self._do(contestant, operation, str(number))
                    code = OK
                except Failed as failed:
                    code = str(failed)
                self.answers.append(Answer(operation.kind, code, time.monotonic() - began))
                self._answered()
        except Exception as error:  # neither of the two may raise anything else
            self.wrong.append(f"{self.name}: {error!r}")
        finally:
            contestant.close()

    def _do(self, contestant: Contestant, operation: Operation, number: str) -> None:
        one = self.known[int(operation.pick * len(self.known))]
        match operation.kind:
            case Kind.UPLOAD:
                self._upload(contestant, operation, number)
            case Kind.GET:
                self._compare(contestant.get(one.document_id), one)
            case Kind.LIST:
                self._list(contestant)
            case Kind.DOWNLOAD:
                if (digest := contestant.download(one.document_id)) != one.sha256:
                    self.wrong.append(f"{self.name}: downloaded {digest} of {one}")
            case Kind.STATUS:
                self._change_status(contestant, operation)

    def _upload(self, contestant: Contestant, operation: Operation, number: str) -> None:
        data = content(operation.seed, operation.size)
        digest = hashlib.sha256(data).hexdigest()
        self.uploaded[digest] = False
        request_id = f"{self.name}-{number}-{operation.seed:x}"
        record = contestant.upload(data, content_type=self.content_type, request_id=request_id)
        self.uploaded[digest] = True
        if (record.sha256, record.size, record.status, record.duplicate) != (digest, len(data), "UPLOADED", False):
            self.wrong.append(f"{self.name}: {digest} of {len(data)} bytes became {record}")
        self.known.append(Known(record.document_id, digest, len(data), "UPLOADED"))

    def _list(self, contestant: Contestant) -> None:
        listed = contestant.list(self.content_type)
        records = {record.document_id: record for record in listed}
        if len(records) != len(listed):
            self.wrong.append(f"{self.name}: a list has a document twice")
        for record in listed:
            if record.sha256 not in self.uploaded:
                self.wrong.append(f"{self.name}: a list has {record}, which nobody uploaded")
        for one in self.known:
            if one.document_id not in records:
                self.wrong.append(f"{self.name}: a list is without {one}")
            else:
                self._compare(records[one.document_id], one)

    def _change_status(self, contestant: Contestant, operation: Operation) -> None:
        movable = [one for one in self.known if one.status in NEXT_STATUS]
        if not movable:
            self._compare(contestant.get(self.known[0].document_id), self.known[0])
            return
        one = movable[int(operation.pick * len(movable))]
        assert one.status is not None
        wanted = NEXT_STATUS[one.status]
        one.status = None
        self.changed[one.document_id, wanted] = False
        record = contestant.set_status(one.document_id, wanted, request_id=f"{one.document_id}-{wanted}")
        one.status = wanted
        self.changed[one.document_id, wanted] = True
        self._compare(record, one)

    def _compare(self, record: Record, one: Known) -> None:
        told = (record.document_id, record.sha256, record.size)
        if told != (one.document_id, one.sha256, one.size) or one.status not in (None, record.status):
            self.wrong.append(f"{self.name}: told {record} of {one}")
