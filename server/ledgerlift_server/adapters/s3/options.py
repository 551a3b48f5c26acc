"""Where the bucket is, who we are there, and how long the store may take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

_PREFIX = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*/)*")


@dataclass(frozen=True, slots=True)
class S3Options:
    """Options of an `S3Store`. Times are in seconds. Validated on construction (ValueError names the field)."""

    bucket: str
    """Bucket of the documents. It is ours alone below `prefix`: the janitor removes what no session knows."""
    prefix: str = ""
    """What every key begins with: empty, or ending in a slash."""
    endpoint: str | None = None
    """URL of an S3 server; None: AWS."""
    region: str = "us-east-1"
    """Region of the bucket, part of every signature."""
    access_key_id: str | None = None
    """None: boto3 looks for credentials where it always does (environment, profile, container, instance)."""
    secret_access_key: str | None = field(default=None, repr=False)
    """Belongs to `access_key_id`."""
    session_token: str | None = field(default=None, repr=False)
    """For temporary credentials."""
    create_bucket: bool = False
    """Make the bucket when there is none; for development."""
    sse: Literal["AES256", "aws:kms"] | None = None
    """Server-side encryption of every object."""
    kms_key_id: str | None = None
    """Key for `sse="aws:kms"`; None: the account's default key."""
    sign_payload: bool = False
    """Sign a SHA-256 of every body as well: reads each part a second time, 4 ms of CPU for 8 MiB.

    Without it the signature covers the CRC-32C of the body (`UNSIGNED-PAYLOAD`), which on an untrusted
    network is enough over https only.
    """
    max_connections: int = 100
    """Connections that are kept; as many as the bulkhead has threads."""
    connect_timeout: float = 3.0
    """Longest wait for a connection."""
    read_timeout: float = 15.0
    """Longest wait for the store to take or give the next bytes."""
    complete_timeout: float = 120.0
    """The same for completing a multipart upload, where some stores copy the parts before they answer."""
    client_ttl: float = 300.0
    """Age at which the client, and with it addresses and credentials, is made anew."""
    max_attempts: int = 3
    """Times that a call is made, the first included, when the store fails at once and not by timeout."""

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        if not self.bucket:
            raise ValueError("bucket must be named")
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint must begin with http:// or https://")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError("prefix must be empty, or path components that each end in a slash")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        if self.kms_key_id is not None and self.sse != "aws:kms":
            raise ValueError("kms_key_id needs sse to be aws:kms")
        if self.max_connections < 1 or self.max_attempts < 1:
            raise ValueError("max_connections and max_attempts must be at least 1")
        for name in ("connect_timeout", "read_timeout", "complete_timeout", "client_ttl"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"{name} must be more than 0 seconds, not {seconds}")

    def key(self, name: str) -> str:
        """The key of the object `name`."""
        return self.prefix + name

    def name(self, key: str) -> str:
        """The name of the object with this key."""
        return key.removeprefix(self.prefix)

    @property
    def encryption(self) -> dict[str, str]:
        """What every request that makes an object says of its encryption."""
        if self.sse is None:
            return {}
        key = {} if self.kms_key_id is None else {"SSEKMSKeyId": self.kms_key_id}
        return {"ServerSideEncryption": self.sse, **key}
