"""Ids of what this service makes."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A UUIDv7, 36 characters; later ones sort behind earlier ones."""
    return str(uuid_utils.uuid7())
