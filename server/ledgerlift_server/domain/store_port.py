"""The object store as the domain sees it: the calls that are used, and what failure looks like.

Every method is safe to call from many tasks at once, waits no longer than `current_deadline()`, and
raises `errors.DependencyUnavailable`, `errors.CircuitOpen`, `errors.Overloaded` or
`errors.DeadlineExceeded` when the store cannot be asked. What it raises beyond that is named here.

"Durable" means that the bytes survive the loss of power after the call has returned. An object is
visible to `stat`, `read` and `list_objects` whole or not at all; parts of an unfinished multipart
upload are never visible there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ledgerlift_server.domain.upload_models import StoredPart


class StoreAnswer(Exception):
    """The store answered, and the answer is no. Never leaves the domain; not a failure of the store."""


class NoSuchObject(StoreAnswer):
    """No object of that name."""


class NoSuchMultipart(StoreAnswer):
    """No unfinished multipart upload of that id: completed, aborted, or never begun."""


class InvalidPart(StoreAnswer):
    """A listed part is missing, or its ETag is not the stored part's."""


class IntegrityRefused(StoreAnswer):
    """The store received other bytes than the checksum said. Sending the same again may succeed."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A visible object: its size in bytes, the token it was written with, and when (store's clock)."""

    name: str
    size: int
    token: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class MultipartInfo:
    """An unfinished multipart upload and when it was begun (store's clock)."""

    name: str
    multipart_id: str
    initiated: datetime


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """Names of visible objects in lexical order. `next_after` is None on the last page."""

    names: tuple[tuple[str, datetime], ...]
    next_after: str | None


class ObjectStore(Protocol):
    """Where the bytes lie. One contract suite runs over every implementation (`tests/contract`)."""

    backend: str
    """`s3` or `filesystem`, for reports."""

    async def put(self, name: str, body: memoryview, *, crc32c: int, token: str) -> None:
        """Store `body` (0 bytes up to one part) as the object `name`, durably, replacing any older one.

        `token` is kept with the object and told by `stat`. `body` must stay unchanged until the call has
        ended, also after cancellation: see `put_part`. Raises IntegrityRefused.
        """

    async def create_multipart(self, name: str, *, token: str) -> str:
        """Begin a multipart upload of `name` and return its id. `token` as in `put`."""

    async def put_part(
        self, name: str, multipart_id: str, number: int, body: memoryview, *, crc32c: int
    ) -> StoredPart:
        """Store part `number` (1 to 10,000) durably, replacing an older part of that number.

        The caller lends `body` until the store is done with it: when this coroutine is cancelled or its
        deadline passes, it does not return before the worker thread has let go of the buffer.
        Raises NoSuchMultipart, IntegrityRefused.
        """

    async def complete_multipart(self, name: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of exactly `parts`, in order, visible and durable.

        Raises NoSuchMultipart (it may have been completed before: ask `stat`), InvalidPart.
        """

    async def abort_multipart(self, name: str, multipart_id: str) -> None:
        """Remove the unfinished upload and its parts. Raises NoSuchMultipart when there is none (any more)."""

    async def list_parts(self, name: str, multipart_id: str) -> Sequence[StoredPart]:
        """The stored parts in order of their numbers. Raises NoSuchMultipart."""

    async def stat(self, name: str) -> ObjectInfo:
        """Size and token of a visible object. Raises NoSuchObject."""

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; shorter only at the end of the object. Raises NoSuchObject."""

    async def delete(self, name: str) -> None:
        """Remove the object `name`; no object of that name is fine."""

    async def list_multiparts(self, *, limit: int) -> Sequence[MultipartInfo]:
        """Unfinished multipart uploads, at most `limit`, oldest first where the store can tell."""

    async def list_objects(self, *, after: str | None, limit: int) -> ObjectPage:
        """Visible objects whose names follow `after`, at most `limit`."""
