"""The upload ledger on SQL: `domain.ledger_port.UploadLedger`. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Integer, and_, bindparam, select, update

from ledgerlift_server.adapters.sql import publish, sessions
from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.adapters.sql.paging import PAGE_BYTES, PageTokens, read_page, time_and_id
from ledgerlift_server.adapters.sql.rows import part_from, plan_values, session_from
from ledgerlift_server.adapters.sql.tables import parts as parts_table
from ledgerlift_server.adapters.sql.tables import sessions as sessions_table
from ledgerlift_server.adapters.sql.transactions import Database, Transaction
from ledgerlift_server.adapters.sql.types import now, to_microseconds
from ledgerlift_server.domain.ledger_port import Opened
from ledgerlift_server.domain.models import Caller, Document, EventType, Page
from ledgerlift_server.domain.session_rules import refusal
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    NewSession,
    Published,
    SessionPulse,
    StoredPart,
    UploadFilter,
    UploadSession,
    UploadState,
)
from ledgerlift_server.errors import LedgerLiftError, UploadAlreadyCommitted

_s = sessions_table.c

_MORE_PARTS = _s.part_count + bindparam("more_parts", type_=Integer)
_RECORD_PARTS = sessions.advancing(part_count=_MORE_PARTS, expire_time=now(_s.lifetime))
_BEGIN_COMMIT = sessions.advancing(part_count=_MORE_PARTS, state=UploadState.COMMITTING.value)
_PARTS = select(parts_table).where(parts_table.c.upload_id == bindparam("id")).order_by(parts_table.c.number)


class SqlUploadLedger:
    """Sessions, their parts, and the one way from bytes to a document."""

    def __init__(
        self, database: Database, *, new_id: Callable[[], str] = new_id, page_bytes: int = PAGE_BYTES
    ) -> None:
        """`new_id` makes ids of documents and events; `page_bytes` bounds a page beside their number."""
        self._database = database
        self._new_id = new_id
        self._page_bytes = page_bytes

    async def open(self, new: NewSession, caller: Caller) -> Opened:
        """See the port."""
        return await self._database.write(
            "ledger.open", lambda tx: publish.open_session(tx, new, caller, self._new_id)
        )

    async def get(self, owner: str, upload_id: str) -> UploadSession:
        """See the port."""
        return await self._database.read(
            "ledger.get", lambda tx: session_from(sessions.find_session(tx, upload_id, owner=owner))
        )

    async def get_with_document(self, owner: str, upload_id: str) -> tuple[UploadSession, Document | None]:
        """See the port."""

        def work(tx: Transaction) -> tuple[UploadSession, Document | None]:
            row = sessions.find_session(tx, upload_id, owner=owner)
            return session_from(row), publish.document_of(tx, row)

        return await self._database.read("ledger.get_with_document", work)

    async def take(self, owner: str, upload_id: str) -> UploadSession:
        """See the port."""

        def work(tx: Transaction) -> UploadSession:
            row = tx.first(
                update(sessions_table)
                .where(_s.upload_id == upload_id, _s.owner == owner, _s.state == UploadState.ACTIVE.value)
                .values(epoch=_s.epoch + 1, update_time=now(), expire_time=now(_s.lifetime))
                .returning(sessions_table)
            )
            return session_from(row or sessions.find_session(tx, upload_id, owner=owner))

        return await self._database.write("ledger.take", work)

    async def attach_multipart(self, upload_id: str, epoch: int, multipart_id: str) -> str:
        """See the port."""
        return await self._database.write(
            "ledger.attach_multipart",
            lambda tx: sessions.attach_multipart(tx, upload_id, epoch, multipart_id),
        )

    async def record_parts(
        self,
        upload_id: str,
        epoch: int,
        persisted_size: int,
        parts: Sequence[StoredPart],
        sha_state: bytes | None,
    ) -> None:
        """See the port."""

        def work(tx: Transaction) -> None:
            row = sessions.advance(
                tx,
                _RECORD_PARTS,
                upload_id,
                epoch,
                persisted_size,
                persisted_size + sum(part.size for part in parts),
                more_parts=len(parts),
                sha_state=sha_state,
            )
            sessions.add_parts(tx, upload_id, row["part_count"], parts)

        await self._database.write("ledger.record_parts", work)

    async def parts(self, upload_id: str) -> Sequence[StoredPart]:
        """See the port."""
        return await self._database.read(
            "ledger.parts", lambda tx: [part_from(row) for row in tx.all(_PARTS, {"id": upload_id})]
        )

    async def begin_commit(self, upload_id: str, epoch: int, persisted_size: int, plan: CommitPlan) -> None:
        """See the port. Raises ValueError when the parts do not add up to the plan's size."""
        if not plan.single_put and persisted_size + sum(part.size for part in plan.tail) != plan.size:
            raise ValueError(f"the parts do not add up to {plan.size} bytes")

        def work(tx: Transaction) -> None:
            row = sessions.advance(
                tx,
                _BEGIN_COMMIT,
                upload_id,
                epoch,
                persisted_size,
                plan.size,
                more_parts=len(plan.tail),
                **plan_values(plan),
            )
            sessions.add_parts(tx, upload_id, row["part_count"], plan.tail)

        await self._database.write("ledger.begin_commit", work)

    async def commit_put(self, upload_id: str, epoch: int, plan: CommitPlan) -> Published:
        """See the port."""
        return await self._published(
            "ledger.commit_put", lambda tx: publish.commit_put(tx, upload_id, epoch, plan, self._new_id)
        )

    async def publish(self, upload_id: str, sha256: str) -> Published:
        """See the port."""
        return await self._published(
            "ledger.publish", lambda tx: publish.publish_session(tx, upload_id, sha256, self._new_id)
        )

    async def _published(self, name: str, work: Callable[[Transaction], Published | LedgerLiftError]) -> Published:
        outcome = await self._database.write(name, work)
        if isinstance(outcome, LedgerLiftError):
            raise outcome
        return outcome

    async def fail(self, upload_id: str, error: LedgerLiftError, *, epoch: int | None) -> UploadSession:
        """See the port."""

        def work(tx: Transaction) -> UploadSession:
            found: ColumnElement[bool]
            if epoch is None:
                found = and_(_s.upload_id == upload_id, _s.state == UploadState.COMMITTING.value)
            else:
                found = sessions.held(upload_id, epoch)
            failed = sessions.end_session(
                tx,
                found,
                UploadState.FAILED,
                EventType.UPLOAD_FAILED,
                self._new_id,
                **publish.failure_values(error),
            )
            if failed is not None:
                return failed
            session = session_from(sessions.find_session(tx, upload_id))
            if session.state.final:
                return session
            raise refusal(session, epoch)

        return await self._database.write("ledger.fail", work)

    async def cancel(self, caller: Caller, upload_id: str) -> UploadSession:
        """See the port."""

        def work(tx: Transaction) -> UploadSession:
            mine = and_(_s.upload_id == upload_id, _s.owner == caller.subject)
            cancelled = sessions.end_session(
                tx,
                and_(mine, _s.state == UploadState.ACTIVE.value),
                UploadState.CANCELLED,
                EventType.UPLOAD_CANCELLED,
                self._new_id,
                fence=True,
                actor=caller.subject,
                request_id=caller.request_id,
            )
            if cancelled is not None:
                return cancelled
            session = session_from(sessions.find_session(tx, upload_id, owner=caller.subject))
            if session.state in (UploadState.COMMITTING, UploadState.COMMITTED):
                raise UploadAlreadyCommitted(
                    f"upload {upload_id} is {session.state.lower()} and cannot be cancelled",
                    metadata={"upload_id": upload_id},
                )
            return session

        return await self._database.write("ledger.cancel", work)

    async def list(self, owner: str, where: UploadFilter, *, page_size: int, page_token: str) -> Page[UploadSession]:
        """See the port."""
        tokens = PageTokens(time_and_id, "uploads", owner, where)
        after = tokens.decode(page_token)

        def work(tx: Transaction) -> Page[UploadSession]:
            return read_page(
                tx,
                partial(sessions.list_sessions, owner, where),
                after,
                page_size,
                session_from,
                lambda row: (row["create_time"], row["upload_id"]),
                lambda row: tokens.encode(to_microseconds(row["create_time"]), row["upload_id"]),
                texts=("filename", "key", "metadata", "error_message"),
                page_bytes=self._page_bytes,
            )

        return await self._database.read("ledger.list", work)

    async def pulse(self, upload_ids: Collection[str]) -> Mapping[str, SessionPulse]:
        """See the port."""
        statement = select(_s.upload_id, _s.epoch, _s.state, _s.persisted_size, _s.update_time).where(
            _s.upload_id.in_(list(upload_ids))
        )
        rows = await self._database.read("ledger.pulse", lambda tx: tx.all(statement))
        return {
            row["upload_id"]: SessionPulse(
                row["upload_id"],
                row["epoch"],
                UploadState(row["state"]),
                row["persisted_size"],
                row["update_time"],
            )
            for row in rows
        }
