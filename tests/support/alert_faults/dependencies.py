"""What a server stands on fails: its store, its database, its disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing

import psycopg2
from ledgerlift.v1 import document_service_pb2 as pb

from tests.support.alert_faults.ground import FOR_EVER, PAUSE, GoWrong, Ground, channel_to
from tests.support.prometheus import Prometheus
from tests.support.raw_calls import delete, documents, store
from tests.support.raw_uploads import content
from tests.support.refusals import outcome, refused
from tests.support.small_disk import SmallDisk

DISK = 64 * 1024 * 1024
"""Bytes."""
REMOVALS = 101
"""One more than may wait."""


@asynccontextmanager
async def store_that_is_lost(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """Its S3 server is killed, and documents go on being deleted and downloaded."""
    store_settings = {name.lower(): value for name, value in ground.s3.environment().items()}
    refusing = {"s3_failure_threshold": 1, "s3_recovery_timeout": 600.0}
    async with channel_to(ground.folder / "lost", *metrics, **store_settings, **refusing) as channel:
        kept, *unwanted = [(await store(channel, content(seed, 100))).document for seed in range(REMOVALS + 1)]

        async def go_wrong(_: Prometheus) -> None:
            await asyncio.to_thread(ground.s3.kill)
            for document in unwanted:
                await delete(channel, document.document_id)
            while True:
                request = pb.DownloadDocumentRequest(document_id=kept.document_id)
                refusal = await refused(documents(channel).DownloadDocument, request)
                assert refusal.code.name == "UNAVAILABLE"
                await asyncio.sleep(PAUSE)

        yield go_wrong


@asynccontextmanager
async def tables_that_are_locked(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """Somebody has begun a transaction and holds the locks: calls, and the janitor, wait for the one connection."""
    patient = {"db_lock_timeout": FOR_EVER, "db_statement_timeout": FOR_EVER}
    few = {"database_url": ground.database_url, "db_pool_size": 1, "db_max_overflow": 0}
    async with channel_to(ground.folder / "locked", *metrics, **few, **patient) as channel:

        async def ask() -> None:
            while True:
                await outcome(documents(channel).ListDocuments, pb.ListDocumentsRequest())

        async def go_wrong(_: Prometheus) -> None:
            with closing(await asyncio.to_thread(psycopg2.connect, ground.database_url)) as holder:
                with holder.cursor() as cursor:
                    await asyncio.to_thread(cursor.execute, "LOCK TABLE documents, leases IN ACCESS EXCLUSIVE MODE")
                await asyncio.gather(*(ask() for _ in range(3)))

        yield go_wrong


@asynccontextmanager
async def disk_that_fills(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """Something else takes more than nine tenths of the disk that it keeps its files on. Raises CannotMount."""
    with SmallDisk.mounted(ground.folder / "disk", DISK) as disk:
        async with channel_to(disk.root, *metrics, health_cache_ttl=0.2):

            async def go_wrong(_: Prometheus) -> None:
                await asyncio.to_thread((disk.root / "filler").write_bytes, bytes(DISK * 92 // 100))
                await asyncio.Event().wait()

            yield go_wrong
