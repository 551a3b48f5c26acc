"""The path of the bytes of one stream: received into part buffers, hashed and stored at once, recorded in order.

    write ─> [buffer] ─> hash (in order, off the loop) ─┐
                    └──> store (up to `parts_in_flight`)┴─> ledger (contiguous prefix only)

While part N is hashed and stored, part N + 1 is received. At most `parts_in_flight` buffers are on
their way to the store and one is being filled: that is the stream's memory. A buffer goes back to the
budget as soon as it is hashed and stored; its turn is over when the ledger has it. So no more than
`parts_in_flight` parts ever lie behind the durable prefix, however slow one of them or the database is:
that, and the buffer being filled, is what a crash can make a client send again.

A part on its way is the server's, not the call's: it has a time of its own, and what becomes of the call
does not keep it from becoming durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from ledgerlift_server.domain.digest_port import Hasher
from ledgerlift_server.domain.ordered_hash import HashTurn, OrderedHash
from ledgerlift_server.domain.part_buffers import PartBuffer
from ledgerlift_server.domain.part_record import Part, PartRecord
from ledgerlift_server.domain.pipeline_tools import PipelineTools
from ledgerlift_server.domain.session_multipart import SessionMultipart
from ledgerlift_server.domain.steps import Step
from ledgerlift_server.domain.store_port import IntegrityRefused
from ledgerlift_server.domain.upload_models import Sealed, UploadSession
from ledgerlift_server.errors import DependencyUnavailable
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

logger = logging.getLogger(__name__)

T = TypeVar("T")

HEAD_SIZE = 8192
"""Bytes of a document's beginning that are looked at for its type."""


