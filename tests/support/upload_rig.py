"""Upload calls without a wire: the real domain on real SQLite, real files and real digests, and a stream by script.

`UploadRig` holds the two stores; each `Replica` is a server's worth of domain over them. What may go wrong is
put between a replica and its stores with `Watched`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from crc32c import crc32c as crc_of
from ledgerlift_server.adapters.compute import ComputePool
from ledgerlift_server.adapters.content import SignatureInspector
from ledgerlift_server.adapters.digest import HashlibHashers, LibcryptoHashers, crc32c, load_hashers
from ledgerlift_server.adapters.filesystem import FilesystemStore
from ledgerlift_server.adapters.sql import Database, DatabaseOptions, SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.domain.commit import Committer
from ledgerlift_server.domain.drift import DriftFinder
from ledgerlift_server.domain.janitor import Janitor, JanitorOptions
from ledgerlift_server.domain.ledger_port import Maintenance, UploadLedger
from ledgerlift_server.domain.models import Caller, Document, DocumentFilter
from ledgerlift_server.domain.object_names import object_name
from ledgerlift_server.domain.offload_port import Offload
from ledgerlift_server.domain.part_buffers import BufferBudget, PartBuffer
from ledgerlift_server.domain.pipeline_tools import PipelineTools
from ledgerlift_server.domain.session_pulses import SessionPulses
from ledgerlift_server.domain.store_port import ObjectStore
from ledgerlift_server.domain.upload_entry import UploadEntry
from ledgerlift_server.domain.upload_message import UploadMessage
from ledgerlift_server.domain.upload_models import UploadFilter, UploadSession, UploadSpec
from ledgerlift_server.domain.upload_options import UploadOptions
from ledgerlift_server.domain.upload_service import UploadService
from ledgerlift_server.domain.upload_stream import Committed, Stopped, StreamTools
from ledgerlift_server.domain.validation import Limits
from ledgerlift_server.resilience.bulkhead import Bulkhead

from tests.support.dependencies import never_opens
from tests.support.domain_objects import OWNER, caller
from tests.support.loop_clock import LoopClock

PART = 1024
"""Bytes of a part here."""

OPTIONS = UploadOptions(
    part_size=PART,
    segment_size=4 * PART,
    parts_in_flight=3,
    memory_budget=64 * PART,
    max_document_size=1000 * PART,
    result_poll=0.1,
)


def content(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two parts are alike."""
    return b"".join(hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in range(size // 32 + 1))[:size]


def digest(data: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def message(
    data: bytes = b"",
    *,
    to: UploadSpec | str | None = None,
    partial: bool = True,
    offset: int | None = None,
    crc: int | None = None,
    finish: bool = False,
    sha256: str | None = None,
    size: int | None = None,
) -> UploadMessage:
    """One message. `to` is the target, for the first of a stream."""
    return UploadMessage(to, partial, offset, memoryview(bytearray(data)), crc, finish, sha256, size)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in pieces of `size`; one empty piece of nothing."""
    for start in range(0, max(1, len(data)), size):
        yield data[start : start + size]


def stream(
    data: bytes, *, to: UploadSpec | str, size: int = 700, finish: bool = True, offset: int | None = None
) -> list[UploadMessage]:
    """A document in messages of `size`, each with its CRC; the last finishes unless told otherwise."""
    messages = [message(piece, crc=crc_of(piece)) for piece in pieces(data, size)]
    messages[0] = replace(messages[0], target=to, offset=offset)
    messages[-1] = replace(messages[-1], finish=finish)
    return messages


def orphan_name(number: int) -> str:
    """A name of an object that this service could have made."""
    return object_name(f"01900000-0000-7000-8000-{number:012x}")


class Script:
    """A `MessageSource` that plays what it is given: messages, the exception of a read, None for the end.

    When it has played everything, a read waits until `send` brings more. The data of a message is destroyed when
    the next one is asked for: it was only borrowed.
    """

    def __init__(self, *items: UploadMessage | Exception | None) -> None:
        self._items = list(items)
        self._read: asyncio.Future[UploadMessage | None] | None = None
        self._lent: memoryview | None = None

    def send(self, *items: UploadMessage | Exception | None) -> None:
        """More arrives."""
        self._items += items
        self._play()

    @property
    def waiting(self) -> bool:
        """True while a read waits for more."""
        return self._read is not None and not self._read.done()

    def pending(self) -> asyncio.Future[UploadMessage | None]:
        """See the port."""
        if self._read is None:
            if self._lent is not None and not self._lent.readonly:
                self._lent[:] = b"\xee" * len(self._lent)
            self._lent = None
            self._read = asyncio.get_running_loop().create_future()
            self._play()
        return self._read

    def take(self) -> UploadMessage | None:
        """See the port."""
        assert self._read is not None
        read, self._read = self._read, None
        taken = read.result()
        self._lent = None if taken is None else taken.data
        return taken

    def _play(self) -> None:
        if self._read is None or self._read.done() or not self._items:
            return
        item = self._items.pop(0)
        if isinstance(item, Exception):
            self._read.set_exception(item)
        else:
            self._read.set_result(item)


Hook = Callable[..., Awaitable[None]]


class Watched:
    """A port's real implementation behind hooks: `before["put_part"]` is awaited with the call's arguments."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.done: Counter[str] = Counter()
        self.under_way = 0
        self.before: dict[str, Hook] = {}
        self.after: dict[str, Hook] = {}

    def count(self, method: str) -> int:
        """How often the method was called."""
        return sum(name == method for name, _ in self.calls)

    def __getattr__(self, method: str) -> Any:
        real = getattr(self.real, method)
        if not callable(real):
            return real

        async def call(*args: Any, **more: Any) -> Any:
            self.calls.append((method, args))
            self.under_way += 1
            try:
                if method in self.before:
                    await self.before[method](*args)
                result = await real(*args, **more)
                self.done[method] += 1
                if method in self.after:
                    await self.after[method](*args)
                return result
            finally:
                self.under_way -= 1

        return call


class Gate:
    """A hook that holds calls. `arrived` counts those that came."""

    def __init__(self, holds: Callable[..., bool] = lambda *_: True) -> None:
        """Held are the calls whose arguments `holds` says so of."""
        self._holds = holds
        self._open = asyncio.Event()
        self.arrived = 0

    async def __call__(self, *args: Any) -> None:
        """Hook."""
        if self._holds(*args):
            self.arrived += 1
            await self._open.wait()

    def open(self) -> None:
        """Let everybody through, for good."""
        self._open.set()


def failing(error: Exception, holds: Callable[..., bool] = lambda *_: True, times: int = 1_000_000) -> Hook:
    """A hook that fails the first `times` calls whose arguments `holds` says so of."""
    left = [times]

    async def hook(*args: Any) -> None:
        if left[0] > 0 and holds(*args):
            left[0] -= 1
            raise error

    return hook


class CountedBudget(BufferBudget):
    """Remembers the most that was out at once, and how many streams are in."""

    most_used = 0
    streams = 0

    async def take(self, capacity: int) -> PartBuffer:
        """See `BufferBudget`."""
        buffer = await super().take(capacity)
        self.most_used = max(self.most_used, self.used)
        return buffer

    async def enter(self) -> None:
        """See `BufferBudget`."""
        await super().enter()
        self.streams += 1

    def leave(self) -> None:
        """See `BufferBudget`."""
        self.streams -= 1
        super().leave()


@dataclass
class Replica:
    """A server's worth of domain."""

    ledger: Watched
    store: Watched
    maintenance: Watched
    budget: CountedBudget
    committer: Committer
    pulses: SessionPulses
    uploads: UploadService
    entry: UploadEntry
    janitor: Janitor
    announced: list[UploadSession] = field(default_factory=list)
    removals: list[None] = field(default_factory=list)

    async def run(
        self, *script: UploadMessage | Exception | None, source: Script | None = None, by: Caller | None = None
    ) -> Committed | Stopped:
        """One Upload call. The script ends in the end of the stream, unless a `source` is given."""

        async def announce(session: UploadSession) -> None:
            self.announced.append(session)

        return await self.entry.run(by or caller(), source or Script(*script, None), announce)


class UploadRig:
    """The two stores, and the replicas over them. Use as an asynchronous context manager."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.clock = LoopClock()
        self._database_bulkhead = Bulkhead("database", 8, max_wait=30.0)
        self._store_bulkhead = Bulkhead("storage", 8, max_wait=30.0)
        self.compute = ComputePool(2)
        self.database = Database(database_url, never_opens("database", self._database_bulkhead), DatabaseOptions())
        self.store = FilesystemStore(folder, never_opens("storage", self._store_bulkhead))
        self.ledger = SqlUploadLedger(self.database)
        self.documents = SqlDocuments(self.database)
        self.maintenance = SqlMaintenance(self.database)
        self._replicas: list[Replica] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> UploadRig:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for replica in self._replicas:
            replica.entry.drain()
            await asyncio.wait({asyncio.create_task(replica.committer.close())}, timeout=5.0)
        # Parts that were left on their way, calls that nobody waited for: they end by themselves.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        stuck = (await asyncio.wait(left, timeout=5.0))[1] if left else set()
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        self.store.close()
        self.compute.close()
        self._store_bulkhead.close()
        self.database.close()
        self._database_bulkhead.close()
        if kind is None:
            assert not stuck, stuck
            assert [replica.budget.used for replica in self._replicas] == [0] * len(self._replicas), "memory was lost"
            assert [replica.budget.streams for replica in self._replicas] == [0] * len(self._replicas), (
                "a stream is in"
            )

    def replica(
        self,
        options: UploadOptions = OPTIONS,
        *,
        hashers: LibcryptoHashers | HashlibHashers | None = None,
        janitor: JanitorOptions | None = None,
        orphan_age: float = 0.0,
        checkpoint: Callable[[str], None] = lambda _: None,
        offload: Offload | None = None,
        record_patience: float = 0.1,
    ) -> Replica:
        """One more server over the same stores."""
        ledger, store, maintenance = Watched(self.ledger), Watched(self.store), Watched(self.maintenance)
        maintenance_port = cast(Maintenance, maintenance)
        ledger_port, store_port = cast(UploadLedger, ledger), cast(ObjectStore, store)
        chosen = hashers or load_hashers()
        pulses = SessionPulses(ledger_port, interval=options.result_poll)
        self._tasks.append(asyncio.create_task(pulses.run()))
        committer = Committer(
            ledger_port, store_port, chosen, self.compute, timeout=options.commit_timeout, checkpoint=checkpoint
        )
        removals: list[None] = []
        uploads = UploadService(
            ledger_port,
            self.documents,
            pulses,
            options,
            Limits(options.max_document_size),
            new_id=new_id,
            on_removals=lambda: removals.append(None),
        )
        budget = CountedBudget(options.memory_budget, wait=options.budget_wait)
        tools = StreamTools(
            ledger=ledger_port,
            committer=committer,
            pulses=pulses,
            hashers=chosen,
            inspector=SignatureInspector(),
            pipeline=PipelineTools(
                store=store_port,
                ledger=ledger_port,
                budget=budget,
                offload=offload or self.compute,
                crc32c=crc32c,
                parts_in_flight=options.parts_in_flight,
                part_timeout=options.part_timeout,
                record_patience=record_patience,
                checkpoint=checkpoint,
            ),
            options=options,
            on_removals=lambda: removals.append(None),
        )
        made = Replica(
            ledger,
            store,
            maintenance,
            budget,
            committer,
            pulses,
            uploads,
            UploadEntry(uploads, tools),
            Janitor(
                maintenance_port,
                store_port,
                committer,
                DriftFinder(maintenance_port, store_port, orphan_age=orphan_age),
                janitor or JanitorOptions(commit_idle=0.0),
                holder=f"replica-{len(self._replicas)}",
                clock=self.clock,
            ),
            removals=removals,
        )
        self._replicas.append(made)
        return made

    async def put_orphan(self, number: int) -> str:
        """An object that this service could have made, and that nothing knows of; its name."""
        name = orphan_name(number)
        await self.store.put(name, memoryview(b"x"), crc32c=crc_of(b"x"), token="of nobody")  # noqa: S106 - no secret
        return name

    async def begin_orphan(self, number: int) -> str:
        """The same of a multipart upload."""
        name = orphan_name(number)
        await self.store.create_multipart(name, token="of nobody")  # noqa: S106 - no secret
        return name

    async def bytes_of(self, document: Document) -> bytes:
        """What is stored of a document."""
        return await self.store.read(document.object_name, 0, document.size + 1)

    async def all_documents(self, owner: str = OWNER) -> tuple[Document, ...]:
        """Every document of the owner."""
        page = await self.documents.list(owner, DocumentFilter(), page_size=1000, page_token="")
        return page.items

    async def session(self, owner: str = OWNER) -> UploadSession:
        """The only session of the owner."""
        page = await self.ledger.list(owner, UploadFilter(), page_size=10, page_token="")
        (found,) = page.items
        return found

    async def durable(self, size: int) -> UploadSession:
        """The only session, once exactly so many bytes of it are durable."""
        while (session := await self.session()).persisted_size < size:  # noqa: ASYNC110 - a poll of the database
            await asyncio.sleep(0.005)
        assert session.persisted_size == size
        return session

    async def objects(self) -> set[str]:
        """Names of all visible objects."""
        return {name for name, _ in (await self.store.list_objects(after=None, limit=1000)).names}

    async def check_whole(self, document: Document, data: bytes) -> None:
        """The document is exactly `data`, in the record and in the store."""
        assert (document.size, document.sha256) == (len(data), digest(data))
        assert await self.bytes_of(document) == data

    async def nothing_committed(self) -> UploadSession:
        """No document, no visible object; the session."""
        assert await self.all_documents() == ()
        assert await self.objects() == set()
        return await self.session()


@contextmanager
def interrupted(task: asyncio.Task[Any]) -> Iterator[None]:
    """Cancel the task at the end of the block, as a client that leaves does."""
    try:
        yield
    finally:
        task.cancel()
