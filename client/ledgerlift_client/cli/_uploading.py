"""Carries out uploads: bars while they run, a line for each that is done, and what to do about those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ledgerlift_client import (
    CancelToken,
    Failed,
    Finished,
    ProgressMade,
    Started,
    TransferEvent,
    UploadItem,
    UploadResult,
    errors,
)
from ledgerlift_client._breaker import CLIENT_CIRCUIT_OPEN
from ledgerlift_client.cli import _bars
from ledgerlift_client.cli._session import Session
from ledgerlift_client.cli._words import safe

CAN_FAIL = (errors.LedgerLiftError, OSError, KeyboardInterrupt)
"""What an upload may end with and is told; anything else is a defect."""
_CAN_GO_ON = (errors.TryLater, errors.DeadlineExceeded, errors.ServerError, KeyboardInterrupt, OSError)
_NEVER_BEGAN = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def can_go_on(error: BaseException) -> bool:
    """Whether the same command with the same request id has a chance."""
    return isinstance(error, _CAN_GO_ON) and not isinstance(error, _NEVER_BEGAN)


class Uploading:
    """The uploads of one run."""

    def __init__(self, session: Session, hint: str, concurrency: int, check_first: bool) -> None:
        """`hint` is what to tell when something can be gone on with."""
        self._session = session
        self._report = session.report
        self._hint = hint
        self._concurrency = concurrency
        self._dedupe: Literal["send", "check"] = "check" if check_first else "send"
        self._stored = self._there = self._failed = 0
        self._resumable = self._refused = False

    def one(self, item: UploadItem, path: str) -> None:
        """A single file, on this thread, which may be waiting for stdin when it is interrupted."""
        try:
            with _bars.shown(self._report, 1) as bars, bars.one(item.filename or Path(path).name) as progress:
                result = self._session.client.upload(
                    item.source,  # type: ignore[arg-type]  # a path or stdin, never the async iterable of the other client
                    filename=item.filename,
                    content_type=item.content_type,
                    key=item.key,
                    metadata=item.metadata,
                    duplicate_policy=item.duplicate_policy,
                    request_id=item.request_id,
                    sha256=item.sha256,
                    dedupe=self._dedupe,
                    progress=progress,
                )
        except CAN_FAIL as error:
            self._report.failure(error, about=safe(path), hint=self._hint if can_go_on(error) else "")
            return
        self._tell(item, path, result, result.document.document_id, single=True)

    def several(self, items: Sequence[UploadItem], paths: Sequence[str]) -> None:
        """Several at once, each told as soon as it is done."""
        place = {id(item): path for item, path in zip(items, paths, strict=True)}
        told: set[int] = set()
        running: dict[int, _bars.Bar] = {}
        token = CancelToken()

        def heard(item: UploadItem, event: TransferEvent) -> None:
            match event:
                case Started(name):
                    running[id(item)] = bars.begin(name)
                case ProgressMade(progress):
                    running[id(item)].update(progress)
                case Finished(UploadResult() as result):
                    over(item)
                    path = place[id(item)]
                    self._tell(item, path, result, f"{result.document.document_id}\t{safe(path)}")
                case Failed(error):
                    over(item, counts=not isinstance(error, errors.Cancelled))
                    self._fail(error, place[id(item)])
                case _:
                    pass

        def over(item: UploadItem, *, counts: bool = True) -> None:
            told.add(id(item))
            running.pop(id(item)).end(gone=True, counts=counts)

        try:
            with _bars.shown(self._report, len(items)) as bars:
                outcomes = self._session.client.upload_many(
                    items, concurrency=self._concurrency, dedupe=self._dedupe, on_event=heard, cancel=token
                )
                for outcome in outcomes:
                    if outcome.error is not None and id(outcome.item) not in told:  # it never began
                        self._fail(outcome.error, place[id(outcome.item)])
        except KeyboardInterrupt as interrupted:
            self._report.failure(interrupted, about=self._sums(len(items)), hint=self._hint)
            return
        self._report.note(f"ledgerlift: {self._sums(len(items))}")
        if self._resumable:
            self._report.note(self._hint)

    def _sums(self, count: int) -> str:
        parts = [f"{self._stored} stored", f"{self._there} there already", f"{self._failed} failed"]
        return f"{count} files: {', '.join(part for part in parts if not part.startswith('0 ')) or 'none stored'}"

    def _fail(self, error: BaseException, path: str) -> None:
        if isinstance(error, errors.Cancelled):  # told once for all of them
            return
        self._failed += 1
        self._resumable |= can_go_on(error)
        if getattr(error, "reason", "") == CLIENT_CIRCUIT_OPEN and not self._report.as_json:
            if self._refused:  # nobody answers any of them: once is enough
                return
            self._refused = True
        hint = self._hint if can_go_on(error) and self._report.as_json else ""
        self._report.failure(error, about=safe(path), hint=hint)

    def _tell(self, item: UploadItem, path: str, result: UploadResult, text: str, *, single: bool = False) -> None:
        lost: list[str] = []
        if result.duplicate:
            self._there += 1
            asked = {name: getattr(item, name) for name in ("key", "metadata", "content_type", "filename")}
            lost = [name for name, value in asked.items() if value and value != getattr(result.document, name)]
            but = f"; not taken: {', '.join('--' + name.replace('_', '-') for name in lost)}" if lost else ""
            if single or lost:  # of several they are counted, in the end
                self._report.note(f"ledgerlift: {safe(path)}: these bytes were there already{but}")
        else:
            self._stored += 1
        self._report.result(result, text, source=path, not_taken=lost)
