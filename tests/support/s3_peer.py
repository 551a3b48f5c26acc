"""The S3 adapter against a scripted peer, and what tests of it send and get."""

from __future__ import annotations

from typing import Any

from crc32c import crc32c
from ledgerlift_server.adapters.s3 import S3Options
from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.clients import Clients
from ledgerlift_server.adapters.s3.integrity import Integrity
from ledgerlift_server.adapters.s3.multiparts import S3Multiparts
from ledgerlift_server.adapters.s3.objects import S3Objects
from ledgerlift_server.domain.upload_models import StoredPart

from tests.support.clock import ManualClock
from tests.support.object_stores import MIB, content
from tests.support.s3 import credentials_at
from tests.support.scripted_s3 import Answer, ScriptedS3

NAME = "objects/ab/0199-aa"
BODY = memoryview(content(MIB))
CRC = crc32c(BODY)
STORED = Answer(headers={"ETag": '"etag"'})
PARTS = [StoredPart(1, MIB, "etag", CRC)]


class Peer:
    """Both halves of the adapter against a scripted peer. Pauses are noted instead of waited for."""

    def __init__(self, scripted: ScriptedS3, **changes: Any) -> None:
        options = S3Options(**(credentials_at(scripted.endpoint) | changes))
        self.scripted = scripted
        self.pauses: list[float] = []
        self.clock = ManualClock()
        self.clients = Clients(options, clock=self.clock)
        calls = Calls(self.clients, options, sleep=self.pauses.append, jitter=lambda: 0.5)
        self.objects = S3Objects(calls, options, Integrity())
        self.multiparts = S3Multiparts(calls, options, Integrity())

    def put_part(self) -> StoredPart:
        """One part, of `BODY`."""
        return self.multiparts.put_part(NAME, "upload", 1, BODY, CRC)
