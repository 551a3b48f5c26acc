"""How a stream gets its session, and what it is answered when it ends without a document.

first message ─> ACTIVE, epoch taken ─> SessionStream ─> Committed | Stopped
             ├─> COMMITTED: the document and receipt of the first time (a replay)
             ├─> COMMITTING: wait for the result
             └─> superseded while it ran: with a request id, wait for the session's result as well (rule 6)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ledgerlift_server import errors
from ledgerlift_server.domain.answer_time import AnswerTime
from ledgerlift_server.domain.models import Caller, Document
from ledgerlift_server.domain.session_pulses import PulseInbox
from ledgerlift_server.domain.session_rules import check_same_bytes, refusal, with_declared
from ledgerlift_server.domain.upload_message import MessageSource, UploadMessage
from ledgerlift_server.domain.upload_models import UploadSession, UploadSpec, UploadState
from ledgerlift_server.domain.upload_service import UploadService
from ledgerlift_server.domain.upload_stream import Committed, SessionStream, Stopped, StopReason, StreamTools
from ledgerlift_server.domain.upload_tally import CountedMessages, StreamCount, StreamEnd, StreamTally
from ledgerlift_server.domain.validation import Violations

Announce = Callable[[UploadSession], Awaitable[None]]
"""Tells the client its session at once, so that it knows where to go on when the stream breaks."""

ABANDONED_AFTER = 10.0
"""Seconds without a change after which a commit that a call waits for is driven here. Whoever began it may have been
killed, and a killed janitor's lease lasts: the call would wait for two minutes (measured)."""
DRAIN_RETRY_AFTER = 0.2
"""Seconds: another replica can be asked at once."""


