"""What the pipelines of all streams work with, and what one of them hands on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ledgerlift_server.domain.digest_port import Crc32c
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.part_buffers import BufferBudget
from ledgerlift_server.domain.settling import Settling
from ledgerlift_server.domain.spans import NO_SPANS, Spans
from ledgerlift_server.domain.steps import Checkpoint, no_checkpoint
from ledgerlift_server.domain.store_port import ObjectStore
from ledgerlift_server.domain.upload_models import StoredPart

T = TypeVar("T")


class Offload(Protocol):
    """Runs a function that computes (hashing) on a thread pool of its own."""

    def __call__(self, fn: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """Await the result of `fn(*args)`."""


@dataclass(frozen=True, slots=True)
class PipelineTools:
    """What every pipeline works with; one instance for the whole server. `part_timeout` is in seconds."""

    store: ObjectStore
    ledger: UploadLedger
    budget: BufferBudget
    offload: Offload
    crc32c: Crc32c
    parts_in_flight: int
    part_timeout: float
    settling: Settling = field(default_factory=Settling)
    checkpoint: Checkpoint = no_checkpoint
    spans: Spans = NO_SPANS


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
