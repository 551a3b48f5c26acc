"""PostgreSQL, an S3 server and a way to each of them that can be disturbed, for all rows of the table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from urllib.parse import urlsplit

from ledgerlift_server.adapters.sql import migrate

from tests.support.failing_http import FailingHttp
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.small_disk import CannotMount, SmallDisk
from tests.support.stores import MIB, Stores, shared
from tests.support.toxiproxy import Toxiproxy

DATABASE, STORAGE = "database", "storage"
ROLE = "ledgerlift_service"
"""Whom the server connects as: no superuser, so that PostgreSQL's limits are for it as well."""
DISK = 768 * MIB
PART_SIZE = 5 * MIB
RECOVERY_TIMEOUT = 3
"""Seconds: DB_RECOVERY_TIMEOUT and S3_RECOVERY_TIMEOUT of the servers of the table. The default is 60."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What faults are done to. `disks` by dependency; none where they cannot be mounted, and `no_disks` says why."""

    folder: Path
    postgres: PostgresServer
    s3: S3Server
    proxy: Toxiproxy
    refusing: FailingHttp
    disks: dict[str, SmallDisk]
    no_disks: str
    addresses: dict[str, str]

    @classmethod
    @contextmanager
    def running(
        cls,
        folder: Path,
        *,
        disks: bool = True,
        store_disk: int = DISK,
        postgres_environment: Mapping[str, str] | None = None,
    ) -> Iterator[Installation]:
        """Gone behind the block. `disks`: try to give each of the two a small disk; `store_disk` is in bytes."""
        with ExitStack() as stack:
            mounted, why = _disks(folder, store_disk, stack) if disks else ({}, "not wanted")
            # Not below `folder`: PostgreSQL's own user has no way into that.
            postgres_folder = mounted[DATABASE].root if mounted else Path(stack.enter_context(_open_folder()))
            postgres = PostgresServer(
                postgres_folder, postgres_environment, fsync=True, min_wal_size="32MB", max_wal_size="64MB"
            )
            (folder / "s3").mkdir(exist_ok=True)
            s3 = S3Server(folder / "s3")
            postgres.start()
            stack.callback(postgres.kill)
            s3.start()
            stack.callback(s3.kill)
            postgres.execute(f"CREATE ROLE {ROLE} LOGIN")
            proxy = stack.enter_context(Toxiproxy.running(folder))
            refusing = stack.enter_context(FailingHttp.running())
            addresses = {DATABASE: f"127.0.0.1:{postgres.port}", STORAGE: urlsplit(s3.endpoint).netloc}
            for name, address in addresses.items():
                proxy.put_before(name, address)
            yield cls(folder, postgres, s3, proxy, refusing, mounted, why, addresses)

    @contextmanager
    def stores(self) -> Iterator[Stores]:
        """Empty ones, reached through the proxy; gone behind the block, for the disks are small."""
        name = self.postgres.create_database()
        self.postgres.execute(f"ALTER DATABASE {name} OWNER TO {ROLE}")
        url = f"postgresql://{ROLE}@{self.proxy.listens[DATABASE]}/{name}"
        migrate(url)
        environment = {**self.s3.environment(), "S3_ENDPOINT": f"http://{self.proxy.listens[STORAGE]}"}
        yield shared(Path(mkdtemp(dir=self.folder)), url, environment, part_size=PART_SIZE)
        self.postgres.drop_database(name)
        shutil.rmtree(self.folder / "s3" / "data" / environment["S3_BUCKET"])


def _disks(folder: Path, store_disk: int, stack: ExitStack) -> tuple[dict[str, SmallDisk], str]:
    root = Path(stack.enter_context(_open_folder()))
    try:
        return {
            DATABASE: stack.enter_context(SmallDisk.mounted(root / "postgres", DISK)),
            STORAGE: stack.enter_context(SmallDisk.mounted(folder / "s3" / "data", store_disk)),
        }, ""
    except CannotMount as why:
        return {}, str(why)


@contextmanager
def _open_folder() -> Iterator[str]:
    with TemporaryDirectory(prefix="ledgerlift-table-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield folder
