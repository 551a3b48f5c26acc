"""What the pipelines of all streams work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledgerlift_server.domain.digest_port import Crc32c
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.offload_port import Offload
from ledgerlift_server.domain.part_buffers import BufferBudget
from ledgerlift_server.domain.settling import Settling
from ledgerlift_server.domain.spans import NO_SPANS, Spans
from ledgerlift_server.domain.steps import Checkpoint, no_checkpoint
from ledgerlift_server.domain.store_port import ObjectStore


@dataclass(frozen=True, slots=True)
class PipelineTools:
    """What every pipeline works with; one instance for the whole server. Times are in seconds."""

    store: ObjectStore
    ledger: UploadLedger
    budget: BufferBudget
    offload: Offload
    crc32c: Crc32c
    parts_in_flight: int
    part_timeout: float
    record_patience: float = 0.1
    """How long a part that is durable waits for others, at the most, before it is recorded."""
    settling: Settling = field(default_factory=Settling)
    checkpoint: Checkpoint = no_checkpoint
    spans: Spans = NO_SPANS
