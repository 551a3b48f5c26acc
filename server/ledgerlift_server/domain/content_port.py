"""What the bytes of a document say of their own type, as the domain sees it."""

from __future__ import annotations

from typing import Protocol


class ContentInspector(Protocol):
    """Compares a document's first bytes with the type that was declared for it."""

    def conflict(self, declared: str, head: bytes, filename: str) -> str | None:
        """A sentence for the caller when `head` is not the beginning of a document of type `declared`, or None.

        `declared` is a media type in lower case without parameters. `head` is the first few KiB of the
        document, or all of it; empty means an empty document, which contradicts no type. `filename` only
        refines what the bytes themselves say. Bounded in time for any `head`, and never raises.
        """
