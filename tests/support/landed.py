"""Schemas as they landed, with rows in them: dumps that no later change of a migration can reach.

    python -m tests.support.landed

records the newest schema of this tree, once it has landed and before another migration is added: a test asks for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
from ledgerlift_server.adapters.sql import Database, DatabaseOptions, connections, migrate
from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.adapters.sql.revisions import own_schemas
from ledgerlift_server.resilience.bulkhead import Bulkhead

from tests.support.dependencies import never_opens
from tests.support.postgres import USER, PostgresServer, postgres_program
from tests.support.repository_life import live
from tests.support.tools import ROOT

FOLDER = ROOT / "tests" / "landed"


def recorded() -> list[str]:
    """The revisions that there is a dump of, oldest first."""
    return sorted({path.name.partition(".")[0] for path in FOLDER.glob("*.sql")})


def load(url: str, revision: str) -> None:
    """Fill the empty database at `url`."""
    parsed = normalise(url)
    kind = parsed.get_backend_name()
    dump = (FOLDER / f"{revision}.{kind}.sql").read_text()
    if kind == "sqlite":
        with closing(sqlite3.connect(parsed.database or "")) as connection:
            connection.executescript(dump)
        return
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(dump)
        connection.commit()


def record(folder: Path = FOLDER) -> str:
    """Dump the newest schema, with a life in it; its revision."""
    revision = own_schemas().newest
    with TemporaryDirectory() as name, PostgresServer.temporary() as server:
        file = Path(name) / "ledgerlift.db"
        urls = f"sqlite:///{file}", server.url(server.create_database())
        for url in urls:
            migrate(url)
            asyncio.run(_live_in(url))
        with closing(sqlite3.connect(file)) as connection:
            (folder / f"{revision}.sqlite.sql").write_text("\n".join(connection.iterdump()) + "\n")
        (folder / f"{revision}.postgresql.sql").write_text(_pg_dump(urls[1]))
    return revision


async def _live_in(url: str) -> None:
    options = DatabaseOptions()
    with (
        closing(Bulkhead("database", connections(url, options), max_wait=30.0)) as bulkhead,
        closing(Database(url, never_opens("database", bulkhead), options)) as database,
    ):
        await live(database)


def _pg_dump(url: str) -> str:
    """As statements that any client can send; what only psql or a newer server knows is left out."""
    command = [postgres_program("pg_dump"), "--inserts", "--no-owner", "--no-privileges", url]
    done = subprocess.run(
        command, env={**os.environ, "PGUSER": USER}, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [
        line for line in done.stdout.splitlines() if line and not re.match(r"--|\\|SET transaction_timeout", line)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"recorded {record()}\n")
