"""What a container of the server needs, as docs/operations.md (Sizing) and the doctor count it."""

from __future__ import annotations

import re

from ledgerlift_server.doctor.memory import IDLE, PER_DOWNLOAD, SLACK, needed

__all__ = ["IDLE", "PER_DOWNLOAD", "SLACK", "needed", "in_bytes"]

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def in_bytes(quantity: str) -> int:
    """`1280M` of compose files, where it is 1024 x 1024, and `1280Mi` of Kubernetes."""
    form = re.fullmatch(r"(\d+)([A-Za-z]+)", quantity)
    assert form is not None, quantity
    return int(form[1]) * _UNITS[form[2]]
