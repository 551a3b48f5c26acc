"""A real PostgreSQL of this test run's own: started, stopped, killed, frozen, and thrown away.

`postgres_url` is a fresh database at the newest schema, made from a template in some 50 ms;
`postgres_empty_url` is one without any schema. Fault tests start a `PostgresServer` of their own.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from ledgerlift_server.adapters.sql import migrate

from tests.support.ports import lasting_port
from tests.support.tools import missing

USER = "ledgerlift"
START_TIMEOUT = 30.0
TEMPLATE = "ledgerlift_template"


def postgres_program(name: str) -> Path:
    """One of PostgreSQL's programs, of the newest version that is installed."""
    packaged = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4].split(".")[0])
    )
    found = packaged[-1] if packaged else shutil.which(name)
    if found is None:
        missing("PostgreSQL")
    assert found is not None
    return Path(found)


class PostgresServer:
    """One cluster in a folder of its own, on a free port of the loopback address."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        /,
        *,
        fsync: bool = False,
        **settings: str | int,
    ) -> None:
        """`environment`: what the server has in addition to this process's own. `fsync`: whether a commit survives
        more than the death of the server. `settings` as in postgresql.conf."""
        self._environment = {**os.environ, **(environment or {})}
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._user = _unprivileged_user()
        self._settings = {
            "fsync": "on" if fsync else "off",
            "max_connections": 200,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
        } | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self.port = 0
        if self._user is not None:
            shutil.chown(folder, self._user)

    @classmethod
    @contextmanager
    def temporary(cls, *, fsync: bool = False, **settings: str | int) -> Iterator[PostgresServer]:
        """A running server that is gone behind the block."""
        folder = Path(tempfile.mkdtemp(prefix="ledgerlift-postgres-"))
        server = cls(folder, fsync=fsync, **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """False as well when it has ended by itself."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Return once it answers. A second start uses the port of the first."""
        if not self._data.exists():
            self._initialise()
        if not self.port:
            self.port = lasting_port()
        options = [f"--{name}={value}" for name, value in (self._settings | {"port": self.port}).items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [postgres_program("postgres"), "-D", self._data, *options],
                stdout=log,
                stderr=log,
                cwd=self._data,
                env=self._environment,
                **self._identity(),
            )
        self._wait_until_ready()

    def stop(self, *, immediate: bool = False) -> None:
        """Fast shutdown: clients are cut off, everything is written. Nothing happens when it does not run.

        `immediate`: nothing is written, and the next start recovers as from a crash.
        """
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._process.wait(START_TIMEOUT)
            self._process = None

    def kill(self) -> None:
        """The death of all of its processes at once, as if by a power failure without loss of the disk's cache."""
        family = self._family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, START_TIMEOUT)
        if self._process is not None:
            self._process.wait(START_TIMEOUT)
            self._process = None

    def restart(self, *, immediate: bool = False, standby: bool = False) -> None:
        """Stop it (if it still runs) and start it again on the same port; `standby`: as one, without a primary."""
        self.stop(immediate=immediate)
        signal_file = self._data / "standby.signal"
        if standby:
            signal_file.touch()
        else:
            signal_file.unlink(missing_ok=True)
        self.start()

    def suspend(self) -> None:
        """Freeze every process: connections stay open and nothing answers any more."""
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Let it go on."""
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def url(self, database: str) -> str:
        """Of one of its databases, as an operator would write it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str | None = None) -> str:
        """A new database, empty or a copy; its name."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove it, whoever is still connected."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside of a transaction; its rows."""
        with closing(psycopg2.connect(self.url(database), connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def log(self) -> str:
        """What it has written to its log."""
        return self._log.read_text(errors="replace")

    def _initialise(self) -> None:
        command: list[str | Path] = [
            postgres_program("initdb"),
            "-D",
            self._data,
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        done = subprocess.run(
            [*command, "--locale=C", "--no-sync"],
            capture_output=True,
            text=True,
            cwd=self._data.parent,
            timeout=120,
            **self._identity(),
        )
        assert done.returncode == 0, done.stderr

    def _identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if self._user is None:
            return {}
        account = pwd.getpwnam(self._user)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        give_up_at = time.monotonic() + START_TIMEOUT
        while True:
            ended = self._process.poll()
            assert ended is None, f"PostgreSQL ended with {ended}:\n{self.log()}"
            try:
                self.execute("SELECT 1")
            except psycopg2.OperationalError:
                assert time.monotonic() < give_up_at, f"PostgreSQL does not answer:\n{self.log()}"
                time.sleep(0.02)  # it says nowhere else that it is ready
            else:
                return

    def _family(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._process.pid)
            return [postmaster, *postmaster.children(recursive=True)]
        return []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the whole test run, without fsync."""
    with PostgresServer.temporary() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> str:
    postgres_server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
    migrate(postgres_server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, _postgres_template: str) -> Iterator[str]:
    """A database at the newest schema, this test's own."""
    name = postgres_server.create_database(_postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without a schema, this test's own."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
