"""The asynchronous face that both object stores share: each call of the port, through the one door, on a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.domain.store_port import MultipartInfo, ObjectInfo, ObjectPage
from ledgerlift_server.domain.upload_models import StoredPart


class BlockingObjects(Protocol):
    """Visible objects of a store. Raises what `ObjectStore` raises; safe on many threads at once."""

    def put(self, name: str, body: memoryview, crc32c: int, token: str) -> None:
        """See `ObjectStore.put`."""

    def stat(self, name: str) -> ObjectInfo:
        """See `ObjectStore.stat`."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """See `ObjectStore.read`."""

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""

    def list_objects(self, after: str | None, limit: int) -> ObjectPage:
        """See `ObjectStore.list_objects`."""


class BlockingMultiparts(Protocol):
    """Unfinished uploads of a store. Raises what `ObjectStore` raises; safe on many threads at once."""

    def create_multipart(self, name: str, token: str) -> str:
        """See `ObjectStore.create_multipart`."""

    def put_part(self, name: str, multipart_id: str, number: int, body: memoryview, crc32c: int) -> StoredPart:
        """See `ObjectStore.put_part`."""

    def complete_multipart(self, name: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """See `ObjectStore.complete_multipart`."""

    def abort_multipart(self, name: str, multipart_id: str) -> None:
        """See `ObjectStore.abort_multipart`."""

    def list_parts(self, name: str, multipart_id: str) -> Sequence[StoredPart]:
        """See `ObjectStore.list_parts`."""

    def list_multiparts(self, limit: int) -> Sequence[MultipartInfo]:
        """See `ObjectStore.list_multiparts`."""


class StoreOnThreads:
    """`ObjectStore` over blocking calls. Buffers are lent: see `Bulkhead.run`."""

    def __init__(
        self, backend: str, objects: BlockingObjects, multiparts: BlockingMultiparts, dependency: Dependency
    ) -> None:
        """`backend` as in `ObjectStore`."""
        self.backend = backend
        self._objects = objects
        self._multiparts = multiparts
        self.dependency = dependency
        """What every call goes by."""

    async def put(self, name: str, body: memoryview, *, crc32c: int, token: str) -> None:
        """See `ObjectStore.put`."""
        await self.dependency.call(
            "object.put", self._objects.put, name, body, crc32c, token, lent=True, size=body.nbytes
        )

    async def create_multipart(self, name: str, *, token: str) -> str:
        """See `ObjectStore.create_multipart`."""
        return await self.dependency.call("multipart.create", self._multiparts.create_multipart, name, token)

    async def put_part(
        self, name: str, multipart_id: str, number: int, body: memoryview, *, crc32c: int
    ) -> StoredPart:
        """See `ObjectStore.put_part`."""
        return await self.dependency.call(
            "part.put",
            self._multiparts.put_part,
            name,
            multipart_id,
            number,
            body,
            crc32c,
            lent=True,
            size=body.nbytes,
        )

    async def complete_multipart(self, name: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """See `ObjectStore.complete_multipart`."""
        await self.dependency.call(
            "multipart.complete", self._multiparts.complete_multipart, name, multipart_id, parts
        )

    async def abort_multipart(self, name: str, multipart_id: str) -> None:
        """See `ObjectStore.abort_multipart`."""
        await self.dependency.call("multipart.abort", self._multiparts.abort_multipart, name, multipart_id)

    async def list_parts(self, name: str, multipart_id: str) -> Sequence[StoredPart]:
        """See `ObjectStore.list_parts`."""
        return await self.dependency.call("part.list", self._multiparts.list_parts, name, multipart_id)

    async def stat(self, name: str) -> ObjectInfo:
        """See `ObjectStore.stat`."""
        return await self.dependency.call("object.stat", self._objects.stat, name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `ObjectStore.read`."""
        return await self.dependency.call("object.read", self._objects.read, name, offset, length, size=length)

    async def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        await self.dependency.call("object.delete", self._objects.delete, name)

    async def list_multiparts(self, *, limit: int) -> Sequence[MultipartInfo]:
        """See `ObjectStore.list_multiparts`."""
        return await self.dependency.call("multipart.list", self._multiparts.list_multiparts, limit)

    async def list_objects(self, *, after: str | None, limit: int) -> ObjectPage:
        """See `ObjectStore.list_objects`."""
        return await self.dependency.call("object.list", self._objects.list_objects, after, limit)
