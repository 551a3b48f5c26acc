"""How a pool of connections is used, as whoever owns it tells health and metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections at one moment."""

    size: int
    """That are kept."""
    checked_out: int
    """In use."""
    overflow: int
    """Open beyond `size`."""
    max_connections: int
    """That may be open at once."""
