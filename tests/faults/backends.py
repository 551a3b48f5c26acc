"""PostgreSQL and versitygw for a campaign: the servers run for all of it, the stores on them are fresh each time."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from ledgerlift_server.adapters.sql import migrate

from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.stores import EMBEDDED, SHARED, Stores, embedded, mixed, shared


class Backends:
    """What stores of the wanted kinds are made on."""

    def __init__(self, folder: Path, postgres: PostgresServer | None, s3: S3Server | None) -> None:
        """Running servers; None for both where only embedded stores are wanted."""
        self._folder = folder
        self._postgres = postgres
        self._s3 = s3

    @classmethod
    @contextmanager
    def running(cls, folder: Path, kinds: Collection[str]) -> Iterator[Backends]:
        """Everything below `folder`, which stays; the servers are gone behind the block."""
        with ExitStack() as stack:
            if {*kinds} <= {EMBEDDED}:
                yield cls(folder, None, None)
                return
            postgres = stack.enter_context(PostgresServer.temporary())
            (folder / "s3").mkdir()
            s3 = S3Server(folder / "s3")
            s3.start()
            stack.callback(s3.kill)
            yield cls(folder, postgres, s3)

    @contextmanager
    def stores(self, kind: str, part_size: int) -> Iterator[Stores]:
        """Empty ones, gone behind the block but for the bucket, which goes with its server."""
        folder = Path(mkdtemp(dir=self._folder))
        try:
            if kind == EMBEDDED:
                yield embedded(folder, part_size=part_size)
                return
            assert self._postgres is not None, "not among the kinds that were wanted"
            assert self._s3 is not None
            database = self._postgres.create_database()
            url = self._postgres.url(database)
            migrate(url)
            if kind == SHARED:
                yield shared(folder, url, self._s3.environment(), part_size=part_size)
            else:
                yield mixed(kind, folder, url, self._s3.environment(), part_size=part_size)
            self._postgres.drop_database(database)
        finally:
            shutil.rmtree(folder)
