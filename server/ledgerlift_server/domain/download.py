"""The way of a document's bytes out: read ahead by one block, hashed on the way where all of it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ledgerlift_server.domain.digest_port import Crc32c, HasherFactory
from ledgerlift_server.domain.document_port import DocumentRepository
from ledgerlift_server.domain.models import Caller, Document
from ledgerlift_server.domain.offload_port import Offload
from ledgerlift_server.domain.store_port import NoSuchObject, ObjectStore
from ledgerlift_server.domain.validation import Violations
from ledgerlift_server.errors import Resource, StoredObjectCorrupt

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive bytes of a document, and their CRC-32C."""

    offset: int
    data: bytes
    crc32c: int


class Downloads:
    """Reads documents for their owners."""

    def __init__(
        self,
        documents: DocumentRepository,
        store: ObjectStore,
        hashers: HasherFactory,
        crc32c: Crc32c,
        offload: Offload,
        *,
        block_size: int,
    ) -> None:
        """`block_size` bytes are read at a time, and sent as one message."""
        self._documents = documents
        self._store = store
        self._hashers = hashers
        self._crc32c = crc32c
        self._offload = offload
        self._block_size = block_size

    async def run(
        self, caller: Caller, document_id: str, offset: int, length: int | None
    ) -> AsyncIterator[Document | Chunk]:
        """The record, then its bytes from `offset` on, in order. Ends normally only when all were there.

        `length` None means to the end; more than there is means to the end. A read of the whole document
        that does not give its digest raises StoredObjectCorrupt instead of ending. Raises InvalidRequest
        and DocumentNotFound, also when the document is deleted meanwhile.
        """
        found = Violations()
        found.uuid("document_id", document_id)
        found.require(offset >= 0, "offset", "must be 0 or more")
        found.require(length is None or length >= 0, "length", "must be 0 or more")
        found.raise_if_any()
        document = await self._documents.get(caller.subject, document_id)
        found.require(offset <= document.size, "offset", f"must be at most the size, {document.size}")
        found.raise_if_any()
        end = document.size if length is None else min(document.size, offset + length)
        yield document
        hasher = self._hashers.new() if offset == 0 and end == document.size else None
        position = offset
        ahead = self._read(document, position, end)
        try:
            while position < end:
                data = await ahead
                position += len(data)
                ahead = self._read(document, position, end)
                view = memoryview(data)
                crc = await self._offload(self._crc32c, view)
                if hasher is not None:
                    await self._offload(hasher.update, view)
                    if position == end:
                        _compare(document, hasher.hexdigest())
                yield Chunk(position - len(data), data, crc)
        except NoSuchObject as gone:
            await self._documents.get(caller.subject, document_id)  # deleted while it was read: DocumentNotFound
            raise _corrupt(document, "is gone") from gone
        finally:
            ahead.cancel()  # one that has failed counts as looked at by this

    def _read(self, document: Document, position: int, end: int) -> asyncio.Task[bytes]:
        return asyncio.create_task(self._block(document, position, min(self._block_size, end - position)))

    async def _block(self, document: Document, position: int, length: int) -> bytes:
        if length <= 0:
            return b""
        try:
            data = await self._store.read(document.object_name, position, length)
        except StoredObjectCorrupt as damaged:  # the store's own words are about files of its own
            raise _corrupt(document, "is damaged", cause=damaged.message) from damaged
        if len(data) != length:
            raise _corrupt(document, f"ends after {position + len(data)} bytes")
        return data


def _compare(document: Document, digest: str) -> None:
    if digest != document.sha256:
        raise _corrupt(document, f"has SHA-256 {digest}", expected=document.sha256, computed=digest)


def _corrupt(document: Document, what: str, *, cause: str = "", **facts: str) -> StoredObjectCorrupt:
    """What the caller is told; operators are told more, for somebody has to look after the store."""
    logger.error(
        "stored_object_corrupt",
        extra={"document_id": document.document_id, "object": document.object_name, "cause": cause or what, **facts},
    )
    return StoredObjectCorrupt(
        f"the stored object of document {document.document_id} {what}",
        metadata={"document_id": document.document_id, **facts},
        resource=Resource("document", document.document_id),
    )
