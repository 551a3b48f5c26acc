"""The bounds and times of uploads, as the composition root sets them, and the size of a part."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MAX_PARTS = 10_000
"""S3's bound on the parts of one multipart upload."""
PART_ALIGNMENT = 64
"""Parts are multiples of SHA-256's block, so that the hash state can be saved at every part's end."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """Bounds and times of uploads. Validated on construction (ValueError names the field)."""

    part_size: int = 5 * MIB
    """Bytes of a stored part of an ordinary document; S3 wants at least this much, and a broken connection costs half
    of it."""
    segment_size: int = 64 * MIB
    """Bytes that a client is told to send in one call; rounded up to a multiple of the part size."""
    parts_in_flight: int = 4
    """Parts of one upload on their way to the store at once."""
    memory_budget: int = 512 * MIB
    """Bytes of part buffers of all uploads together."""
    budget_wait: float = 10.0
    """Seconds that a stream waits for a buffer before it is told to try later."""
    max_document_size: int = 50 * GIB
    """Largest document in bytes."""
    session_lifetime: float = 24 * 3600.0
    """Seconds that an ACTIVE session lives after its last stored part."""
    request_id_lifetime: float = 7 * 24 * 3600.0
    """Seconds that an ended session, and with it its request id, is kept."""
    stall_timeout: float = 30.0
    """Seconds without a message after which a stream is ended."""
    deadline_margin: float = 2.0
    """Seconds before a call's deadline at which its stream takes nothing more; less for a call of few seconds."""
    settle_timeout: float = 5.0
    """Seconds that a stream which the server ends waits for the parts on their way, before it is answered."""
    part_timeout: float = 60.0
    """Seconds that storing and recording one part may take, whatever becomes of the call that brought it."""
    commit_timeout: float = 300.0
    """Seconds that one drive of a commit may take; the janitor drives again what did not make it."""
    result_poll: float = 1.0
    """Seconds between two looks at a session that another process may be changing."""

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        if self.part_size <= 0 or self.part_size % PART_ALIGNMENT:
            raise ValueError(f"part_size must be a positive multiple of {PART_ALIGNMENT}, not {self.part_size}")
        if self.segment_size < 1:
            raise ValueError(f"segment_size must be at least 1, not {self.segment_size}")
        if self.parts_in_flight < 1:
            raise ValueError(f"parts_in_flight must be at least 1, not {self.parts_in_flight}")
        if part_size_for(None, self) > self.memory_budget:
            raise ValueError(
                f"memory_budget of {self.memory_budget} bytes cannot hold one part of a document of "
                f"max_document_size ({part_size_for(None, self)} bytes)"
            )

    def segment_size_for(self, part_size: int) -> int:
        """Bytes to send in one call of a session with parts of `part_size`: a multiple of it."""
        return -(-self.segment_size // part_size) * part_size


def part_size_for(size: int | None, options: UploadOptions) -> int:
    """Bytes of each part of a document of `size` (None: not declared, so the largest allowed is assumed).

    The ordinary part size, or as much more as it takes to stay within `MAX_PARTS`.
    """
    expected = options.max_document_size if size is None else size
    needed = -(-expected // MAX_PARTS)
    aligned = -(-needed // PART_ALIGNMENT) * PART_ALIGNMENT
    return max(options.part_size, aligned)