class UploadEntry:
    """Every Upload call of this process."""

    def __init__(self, uploads: UploadService, tools: StreamTools) -> None:
        """`uploads` opens sessions; `tools` are what streams work with."""
        self._uploads = uploads
        self._tools = tools
        self.tally = StreamTally()
        self._streams: set[SessionStream] = set()
        self._drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> int:
        """Streams that hold a session."""
        return len(self._streams)

    def drain(self) -> None:
        """Refuse new streams, and end the running ones with what is durable (rule 10)."""
        if not self._drained.done():
            self._drained.set_result(None)
        for stream in self._streams:
            stream.interrupt(StopReason.DRAINING)

    async def run(self, caller: Caller, source: MessageSource, announce: Announce) -> Committed | Stopped:
        """One call, from its first message to its answer. `Stopped` only where the caller accepts a partial upload.

        Raises any LedgerLiftError.
        """
        with self.tally.stream() as count:
            return await self._run(caller, CountedMessages(source, self.tally), announce, count)

    async def _run(
        self, caller: Caller, source: MessageSource, announce: Announce, count: StreamCount
    ) -> Committed | Stopped:
        answer = AnswerTime(self._tools.options.deadline_margin)
        first = await self._first_message(source, answer)
        accept_partial = first.accept_partial
        opened = await self._session(caller, first, answer)
        await announce(opened if isinstance(opened, UploadSession) else opened[0])
        if not isinstance(opened, UploadSession):
            count.end = StreamEnd.REPLAYED
            return _replay(*opened)
        session, outcome = opened, None
        if session.state is UploadState.ACTIVE:
            outcome = await self._stream(session, first, source, answer)
            count.end = _end_of(outcome)
        if outcome is None:
            outcome = await self._result(caller, session, first, source, answer)
            count.end = StreamEnd.REPLAYED
        if isinstance(outcome, Stopped) and not accept_partial:
            raise _refusal_of(outcome)
        return outcome

    async def _first_message(self, source: MessageSource, answer: AnswerTime) -> UploadMessage:
        """The stall clock and the drain count from the very start."""
        if self._drained.done():
            raise _draining({})
        read = source.pending()
        stall, left = self._tools.options.stall_timeout, answer.to_stop()
        waited_for: set[asyncio.Future[Any]] = {read, self._drained}
        patience = stall if left is None else min(stall, left)
        await asyncio.wait(waited_for, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not read.done():
            if self._drained.done():
                raise _draining({})
            if left is not None and left < stall:
                raise errors.UploadDeadline("the deadline was near, and no first message had come")
            raise errors.UploadStalled(f"no first message within {stall:g} s")
        message = source.take()
        if message is None:
            raise errors.UploadIncomplete("the stream ended before its first message")
        return message

    async def _session(
        self, caller: Caller, first: UploadMessage, answer: AnswerTime
    ) -> UploadSession | tuple[UploadSession, Document | None]:
        """The session to stream into or to wait for; with a document where it is COMMITTED already."""
        if first.target is None:
            raise errors.InvalidRequest(
                [errors.FieldViolation("target", "the first message must carry `spec` or `upload_id`")]
            )
        if isinstance(first.target, UploadSpec):
            opened = await self._uploads.open(caller, first.target, epoch=1)
            if opened.session.state is UploadState.COMMITTED:
                return opened.session, opened.document
            if opened.created:
                return opened.session
            session = await self._take(caller, opened.session.upload_id, answer)
            check_same_bytes(session, first.target)  # once more: it may have been committed since
            session = with_declared(session, first.target)
        else:
            found = Violations()
            found.uuid("upload_id", first.target)
            found.raise_if_any()
            session = await self._take(caller, first.target, answer)
        if session.state is UploadState.COMMITTED:
            return await self._tools.ledger.get_with_document(caller.subject, session.upload_id)
        if session.state not in (UploadState.ACTIVE, UploadState.COMMITTING):
            raise refusal(session)
        self._tools.pulses.nudge(session.upload_id)
        return session

    async def _take(self, caller: Caller, upload_id: str, answer: AnswerTime) -> UploadSession:
        """Take the session over, behind what an ended stream of it has on its way here: that would be lost."""
        settled = asyncio.create_task(self._tools.pipeline.settling.over(caller.subject, upload_id))
        limit, left = self._tools.options.settle_timeout, answer.to_stop()
        try:
            await asyncio.wait(
                {settled, self._drained},
                timeout=limit if left is None else min(limit, left),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            settled.cancel()
        return await self._tools.ledger.take(caller.subject, upload_id)

    async def _stream(
        self, session: UploadSession, first: UploadMessage, source: MessageSource, answer: AnswerTime
    ) -> Committed | Stopped | None:
        """Run the stream; None when a newer one took the session over and the caller wants its result."""
        attached = isinstance(first.target, UploadSpec) and first.target.request_id is not None
        stream = SessionStream(session, first, self._tools, answer)
        self._streams.add(stream)
        if self._drained.done():
            stream.interrupt(StopReason.DRAINING)
        try:
            return await stream.run(source)
        except errors.UploadSuperseded:
            if attached:
                return None
            raise
        except (errors.UploadCommitting, errors.UploadAlreadyCommitted, errors.UploadFailed):
            return None  # what became of it stands in the ledger
        finally:
            self._streams.discard(stream)

    async def _result(
        self,
        caller: Caller,
        session: UploadSession,
        first: UploadMessage,
        source: MessageSource,
        answer: AnswerTime,
    ) -> Committed:
        """Discard what still arrives, and wait for the session's end until the deadline, or until a drain."""
        upload_id = session.upload_id
        discarding = asyncio.create_task(_discard(source))
        ended = asyncio.create_task(self._end_of(upload_id))
        rescuing = asyncio.create_task(self._drive_abandoned(session))
        waited_for: set[asyncio.Future[Any]] = {ended, self._drained}
        try:
            await asyncio.wait(waited_for, timeout=answer.to_stop(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            discarding.cancel()
            ended.cancel()
            rescuing.cancel()
        now, document = await self._tools.ledger.get_with_document(caller.subject, upload_id)
        if now.state is UploadState.COMMITTED:
            if isinstance(first.target, UploadSpec):
                check_same_bytes(now, first.target)
            return _replay(now, document)
        facts = {"upload_id": upload_id, "persisted_size": str(now.persisted_size)}
        if self._drained.done() and not now.state.final:
            raise _draining(facts)
        if now.state is UploadState.ACTIVE:
            raise errors.UploadCommitting(
                f"another stream of this request holds upload {upload_id}; ask again", metadata=facts
            )
        raise refusal(now)

    async def _drive_abandoned(self, session: UploadSession) -> None:
        """Two servers that drive one commit do no harm, see `commit.py`."""
        seen = session
        while True:
            await asyncio.sleep(ABANDONED_AFTER)
            with suppress(errors.LedgerLiftError):
                now = await self._tools.ledger.get(session.owner, session.upload_id)
                if now.state is UploadState.COMMITTING and now.update_time == seen.update_time:
                    self._tools.committer.drive(now)
                seen = now

    async def _end_of(self, upload_id: str) -> None:
        inbox = PulseInbox()
        with self._tools.pulses.follow(upload_id, inbox):
            self._tools.pulses.nudge(upload_id)
            while not (await inbox.next()).state.final:
                pass


def _end_of(outcome: Committed | Stopped | None) -> StreamEnd:
    match outcome:
        case Committed():
            return StreamEnd.COMMITTED
        case Stopped():
            return StreamEnd[outcome.reason.name]
    return StreamEnd.FAILED  # unless it gets another call's result


def _replay(session: UploadSession, document: Document | None) -> Committed:
    if document is None:
        raise errors.DocumentNotFound(session.document_id or "of this upload")
    return Committed(document, session.duplicate, session.receipt)


async def _discard(source: MessageSource) -> None:
    """Read on and throw away, so that a client that is still sending is not held up by flow control."""
    with suppress(Exception):  # whatever is wrong with the rest, the answer is the session's result
        while True:
            await asyncio.wait({source.pending()})
            if source.take() is None:
                return


def _refusal_of(stopped: Stopped) -> errors.LedgerLiftError:
    """An upload that did not commit is never OK for a caller that does not accept a partial one."""
    session = stopped.session
    facts = {"upload_id": session.upload_id, "persisted_size": str(session.persisted_size)}
    durable = f"{session.persisted_size} bytes of upload {session.upload_id} are durable"
    match stopped.reason:
        case StopReason.SEGMENT_END:
            return errors.UploadIncomplete(f"the stream ended without finish_write; {durable}", metadata=facts)
        case StopReason.DRAINING:
            return _draining(facts)
        case StopReason.STALLED:
            return errors.UploadStalled(f"no message came in time; {durable}", metadata=facts)
        case StopReason.DEADLINE:
            return errors.UploadDeadline(f"the deadline was near; {durable}", metadata=facts)


def _draining(facts: dict[str, str]) -> errors.Draining:
    return errors.Draining(
        "the server is shutting down; another replica goes on", retry_after=DRAIN_RETRY_AFTER, metadata=facts
    )
