"""The unary side of uploads: open, look, cancel, list, watch, check digests, tell the limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from ledgerlift_server.domain.document_port import DocumentRepository
from ledgerlift_server.domain.ledger_port import Opened, UploadLedger
from ledgerlift_server.domain.models import Caller, Document, ExistingDigest, Page
from ledgerlift_server.domain.object_names import object_name
from ledgerlift_server.domain.session_pulses import PulseInbox, SessionPulses
from ledgerlift_server.domain.session_rules import check_same_request
from ledgerlift_server.domain.steps import Checkpoint, Step, no_checkpoint
from ledgerlift_server.domain.upload_models import NewSession, UploadFilter, UploadSession, UploadSpec, UploadState
from ledgerlift_server.domain.upload_options import UploadOptions, part_size_for
from ledgerlift_server.domain.upload_tally import OpeningTally
from ledgerlift_server.domain.validation import Limits, validate_spec


class UploadService:
    """Upload sessions, as their owner sees them."""

    def __init__(
        self,
        ledger: UploadLedger,
        documents: DocumentRepository,
        pulses: SessionPulses,
        options: UploadOptions,
        limits: Limits,
        *,
        new_id: Callable[[], str],
        on_removals: Callable[[], None],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """`new_id` makes UUIDv7 strings; `on_removals` wakes whoever empties the outbox."""
        self._ledger = ledger
        self._documents = documents
        self._pulses = pulses
        self._options = options
        self._limits = limits
        self._new_id = new_id
        self._on_removals = on_removals
        self._checkpoint = checkpoint
        self.tally = OpeningTally()

    async def open(self, caller: Caller, spec: UploadSpec, *, epoch: int = 0) -> Opened:
        """Open a session, or find the one of `spec.request_id`.

        Raises InvalidRequest, DocumentTooLarge, RequestIdReused, KeyTaken, DuplicateDocument.
        """
        spec = validate_spec(spec, self._limits)
        upload_id = self._new_id()
        new = NewSession(
            upload_id=upload_id,
            owner=caller.subject,
            spec=spec,
            part_size=part_size_for(spec.size, self._options),
            object_name=object_name(upload_id),
            lifetime=self._options.session_lifetime,
            epoch=epoch,
        )
        opened = await self._ledger.open(new, caller)
        if not opened.created:
            check_same_request(opened.session, spec)
            return opened
        self._checkpoint(Step.SESSION_OPENED)
        if opened.session.state is UploadState.COMMITTED:
            self.tally.deduplicated += 1
        return opened

    async def get(self, caller: Caller, upload_id: str) -> tuple[UploadSession, Document | None]:
        """The session, and its document when there is one. Raises UploadNotFound."""
        return await self._ledger.get_with_document(caller.subject, upload_id)

    async def cancel(self, caller: Caller, upload_id: str) -> UploadSession:
        """Give the session up. Raises UploadNotFound, UploadAlreadyCommitted."""
        session = await self._ledger.cancel(caller, upload_id)
        self._checkpoint(Step.UPLOAD_CANCELLED)
        self._pulses.nudge(upload_id)
        self._on_removals()
        return session

    async def list(
        self, caller: Caller, where: UploadFilter, *, page_size: int, page_token: str
    ) -> Page[UploadSession]:
        """One page of the caller's sessions, newest first."""
        return await self._ledger.list(caller.subject, where, page_size=page_size, page_token=page_token)

    async def watch(self, caller: Caller, upload_id: str) -> AsyncIterator[UploadSession]:
        """The session now and after every change of it, until it is final. Raises UploadNotFound."""
        session = await self._ledger.get(caller.subject, upload_id)
        yield session
        inbox = PulseInbox()
        with self._pulses.follow(upload_id, inbox):
            while not session.state.final:
                pulse = await inbox.next()
                if (pulse.state, pulse.persisted_size) == (session.state, session.persisted_size):
                    continue
                now = await self._ledger.get(caller.subject, upload_id)
                if (now.state, now.persisted_size) != (session.state, session.persisted_size):
                    session = now  # else the pulse was an older one than what has been told
                    yield session

    async def check_digests(self, caller: Caller, digests: Sequence[str]) -> Sequence[ExistingDigest]:
        """Of `digests`, those of which the caller has a document, in the order asked, each once."""
        found = await self._documents.find_digests(caller.subject, digests)
        return [found[digest] for digest in dict.fromkeys(digests) if digest in found]
