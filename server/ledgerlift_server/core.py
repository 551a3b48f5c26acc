"""What the server and the janitor's command both work with: database, store, and what stands right above them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from ledgerlift_server.adapters.compute import ComputePool
from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.digest import load_hashers
from ledgerlift_server.adapters.filesystem import FilesystemStore
from ledgerlift_server.adapters.s3 import S3Options, S3Store
from ledgerlift_server.adapters.sql import (
    Database,
    DatabaseOptions,
    SchemaMismatch,
    SqlDocuments,
    SqlMaintenance,
    SqlUploadLedger,
    check_schema,
    connections,
    migrate,
)
from ledgerlift_server.dependencies import database_dependency, storage_dependency
from ledgerlift_server.domain.commit import Committer
from ledgerlift_server.domain.digest_port import HasherFactory
from ledgerlift_server.domain.drift import DriftFinder
from ledgerlift_server.domain.janitor import Janitor, JanitorOptions
from ledgerlift_server.domain.spans import NO_SPANS, Spans
from ledgerlift_server.domain.steps import Checkpoint, no_checkpoint
from ledgerlift_server.errors import LedgerLiftError
from ledgerlift_server.resilience.breaker import CircuitBreaker
from ledgerlift_server.settings import Settings

logger = logging.getLogger(__name__)

START_PAUSE = 1.0
"""Seconds between two attempts to reach the database or the store at start."""


T = TypeVar("T")


class CannotStart(Exception):
    """Something outside of this process is not as it has to be. The message says what."""


@dataclass(frozen=True, slots=True)
class Core:
    """What the server and the janitor's command both work with."""

    database: Database
    store: FilesystemStore | S3Store
    ledger: SqlUploadLedger
    documents: SqlDocuments
    hashers: HasherFactory
    compute: ComputePool
    committer: Committer
    janitor: Janitor
    checkpoint: Checkpoint

    @property
    def dependencies(self) -> Mapping[str, Dependency]:
        """What can fail from outside, by name: `database` and `storage`, each with its breaker and statistics."""
        both = (self.database.dependency, self.store.dependency)
        return {dependency.name: dependency for dependency in both}

    @property
    def breakers(self) -> Mapping[str, CircuitBreaker]:
        """The breakers of `dependencies`."""
        return {name: dependency.breaker for name, dependency in self.dependencies.items()}


@asynccontextmanager
async def built(
    settings: Settings, *, checkpoint: Checkpoint = no_checkpoint, spans: Spans = NO_SPANS
) -> AsyncIterator[Core]:
    """The core, with nothing connected yet. At the end, running commits get the grace time to end."""
    async with AsyncExitStack() as stack:
        database = make_database(settings, stack, spans)
        store = make_store(settings, stack, spans)
        compute = stack.enter_context(closing(ComputePool()))
        hashers = load_hashers()
        page_bytes = settings.max_message_size // 2
        ledger = SqlUploadLedger(database, page_bytes=page_bytes)
        maintenance = SqlMaintenance(database)
        options = settings.upload_options
        committer = Committer(
            ledger, store, hashers, compute, timeout=options.commit_timeout, checkpoint=checkpoint, spans=spans
        )
        stack.push_async_callback(_let_end, committer, settings.shutdown_grace)
        janitor = Janitor(
            maintenance,
            store,
            committer,
            DriftFinder(maintenance, store, orphan_age=settings.janitor_orphan_age, checkpoint=checkpoint),
            JanitorOptions(
                interval=settings.janitor_interval,
                drift_interval=settings.janitor_drift_interval,
                keep_ended=settings.request_id_lifetime,
            ),
            holder=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
            checkpoint=checkpoint,
        )
        yield Core(
            database,
            store,
            ledger,
            SqlDocuments(database, page_bytes=page_bytes),
            hashers,
            compute,
            committer,
            janitor,
            checkpoint,
        )


async def start(core: Core, settings: Settings) -> None:
    """Ready the database and the store. Raises CannotStart.

    Only an embedded database is migrated here: the schema of a shared one is changed by whoever deploys
    (`ledgerlift-server migrate`).
    """
    if settings.embedded_database:
        logger.info("migrated", extra={"state": await migrated(core.database, settings)})
    else:
        await _with_schema(core.database, check_schema, settings)
    await _insist("storage", core.store.start, settings.startup_timeout)


