"""The path of the bytes of one stream: received into part buffers, hashed and stored at once, recorded in order.

    write ─> [buffer] ─> hash (in order, off the loop) ─┐
                    └──> store (up to `parts_in_flight`)┴─> ledger (contiguous prefix only)

While part N is hashed and stored, part N + 1 is received. At most `parts_in_flight` buffers are on
their way to the store and one is being filled: that is the stream's memory. A buffer goes back to the
budget as soon as it is hashed and stored. The ledger publishes only the contiguous prefix; parts that
became durable while one transaction ran share the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ledgerlift_server.domain.digest_port import Hasher
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.part_buffers import BufferBudget, PartBuffer
from ledgerlift_server.domain.store_port import IntegrityRefused, NoSuchMultipart, ObjectStore
from ledgerlift_server.domain.upload_models import StoredPart, UploadSession
from ledgerlift_server.errors import DependencyUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

HEAD_SIZE = 8192
"""Bytes of a document's beginning that are looked at for its type."""


class Offload(Protocol):
    """Runs a function that computes (hashing) on a thread pool of its own."""

    def __call__(self, fn: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """Await the result of `fn(*args)`."""


@dataclass(frozen=True, slots=True)
class PipelineTools:
    """What every pipeline works with; one instance for the whole server."""

    store: ObjectStore
    ledger: UploadLedger
    budget: BufferBudget
    offload: Offload
    crc32c: Callable[[memoryview], int]
    parts_in_flight: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """All bytes of a document, durable in the store and not yet published.

    `sha256` is None where the hash state was lost over a resume. `unrecorded` are the parts that the
    ledger has not seen. `single_put` names the object of a document below one part.
    """

    size: int
    sha256: str | None
    unrecorded: tuple[StoredPart, ...]
    part_count: int
    persisted_size: int
    single_put: str | None


@dataclass(slots=True)
class _Part:
    number: int
    size: int
    stored: StoredPart | None = None
    hashed: bool = False
    sha_state: bytes | None = None


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
        self._hasher = hasher
        self._tools = tools
        self._admit_head = admit_head
        self._on_durable = on_durable
        self._on_failure = on_failure
        self.accepted_size = session.persisted_size
        self.persisted_size = session.persisted_size
        self._part_count = session.part_count
        self._filling: PartBuffer | None = None
        self._slots = asyncio.Semaphore(tools.parts_in_flight)
        self._unrecorded: deque[_Part] = deque()
        self._recording = asyncio.Lock()
        self._sealed = False
        self._hash_turn: asyncio.Future[None] | None = None
        self._multipart: asyncio.Task[str] | None = None
        self._carriers: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    @property
    def part_count(self) -> int:
        """Parts stored or on their way, those of earlier streams included."""
        return self._part_count

    async def write(self, data: memoryview, *, still_to_come: int | None) -> None:
        """Take `data` in, right behind what was accepted before. Returns once it is in part buffers.

        `still_to_come` is the number of bytes from here to the document's end where that is known, so
        that a small document takes a small buffer. Raises what a part on its way raised, Overloaded
        without memory, and what `admit_head` raises.
        """
        while data:
            self._raise_failure()
            if self._filling is None:
                size = self._session.part_size
                self._filling = await self._tools.budget.take(
                    size if still_to_come is None else min(size, max(still_to_come, len(data)))
                )
            taken = data[: self._filling.room]
            self._filling.append(taken)
            data = data[len(taken) :]
            self.accepted_size += len(taken)
            if still_to_come is not None:
                still_to_come -= len(taken)
            if self._filling.filled == self._session.part_size:
                await self._launch()

    async def settle(self) -> int:
        """Wait until every whole part is durable and recorded; drop the rest. The durable size in bytes."""
        self._drop_filling()
        await self._all_carried()
        return self.persisted_size

    async def seal(self, check: Callable[[str | None], None]) -> Sealed:
        """Make everything durable, the last bytes included. The document's end is what was accepted.

        `check` gets the digest (None: not known) and may raise before a small document is stored.
        """
        if self._part_count == 0:
            return await self._seal_small(check)
        if self._filling is not None and self._filling.filled:
            await self._launch()
        self._drop_filling()
        await self._all_carried(record=False)
        digest = self._hasher.hexdigest() if self._hasher else None
        check(digest)
        async with self._recording:
            self._sealed = True
            rest = tuple(part.stored for part in self._unrecorded if part.stored)
        return Sealed(self.accepted_size, digest, rest, self._part_count, self.persisted_size, None)

    def abandon(self) -> None:
        """Take no more bytes. What is on its way becomes durable if it can."""
        self._drop_filling()

    async def _seal_small(self, check: Callable[[str | None], None]) -> Sealed:
        buffer, self._filling = self._filling, None
        body = buffer.view() if buffer is not None else memoryview(b"")
        try:
            self._admit_head(body[:HEAD_SIZE])
            assert self._hasher is not None, "a session without parts begins with a fresh hasher"
            crc = self._tools.crc32c(body)
            await self._tools.offload(self._hasher.update, body)
            digest = self._hasher.hexdigest()
            check(digest)
            name = self._session.put_name(self._session.epoch)
            await self._insist(lambda: self._tools.store.put(name, body, crc32c=crc, token=self._session.upload_id))
        finally:
            if buffer is not None:
                self._tools.budget.give_back(buffer)
        return Sealed(self.accepted_size, digest, (), 0, 0, name)

    async def _launch(self) -> None:
        buffer, self._filling = self._filling, None
        assert buffer is not None
        try:
            if self._part_count == 0:
                self._admit_head(buffer.view()[:HEAD_SIZE])
            await self._slots.acquire()
        except BaseException:
            self._tools.budget.give_back(buffer)
            raise
        self._part_count += 1
        part = _Part(self._part_count, buffer.filled)
        self._unrecorded.append(part)
        before, self._hash_turn = self._hash_turn, asyncio.get_running_loop().create_future()
        carrier = asyncio.create_task(self._carry(part, buffer, before, self._hash_turn))
        self._carriers.add(carrier)
        carrier.add_done_callback(self._carriers.discard)

    async def _carry(
        self,
        part: _Part,
        buffer: PartBuffer,
        before: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> None:
        try:
            try:
                results = await asyncio.gather(
                    self._store(part, buffer), self._hash(part, buffer, before, done), return_exceptions=True
                )
            finally:
                self._tools.budget.give_back(buffer)
                self._slots.release()
            for failed in results:
                if failed is not None:
                    raise failed
            await self._record()
        except asyncio.CancelledError as cancelled:
            self._fail(cancelled)
            raise
        except Exception as error:  # told to the stream, which raises it
            self._fail(error)

    async def _store(self, part: _Part, buffer: PartBuffer) -> None:
        view = buffer.view()
        crc = await self._tools.offload(self._tools.crc32c, view)
        if self._multipart is None:
            self._multipart = asyncio.create_task(self._open_multipart())
        multipart_id = await asyncio.shield(self._multipart)
        part.stored = await self._insist(
            lambda: self._tools.store.put_part(self._session.object_name, multipart_id, part.number, view, crc32c=crc)
        )

    async def _hash(
        self,
        part: _Part,
        buffer: PartBuffer,
        before: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> None:
        try:
            if before is not None:
                await before
            if self._hasher is not None and self._failure is None:
                part.sha_state = await self._tools.offload(_absorb, self._hasher, buffer.view())
            part.hashed = True
        finally:
            done.set_result(None)

    async def _open_multipart(self) -> str:
        session = self._session
        if session.multipart_id is not None:
            return session.multipart_id
        made = await self._tools.store.create_multipart(session.object_name, token=session.upload_id)
        kept = await self._tools.ledger.attach_multipart(session.upload_id, session.epoch, made)
        if kept != made:
            with suppress(NoSuchMultipart):
                await self._tools.store.abort_multipart(session.object_name, made)
        return kept

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

    async def _record(self) -> None:
        async with self._recording:
            if self._sealed or self._failure is not None:
                return
            ready: list[_Part] = []
            for part in self._unrecorded:
                short = part.size < self._session.part_size  # the document's end: recorded by the commit
                if part.stored is None or not part.hashed or short:
                    break
                ready.append(part)
            if not ready:
                return
            await self._tools.ledger.record_parts(
                self._session.upload_id,
                self._session.epoch,
                self.persisted_size,
                [part.stored for part in ready if part.stored],
                ready[-1].sha_state,
            )
            for part in ready:
                self._unrecorded.popleft()
                self.persisted_size += part.size
        self._on_durable()

    async def _all_carried(self, *, record: bool = True) -> None:
        while self._carriers:
            await asyncio.wait(self._carriers)
        self._raise_failure()
        if record:
            await self._record()

    def _drop_filling(self) -> None:
        buffer, self._filling = self._filling, None
        if buffer is not None:
            self.accepted_size -= buffer.filled
            self._tools.budget.give_back(buffer)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._on_failure(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _absorb(hasher: Hasher, view: memoryview) -> bytes | None:
    hasher.update(view)
    return hasher.state()