class PartPipeline:
    """The parts of one stream that holds a session at one fencing epoch."""

    def __init__(
        self,
        session: UploadSession,
        hasher: Hasher | None,
        tools: PipelineTools,
        *,
        admit_head: Callable[[memoryview], None],
        on_durable: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`hasher` stands at `session.persisted_size` (None: the digest is computed by reading back).

        `admit_head` sees the document's first bytes before any of it is stored and may raise.
        `on_durable` is called when the durable size has grown; `on_failure` at the first failure of
        a part on its way, so that a stream that waits for a message can be woken.
        """
        self._session = session
        self._hash = OrderedHash(hasher, tools)
        self._tools = tools
        self._admit_head = admit_head
        self._on_failure = on_failure
        self._record = PartRecord(session, tools.ledger, patience=tools.record_patience, on_durable=on_durable)
        self._accepted_size = session.persisted_size
        self._part_count = session.part_count
        self._filling: PartBuffer | None = None
        self._entered = False
        self._ended = False
        self._slots = asyncio.Semaphore(tools.parts_in_flight)
        self._multipart = SessionMultipart(session, tools.store, tools.ledger, tools.checkpoint)
        self._carriers: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    @property
    def persisted_size(self) -> int:
        """Bytes that are durable and in the ledger."""
        return self._record.persisted_size

    @property
    def persisted_parts(self) -> int:
        """Parts that are durable and in the ledger, those of earlier streams included."""
        return self._record.part_count

    def fits(self, size: int) -> bool:
        """True when `write` of so many bytes has nothing to wait for."""
        return self._filling is not None and size < self._filling.room

    async def write(self, data: memoryview, *, still_to_come: int | None) -> None:
        """Take `data` in, right behind what was accepted before. Returns once it is in part buffers.

        `still_to_come` is the number of bytes from here to the document's end where that is known, so
        that a small document takes a small buffer. Raises what a part on its way raised, Overloaded
        without memory, and what `admit_head` raises. Cancelled, it leaves the pipeline fit for `settle` only.
        """
        while data:
            self._raise_failure()
            if self._filling is None:
                await self._enter(len(data), still_to_come)
                size = self._session.part_size
                self._filling = await self._tools.budget.take(
                    size if still_to_come is None else min(size, max(still_to_come, len(data)))
                )
            taken = data[: self._filling.room]
            assert taken, "more bytes came than were to come"
            # While the processor has the bytes at hand: of a full part, on a thread, it took three times as long.
            self._filling.crc32c = self._tools.crc32c(taken, self._filling.crc32c)
            self._filling.append(taken)
            data = data[len(taken) :]
            self._accepted_size += len(taken)
            if still_to_come is not None:
                still_to_come -= len(taken)
            if self._filling.filled == self._session.part_size:
                await self._slots.acquire()  # cancelled here, the part is whole: see `_take_no_more`
                self._launch()

    async def settle(self, limit: float | None) -> int:
        """Drop what is no whole part, and wait for the parts on their way, at most `limit` seconds.

        What takes longer goes on by itself. The durable size in bytes. Raises what a part on its way raised.
        """
        self._take_no_more()
        await self._all_carried(limit)
        return self.persisted_size

    async def seal(self, check: Callable[[str | None], None]) -> Sealed:
        """Make everything durable, the last bytes included. The document's end is what was accepted.

        `check` gets the digest (None: not known) and may raise before a small document is stored.
        """
        if self._part_count == 0:
            return await self._seal_small(check)
        if self._filling is not None and self._filling.filled:
            await self._slots.acquire()
            self._launch()
        self._take_no_more()
        await self._all_carried(None)
        digest = self._hash.digest
        check(digest)
        rest = await self._record.close()
        return Sealed(self._accepted_size, digest, rest, self._part_count, self.persisted_size, None)

    def abandon(self) -> None:
        """Take no more bytes. What is on its way becomes durable if it can."""
        self._take_no_more()
        if self._entered:
            self._entered = False
            self._tools.budget.leave()

    async def _enter(self, size: int, still_to_come: int | None) -> None:
        """Nothing is to arrive behind a document that is here whole in its only message."""
        if not self._entered and (still_to_come is None or still_to_come > size):
            await self._tools.budget.enter()
            self._entered = True

    async def _seal_small(self, check: Callable[[str | None], None]) -> Sealed:
        buffer, self._filling = self._filling, None
        body, crc = (buffer.view(), buffer.crc32c) if buffer is not None else (memoryview(b""), 0)
        try:
            self._admit_head(body[:HEAD_SIZE])
            await self._hash.whole(body)
            digest = self._hash.digest
            check(digest)
            name = self._session.put_name(self._session.epoch)
            await self._insist(lambda: self._tools.store.put(name, body, crc32c=crc, token=self._session.upload_id))
        finally:
            if buffer is not None:
                self._tools.budget.give_back(buffer)
        return Sealed(self._accepted_size, digest, (), 0, 0, name)

    def _launch(self) -> asyncio.Task[None]:
        """What was filled goes on its way, in a slot that was acquired for it."""
        buffer, self._filling = self._filling, None
        assert buffer is not None
        try:
            self._raise_failure()
            if self._part_count == 0:
                self._admit_head(buffer.view()[:HEAD_SIZE])
        except BaseException:
            self._slots.release()
            self._tools.budget.give_back(buffer)
            raise
        self._part_count += 1
        part = Part(self._part_count, buffer.filled)
        self._record.add(part)
        turn = self._hash.turn()
        if self._slots.locked():  # the next part would wait for what is gathered
            self._record.hurry()
        with deadline_scope(Deadline.after(self._tools.part_timeout), detached=True):
            return self._carrying(self._carry(part, buffer, turn))

    def _carrying(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        carrier = asyncio.create_task(work)
        self._carriers.add(carrier)
        carrier.add_done_callback(self._carriers.discard)
        return carrier

    async def _carry(self, part: Part, buffer: PartBuffer, turn: HashTurn) -> None:
        try:
            with self._tools.spans.step("part", number=part.number, size=part.size):
                await self._durable(part, buffer, turn)
        except asyncio.CancelledError as cancelled:
            self._fail(cancelled)
            raise
        except Exception as error:  # told to the stream, which raises it
            self._fail(error)

    async def _durable(self, part: Part, buffer: PartBuffer, turn: HashTurn) -> None:
        try:
            results = await asyncio.gather(
                self._store(part, buffer), turn.take(part, buffer.view()), return_exceptions=True
            )
        finally:  # also when this task is cancelled, `gather` ends only after both have let go of the buffer
            self._tools.budget.give_back(buffer)
        for failed in results:
            if failed is not None:
                raise failed
        recorded = await self._record.update(at_once=self._ended or self._slots.locked())
        if recorded:
            self._tools.checkpoint(Step.PARTS_RECORDED)
        for _ in range(recorded):
            self._slots.release()

    async def _store(self, part: Part, buffer: PartBuffer) -> None:
        view, crc = buffer.view(), buffer.crc32c  # of what was received: the store hears what has changed since
        multipart_id = await self._multipart.id()
        part.stored = await self._insist(
            lambda: self._tools.store.put_part(self._session.object_name, multipart_id, part.number, view, crc32c=crc)
        )
        self._tools.checkpoint(Step.PART_STORED)

    async def _insist(self, store_bytes: Callable[[], Awaitable[T]]) -> T:
        """Bytes that changed on their way to the store are sent a second time."""
        try:
            return await store_bytes()
        except IntegrityRefused:
            logger.warning("store_refused_checksum", extra={"upload_id": self._session.upload_id})
        try:
            return await store_bytes()
        except IntegrityRefused as refused:
            raise DependencyUnavailable("the object store received damaged bytes twice") from refused

    async def _all_carried(self, limit: float | None) -> None:
        clock = asyncio.get_running_loop().time
        end = None if limit is None else clock() + limit
        while self._carriers and (end is None or clock() < end):
            await asyncio.wait(self._carriers, timeout=None if end is None else end - clock())
        self._raise_failure()

    def _take_no_more(self) -> None:
        """Drop what is no whole part. A whole one, whose call ended while it waited for its turn, has it yet."""
        if not self._ended:
            self._ended = True
            self._record.hurry()
            if self._filling is not None and self._filling.filled == self._session.part_size:
                self._carrying(self._carry_last())
            else:
                self._drop_filling()
        self._tools.settling.add(self._session, self._carriers)

    async def _carry_last(self) -> None:
        """Ends with the part, so that whoever waits for this waits for that."""
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            self._drop_filling()
            raise
        with suppress(Exception):  # a part before it failed, and that has been told
            await asyncio.wait({self._launch()})

    def _drop_filling(self) -> None:
        buffer, self._filling = self._filling, None
        if buffer is not None:
            self._accepted_size -= buffer.filled
            self._tools.budget.give_back(buffer)

    def _fail(self, error: BaseException) -> None:
        self._slots.release()  # for whoever waits to launch the next part, and is to hear of it
        if self._failure is None:
            self._failure = error
            self._on_failure(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
