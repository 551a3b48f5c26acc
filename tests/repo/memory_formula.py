"""What a container of the server needs, as docs/operations.md (Sizing) counts it."""

from __future__ import annotations

import re

from ledgerlift_server.settings import Settings

MIB = 1024 * 1024
IDLE = 128 * MIB
"""The process with its packages, pools and threads; 118 MiB with S3 (docs/BENCHMARKS.md)."""
PER_DOWNLOAD = 7 * MIB
"""Measured: 200 downloads whose clients read nothing, each on a connection of its own."""
SLACK = 128 * MIB
"""What the allocator keeps before it returns it (64 MiB), and messages of unary calls and watches."""

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def needed(settings: Settings) -> int:
    """Bytes of memory, at the most."""
    return IDLE + settings.upload_memory_budget + PER_DOWNLOAD * settings.max_concurrent_downloads + SLACK


def in_bytes(quantity: str) -> int:
    """`1280M` of compose files, where it is 1024 x 1024, and `1280Mi` of Kubernetes."""
    form = re.fullmatch(r"(\d+)([A-Za-z]+)", quantity)
    assert form is not None, quantity
    return int(form[1]) * _UNITS[form[2]]
