"""What objects are called. Unique to a session, never derived from the digest, never reused (rule 7).

    objects/<last two digits of the id>/<upload id>            a multipart upload's
    objects/<last two digits of the id>/<upload id>.<epoch>    a single PutObject's

The digits spread the names over folders and over S3's partitions: UUIDv7 begins with the time.
"""

from __future__ import annotations

import re

_OURS = re.compile(r"objects/(probe/.+|[0-9a-f]{2}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9]+)?)")


def object_name(upload_id: str) -> str:
    """Where the bytes of a session go."""
    return f"objects/{upload_id[-2:]}/{upload_id}"


def is_ours(name: str) -> bool:
    """Whether this service may have made the object. A bucket may hold other things, which are not ours to remove."""
    return _OURS.fullmatch(name) is not None
