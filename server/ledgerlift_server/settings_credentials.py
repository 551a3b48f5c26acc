"""Passwords and keys that are no secret: those of examples, and those that everybody tries first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ledgerlift_server.adapters.sql.engine import normalise

if TYPE_CHECKING:
    from ledgerlift_server.settings import Settings

_WELL_KNOWN = frozenset(
    {
        *("admin", "changeme", "default", "guest", "hunter2", "letmein", "pass", "passwd", "password", "qwerty"),
        *("postgres", "postgresql", "root", "secret", "secretkey", "test", "user", "ledgerlift"),
        # What object stores come with.
        *("minioadmin", "minio", "rustfsadmin", "seaweedfs", "seaweedadmin", "versitygw", "garage"),
    }
)
"""In small letters, without what is no letter and no digit, and without digits at the end."""
_SAYS_SO = re.compile(r"development|example|changeme|replaceme|insecure", re.ASCII)
"""Whatever holds one of these words tells itself that it is not for production."""


def well_known_credentials(settings: Settings) -> Iterator[str]:
    """The variables whose secrets are none. One without a secret is not among them: something else proves it."""
    if not settings.embedded_database:
        url = normalise(settings.sqlalchemy_url)
        in_query = url.query.get("password", ())
        passwords = [url.password or "", *([in_query] if isinstance(in_query, str) else in_query)]
        if any(password and (is_well_known(password) or password == url.username) for password in passwords):
            yield "DATABASE_URL"
    secret = settings.aws_secret_access_key
    if secret is not None and is_well_known(secret.get_secret_value()):
        yield "AWS_SECRET_ACCESS_KEY"


def is_well_known(secret: str) -> bool:
    """Whether one who knows nothing would find it: `Postgres`, `minio-admin`, `secret123`, `12345678`."""
    plain = re.sub(r"[^a-z0-9]", "", secret.lower())
    return (
        plain in _WELL_KNOWN
        or plain.rstrip("0123456789") in _WELL_KNOWN
        or (secret.isdecimal() and len(secret) <= len("1234567890"))
        or _SAYS_SO.search(plain) is not None
    )