async def migrated(database: Database, settings: Settings) -> str:
    """Wait for the database and migrate it; how it is now, as a sentence. Raises CannotStart."""
    return (await _with_schema(database, migrate, settings)).sentence


async def _with_schema(database: Database, work: Callable[[str], T], settings: Settings) -> T:
    """The result of `work` on the database's URL, which is begun again with the wait where the database goes away.

    Raises CannotStart.
    """

    async def attempt() -> T:
        await database.check()
        return await asyncio.to_thread(work, settings.sqlalchemy_url)

    try:
        return await _insist("database", attempt, settings.startup_timeout)
    except SchemaMismatch as mismatch:
        raise CannotStart(str(mismatch)) from mismatch


def make_database(settings: Settings, stack: ExitStack | AsyncExitStack, spans: Spans = NO_SPANS) -> Database:
    """Not connected yet; what it works with ends with `stack`. Raises CannotStart."""
    if settings.embedded_database:
        _make_data_dir(settings)
    options = DatabaseOptions(
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=settings.db_pool_timeout,
        pool_recycle=settings.db_pool_recycle,
        connect_timeout=settings.db_connect_timeout,
        statement_timeout=settings.db_statement_timeout,
        lock_timeout=settings.db_lock_timeout,
        slow_transaction=settings.db_slow_query,
    )
    url = settings.sqlalchemy_url
    door = database_dependency(settings, stack, connections(url, options), spans)
    database = Database(url, door, options)
    stack.callback(database.close)
    return database


def make_store(settings: Settings, stack: AsyncExitStack, spans: Spans = NO_SPANS) -> FilesystemStore | S3Store:
    """Not connected yet; what it works with ends with `stack`. Raises CannotStart."""
    dependency = storage_dependency(settings, stack, spans)
    store: FilesystemStore | S3Store
    if settings.s3_bucket is None:
        _make_data_dir(settings)
        try:
            store = FilesystemStore(settings.data_dir / "objects", dependency)
        except OSError as refused:
            raise CannotStart(f"DATA_DIR {settings.data_dir} cannot be written: {refused.strerror}") from refused
    else:
        store = S3Store(s3_options(settings, settings.s3_bucket), dependency)
    stack.callback(store.close)
    return store


def s3_options(settings: Settings, bucket: str) -> S3Options:
    """What the settings say of the store."""
    return S3Options(
        bucket=bucket,
        prefix=settings.s3_prefix,
        endpoint=settings.s3_endpoint,
        region=settings.aws_region,
        access_key_id=_revealed(settings.aws_access_key_id),
        secret_access_key=_revealed(settings.aws_secret_access_key),
        session_token=_revealed(settings.aws_session_token),
        create_bucket=settings.s3_create_bucket,
        sse=settings.s3_sse,
        kms_key_id=settings.s3_kms_key_id,
        sign_payload=settings.s3_sign_payload,
        max_connections=settings.s3_max_connections,
        connect_timeout=settings.s3_connect_timeout,
        read_timeout=settings.s3_read_timeout,
        complete_timeout=settings.s3_complete_timeout,
        client_ttl=settings.s3_client_ttl,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


async def _insist(what: str, attempt: Callable[[], Awaitable[T]], patience: float) -> T:
    """The result of `attempt`, which is made again until it works. Raises CannotStart after `patience` seconds."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + patience
    while True:
        try:
            return await attempt()
        except LedgerLiftError as error:
            if loop.time() >= give_up_at:
                raise CannotStart(f"the {what} could not be used for {patience:g} s: {error.message}") from error
            logger.warning(f"waiting_for_{what}", extra={"reason": error.reason, "cause": error.message})
        await asyncio.sleep(START_PAUSE)


async def _let_end(committer: Committer, grace: float) -> None:
    """Running commits get `grace` seconds. One that takes longer is driven on by another replica's janitor."""
    with suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await committer.close()


def _make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise CannotStart(f"DATA_DIR {settings.data_dir} cannot be made: {refused.strerror}") from refused
