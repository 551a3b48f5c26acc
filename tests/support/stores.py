"""A database and an object store of a test's own, for server processes that come and go over them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift_server.settings import Settings

from tests.support.s3 import S3Server
from tests.support.server import SERVE, ServerProcess, in_process_server, isolated_settings

KIB = 1024
MIB = 1024 * KIB

EMBEDDED = "embedded"
SHARED = "postgresql-s3"
KINDS = (EMBEDDED, SHARED)
MIXED = ("sqlite-s3", "postgresql-files")
PAIRS = (*KINDS, *MIXED)
"""Every store beside every database."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where documents and their records go: `environment` is what a server has to be told.

    `part_size` in bytes is small where the store allows it, so that small documents have several parts.
    """

    kind: str
    folder: Path
    environment: Mapping[str, str]
    part_size: int

    @property
    def settings(self) -> Settings:
        """The same for a server, or a part of one, in this process."""
        return isolated_settings(self.folder, **{name.lower(): value for name, value in self.environment.items()})

    @property
    def database_url(self) -> str:
        """For statements past the repositories."""
        return self.settings.sqlalchemy_url

    @asynccontextmanager
    async def channel(self, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
        """To a server in this process and loop. `options` as for `in_process_server`, which go before the stores'."""
        told: dict[str, Any] = {name.lower(): value for name, value in self.environment.items()}
        async with (
            in_process_server(self.folder, **(told | options)) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            yield channel

    @asynccontextmanager
    async def server(
        self, *, crash_at: str | None = None, program: Sequence[str] = SERVE, **environment: str
    ) -> AsyncIterator[ServerProcess]:
        """A server process over these stores; killed at the end where it still runs. Arguments as it takes them."""
        told = {**self.environment, **environment}
        process = ServerProcess(self.folder, told, crash_at=crash_at, program=program)
        try:
            await process.start()
            yield process
        finally:
            process.send(signal.SIGCONT)
            await process.kill()


def embedded(folder: Path, *, part_size: int = 64 * KIB) -> Stores:
    """SQLite and files in `folder`."""
    return Stores(EMBEDDED, folder, _sizes(part_size), part_size)


def shared(folder: Path, database_url: str, s3: Mapping[str, str], *, part_size: int = 5 * MIB) -> Stores:
    """PostgreSQL and S3. `s3` holds the variables that name the bucket; S3 takes no parts below 5 MiB."""
    environment = {"DATABASE_URL": database_url, **_sizes(part_size), **s3}
    return Stores(SHARED, folder, environment, part_size)


def mixed(
    kind: str, folder: Path, database_url: str, s3: Mapping[str, str], *, part_size: int | None = None
) -> Stores:
    """One of `MIXED`: half of `embedded` and half of `shared`."""
    if kind == "sqlite-s3":
        size = part_size or 5 * MIB
        return Stores(kind, folder, {**_sizes(size), **s3}, size)
    size = part_size or 64 * KIB
    return Stores(kind, folder, {"DATABASE_URL": database_url, **_sizes(size)}, size)


def _sizes(part_size: int) -> dict[str, str]:
    # An upload of unknown size takes parts for the largest document: with the default that would be 5.12 MiB.
    return {"UPLOAD_PART_SIZE": str(part_size), "MAX_FILE_SIZE": str(part_size * 10_000)}


@pytest.fixture
def shared_stores(tmp_path: Path, postgres_url: str, s3_server: S3Server) -> Stores:
    """PostgreSQL and versitygw."""
    return shared(tmp_path, postgres_url, s3_server.environment())


@pytest.fixture(params=PAIRS)
def any_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Stores of every kind beside databases of every kind in turn."""
    kind: str = request.param
    if kind == EMBEDDED:
        return embedded(tmp_path)
    if kind == SHARED:
        found: Stores = request.getfixturevalue("shared_stores")
        return found
    url = request.getfixturevalue("postgres_url") if kind == "postgresql-files" else ""
    s3 = request.getfixturevalue("s3_server").environment() if kind == "sqlite-s3" else {}
    return mixed(kind, tmp_path, url, s3)


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Stores of every kind in turn."""
    if request.param == EMBEDDED:
        return embedded(tmp_path)
    found: Stores = request.getfixturevalue("shared_stores")
    return found
