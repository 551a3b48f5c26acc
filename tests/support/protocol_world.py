"""A running server for sequences of calls that are held against `protocol_model.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from ledgerlift.v1 import document_service_pb2_grpc
from ledgerlift_server.adapters.sql import SqlMaintenance
from ledgerlift_server.core import make_database

from tests.support.databases import run_sql
from tests.support.protocol_model import PART
from tests.support.raw_uploads import uploads
from tests.support.server_thread import server_in_thread
from tests.support.stores import Stores, embedded


@dataclass(slots=True)
class World:
    """A running server, shared by all sequences; `alive` are the documents that all of them have left."""

    stores: Stores
    channel: grpc.Channel
    sequences: int = 0
    steps: int = 0
    sessions: int = 0
    alive: dict[str, str] = field(default_factory=dict)
    """Digests by document id."""
    answers: Counter[str] = field(default_factory=Counter)
    """How often each answer was got, of streams."""

    @property
    def uploads(self) -> Any:
        """The stub."""
        return uploads(self.channel)

    @property
    def documents(self) -> Any:
        """The stub."""
        return document_service_pb2_grpc.DocumentServiceStub(self.channel)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """SQLite and files, and a server over them in a thread, on port 0."""
    stores = embedded(folder, part_size=PART)
    told = {name.lower(): value for name, value in stores.environment.items()}
    with server_in_thread(folder, **told) as server, grpc.insecure_channel(server.address) as channel:
        yield World(stores, channel)


async def expire(stores: Stores, upload_id: str) -> None:
    """Until it is: a part that a broken stream had on its way renews the lifetime."""
    async with AsyncExitStack() as stack:
        maintenance = SqlMaintenance(make_database(stores.settings, stack))
        for _ in range(100):
            run_sql(
                stores.database_url,
                f"UPDATE sessions SET expire_time = create_time WHERE upload_id = '{upload_id}'",  # noqa: S608
            )
            await maintenance.expire_due(limit=200)
            left = run_sql(
                stores.database_url,
                f"SELECT 1 FROM sessions WHERE upload_id = '{upload_id}' AND state = 'ACTIVE'",  # noqa: S608
            )
            if not left:
                return
    raise AssertionError(f"{upload_id} does not expire")
