"""What objects are called, and which of a bucket's objects are ours to remove."""

from __future__ import annotations

import pytest
from ledgerlift_server.domain.object_names import is_ours, object_name
from uuid_utils import uuid7


def test_our_own_names_are_recognised() -> None:
    """A multipart's object, a single put's, and what the probe makes."""
    name = object_name(str(uuid7()))
    assert is_ours(name)
    assert is_ours(f"{name}.12")
    assert is_ours("objects/probe/0f1e")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "invoices/2026/november.pdf",
        "objects/readme.txt",
        "objects/ab/readme.txt",
        "backup/objects/ab/01a20ee7-92cf-76fb-ac08-14ad43e867ab",
        "objects/ab/01a20ee7-92cf-76fb-ac08-14ad43e867ab.pdf",
        "objects/ab/01a20ee7-92cf-76fb-ac08-14ad43e867ab/x",
    ],
)
def test_what_others_keep_in_the_bucket_is_not_ours(name: str) -> None:
    """The janitor removes nothing that this service cannot have made."""
    assert not is_ours(name)
