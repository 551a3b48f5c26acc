"""What a campaign is made on: servers, their stores, and between all of them ways that can be disturbed.

    clients ──links──> servers ──proxy──> PostgreSQL, S3

One `Ground` for the whole campaign; for each round a `Site` on it, with stores and servers of its own.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from tests.faults.table.installation import DATABASE, RECOVERY_TIMEOUT, Installation
from tests.support.fake_clock import FakeClock, NoFakeClock, build
from tests.support.ports import lasting_port
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.server import ServerProcess
from tests.support.small_disk import CannotMount, SmallDisk
from tests.support.stores import EMBEDDED, MIB, Stores, embedded
from tests.support.toxiproxy import Toxiproxy

SERVERS = {EMBEDDED: 1}
"""By kind of stores; two on everything that servers can share."""
DISK = 768 * MIB
STORE_DISK = 3 * 1024 * MIB
"""Of S3. A calm machine stores more than 700 MiB in a minute, and documents are copied when they are completed."""
ENVIRONMENT = {
    "DB_RECOVERY_TIMEOUT": str(RECOVERY_TIMEOUT),
    "S3_RECOVERY_TIMEOUT": str(RECOVERY_TIMEOUT),
    "JANITOR_INTERVAL": "1",
    "S3_CLIENT_TTL": "5",
    "UPLOAD_STALL_TIMEOUT": "5",
    "SHUTDOWN_GRACE": "10",
}
"""Whatever a server does once in a while it does often here, so that it happens among faults."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`missing` says why some faults cannot be done here."""

    kind: str
    folder: Path
    links: Toxiproxy
    installation: Installation | None
    disk: SmallDisk | None
    clocks: list[FakeClock]
    """Of each server, and the last one of PostgreSQL."""
    missing: tuple[str, ...]

    @classmethod
    @contextmanager
    def running(cls, folder: Path, kind: str, *, disks: bool = True) -> Iterator[Ground]:
        """Everything below `folder`; what runs is gone behind the block."""
        with ExitStack() as stack:
            missing: list[str] = []
            clocks: list[FakeClock] = []
            # Not below `folder`: PostgreSQL's own user has no way into that.
            open_folder = Path(stack.enter_context(TemporaryDirectory(prefix="ledgerlift-clocks-")))
            open_folder.chmod(0o755)
            try:
                library = build(open_folder)
                clocks = [FakeClock.made(library, open_folder / f"clock-{number}") for number in range(3)]
            except NoFakeClock as why:
                missing.append(f"clock jumps: {why}")
            installation, disk = None, None
            if kind != EMBEDDED:
                environment = clocks[-1].environment if clocks else {}
                installation = stack.enter_context(
                    Installation.running(folder, disks=disks, store_disk=STORE_DISK, postgres_environment=environment)
                )
                if not installation.disks:
                    missing.append(f"full disks: {installation.no_disks}")
            elif disks:
                try:
                    disk = stack.enter_context(SmallDisk.mounted(folder / "disk", DISK))
                except CannotMount as why:
                    missing.append(f"full disks: {why}")
            links = stack.enter_context(Toxiproxy.running(folder))
            yield cls(kind, folder, links, installation, disk, clocks, tuple(missing))

    def ended_tools(self) -> list[str]:
        """What everything stands on, and has ended by itself. Only while no fault is under way: it may end some."""
        tools: dict[str, Toxiproxy | PostgresServer | S3Server] = {"toxiproxy before the servers": self.links}
        if self.installation is not None:
            tools |= {
                "toxiproxy before the stores": self.installation.proxy,
                "PostgreSQL": self.installation.postgres,
                "versitygw": self.installation.s3,
            }
        return [name for name, tool in tools.items() if not tool.is_running]

    @contextmanager
    def _stores(self) -> Iterator[Stores]:
        if self.installation is not None:
            with self.installation.stores() as stores:
                yield stores
            return
        folder = Path(mkdtemp(dir=self.folder if self.disk is None else self.disk.root))
        yield embedded(folder)
        shutil.rmtree(folder)

    @asynccontextmanager
    async def site(self, environment: Mapping[str, str], *, fake_clocks: bool) -> AsyncIterator[Site]:
        """Empty stores, and servers that serve. `fake_clocks`: what is to be able to change them costs time."""
        async with AsyncExitStack() as stack:
            stores = stack.enter_context(self._stores())
            count = SERVERS.get(self.kind, 2)
            told = [
                {
                    **ENVIRONMENT,
                    **environment,
                    "GRPC_ADDRESS": f"127.0.0.1:{lasting_port()}",
                    **(self.clocks[number].environment if fake_clocks else {}),
                }
                for number in range(count)
            ]
            servers = await asyncio.gather(*(stack.enter_async_context(stores.server(**one)) for one in told))
            for number, server in enumerate(servers):
                self.links.put_before(f"server-{number}", server.address)
            try:
                yield Site(self, stores, servers)
            finally:
                for number in range(count):
                    self.links.remove(f"server-{number}")


@dataclass(frozen=True, slots=True)
class Site:
    """One round's. `frozen` sums up for how long each server was stopped, in seconds: that is no answer time."""

    ground: Ground
    stores: Stores
    servers: list[ServerProcess]
    frozen: list[float] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """Of each server, through a link that can be disturbed."""
        return [self.ground.links.listens[f"server-{number}"] for number in range(len(self.servers))]

    @property
    def target(self) -> str:
        """All of them, for a client."""
        return "ipv4:" + ",".join(self.addresses)

    def landed(self, name: str) -> datetime | None:
        """When an object came to be there, to more than the seconds of S3; None: what the store says counts.

        versitygw gives a file its name when it is whole, and that is when its inode was changed last.
        """
        if self.ground.installation is None:
            return None
        objects = self.ground.installation.folder / "s3" / "data" / self.stores.environment["S3_BUCKET"]
        with suppress(FileNotFoundError):
            return datetime.fromtimestamp((objects / name).stat().st_ctime, UTC)
        return None

    @property
    def database_url(self) -> str:
        """Past everything that can be disturbed."""
        url, installation = self.stores.database_url, self.ground.installation
        if installation is None:
            return url
        return url.replace(installation.proxy.listens[DATABASE], installation.addresses[DATABASE])
