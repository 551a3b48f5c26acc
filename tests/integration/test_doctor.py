"""`ledgerlift-server doctor` with real parts: databases, stores, what is in the way of them, a server that runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import inspect_database
from ledgerlift_server.doctor import Finding, State, checks, examine

from tests.support.postgres import PostgresServer
from tests.support.s3 import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    MotoServer,
    S3Endpoint,
    S3Server,
    make_bucket,
    make_client,
)
from tests.support.server import IsolatedSettings, StartServer

LIMIT = 60.0
"""Seconds that nothing here uses up, save what is to be given up on."""


def look(*, replicas: int = 1, limit: float = LIMIT, **settings: Any) -> dict[str, Finding]:
    """All rows by what they are about."""
    chosen = IsolatedSettings(**({"grpc_address": "127.0.0.1:0"} | settings))
    found = examine(checks(chosen, replicas=replicas, limit=limit), limit=limit)
    return {row.what: row for row in found}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with nothing else in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "ledgerlift_server", "doctor", *arguments],
        env={"PATH": os.environ.get("PATH", ""), "GRPC_ADDRESS": "127.0.0.1:0", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def store_settings(server: S3Endpoint, **changes: Any) -> dict[str, Any]:
    """For a server on this store."""
    defaults: dict[str, Any] = {"s3_endpoint": server.endpoint, "aws_region": REGION}
    defaults |= {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    return defaults | {"s3_bucket": changes.pop("s3_bucket", None) or make_bucket(server)} | changes


class _At:
    """Whatever stands in a store's place."""

    def __init__(self, address: str) -> None:
        self.endpoint = f"http://{address}"


def nobody_listens() -> str:
    """`host:port` of this machine where a connection is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """`host:port` that answers no SYN: its queue of connections is full, and nobody takes one of them."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        yield f"127.0.0.1:{hole.getsockname()[1]}"


@pytest.fixture
def silence() -> Iterator[str]:
    """`host:port` that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"


def test_all_is_well_where_it_is(
    postgres_url: str, s3_server: S3Server, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """The command against PostgreSQL and S3: exit code 0, a row for everything, and nothing left in the bucket."""
    environment = dict(s3_server.environment(DATABASE_URL=postgres_url, DATA_DIR=str(tmp_path), DB_POOL_SIZE="5"))
    done = run(**environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rows = {line[: line.index("  ")]: line for line in done.stdout.splitlines()[1:-1] if not line.startswith(" ")}
    for what in (
        *("database", "database schema", "database connections", "database clock"),
        *("store", "store conformance", "store clock", "disk", "memory", "file descriptors", "TLS"),
        *("port of GRPC_ADDRESS", "port of METRICS_ADDRESS"),
    ):
        assert what in rows, done.stdout
        assert " fail " not in rows[what]
    assert f"at 127.0.0.1:{postgres_server.port}" in rows["database"]
    assert "checksums (crc32c)" in rows["store conformance"]
    assert done.stdout.splitlines()[-1].startswith("0 failed, ")
    with closing(make_client(s3_server.endpoint)) as client:
        assert client.list_objects_v2(Bucket=environment["S3_BUCKET"])["KeyCount"] == 0


def test_the_embedded_default_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """JSON for programs; no database and no folder is there behind it."""
    done = run("--json", DATA_DIR=str(tmp_path / "data"))
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"what", "state", "figure", "advice"} == set(told["findings"][0])
    assert told["state"] in ("ok", "warn")
    assert list(tmp_path.iterdir()) == []


def test_what_failed_is_exit_code_1_and_shows_no_secret(black_hole: str, s3_server: S3Server, tmp_path: Path) -> None:
    """Neither a database that is not to be reached nor a store that refuses holds it up, or makes it talk."""
    secrets = {
        "DATABASE_URL": f"postgresql://app:s3cr3t-of-database@{black_hole}/ledger",
        "S3_ENDPOINT": s3_server.endpoint,
        "S3_BUCKET": "documents",
        "AWS_ACCESS_KEY_ID": "s3cr3t-of-id",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-key",
        "AWS_SESSION_TOKEN": "s3cr3t-of-session",
    }
    done = run("--timeout", "2", DATA_DIR=str(tmp_path), LOG_LEVEL="DEBUG", **secrets)
    assert (done.returncode, done.stderr) == (1, "")
    assert {"database", "store"} <= set(re.findall(r"^(\w+) +fail", done.stdout, re.MULTILINE))
    assert "s3cr3t" not in done.stdout


@pytest.mark.parametrize("where", ["black_hole", "silence"])
def test_what_does_not_answer_is_a_row(where: str, request: pytest.FixtureRequest) -> None:
    """A database that swallows packets, and one that takes connections; each says so and what to do about it."""
    address = request.getfixturevalue(where)
    rows = look(database_url=f"postgresql://app@{address}/ledger", db_connect_timeout=1.0)
    assert rows["database"].state is State.FAIL
    assert "no answer in time" in rows["database"].figure
    assert "DATABASE_URL" in rows["database"].advice
    rows = look(
        **store_settings(_At(address), s3_bucket="documents"),
        s3_connect_timeout=1.0,
        s3_read_timeout=1.0,
    )
    assert "in time" in rows["store"].figure
    assert "S3_ENDPOINT" in rows["store"].advice


def test_a_port_where_nobody_listens_is_said() -> None:
    """In the driver's words for the database, and in ours for the store."""
    rows = look(
        database_url=f"postgresql://app:hunter2@{nobody_listens()}/ledger",
        **store_settings(_At(nobody_listens()), s3_bucket="documents"),
    )
    assert "refused" in rows["database"].figure
    assert "the connection failed" in rows["store"].figure
    assert "hunter2" not in repr(rows)


def test_a_database_that_is_frozen_is_a_row(postgres_url: str) -> None:
    """It was there when the connection was made: the answer is what does not come."""
    with PostgresServer.temporary() as server:
        url = server.url("postgres")
        assert inspect_database(url, connect_timeout=30, limit=30) is not None
        server.suspend()
        rows = look(limit=2.0, database_url=url, db_connect_timeout=1.0)
        server.resume()
    assert rows["database"].state is State.FAIL


def test_the_schema_is_looked_at(postgres_empty_url: str, tmp_path: Path) -> None:
    """A shared database is migrated by whoever deploys, an embedded one at start."""
    rows = look(database_url=postgres_empty_url)
    assert rows["database schema"].state is State.FAIL
    assert "ledgerlift-server migrate" in rows["database schema"].advice
    (tmp_path / "ledgerlift.db").touch()
    assert look(data_dir=tmp_path)["database schema"].state is State.OK


@pytest.mark.parametrize(("replicas", "state"), [(1, State.OK), (3, State.OK), (4, State.WARN), (5, State.FAIL)])
def test_pools_of_all_replicas_are_held_against_the_database(
    postgres_server: PostgresServer, postgres_url: str, replicas: int, state: State
) -> None:
    """One replica more is there in an upgrade; what the role may open counts where it is less than the server."""
    name = postgres_url.rpartition("/")[2]
    postgres_server.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 40")
    found = look(replicas=replicas, database_url=postgres_url, db_pool_size=5, db_max_overflow=5)
    assert found["database connections"].state is state
    assert "40 allowed" in found["database connections"].figure


def test_a_database_that_takes_no_writes_is_said(postgres_server: PostgresServer, postgres_url: str) -> None:
    """As a standby, a failover under way, or a setting makes it."""
    name = postgres_url.rpartition("/")[2]
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = examine(
        checks(IsolatedSettings(database_url=postgres_url, grpc_address="127.0.0.1:0"), replicas=1, limit=LIMIT),
        limit=LIMIT,
    )
    assert [row.state for row in found if "no writes" in row.figure] == [State.FAIL]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"aws_secret_access_key": "not-the-one"}, "AWS_SECRET_ACCESS_KEY"),
        ({"aws_access_key_id": "nobody"}, "AWS_ACCESS_KEY_ID"),
        ({"s3_bucket": "no-such-bucket"}, "the bucket does not exist"),
    ],
)
def test_what_the_store_refuses_is_told_apart(s3_server: S3Server, wrong: Mapping[str, str], said: str) -> None:
    """The key, the secret, the bucket: each by the setting to change."""
    found = look(**store_settings(s3_server, **wrong))
    assert found["store"].state is State.FAIL
    assert said in found["store"].figure
    assert "not-the-one" not in repr(found)


def test_a_bucket_that_is_made_at_start_is_not_made_before(s3_server: S3Server) -> None:
    """Asked twice, it is not there twice."""
    for _ in range(2):
        found = look(**store_settings(s3_server, s3_bucket="not-there-yet", s3_create_bucket=True))
        assert found["store"].state is State.OK
        assert "made at start" in found["store"].figure


def test_a_store_that_checks_nothing_is_told(moto_server: MotoServer) -> None:
    """moto takes wrong checksums: the row says which promise that costs."""
    found = look(**store_settings(moto_server))
    assert found["store conformance"].state is State.WARN
    assert "checksums are not verified" in found["store conformance"].advice


async def test_beside_a_server_that_runs_its_ports_are_its_own(start_server: StartServer, tmp_path: Path) -> None:
    """An operator looks at a server that serves: nothing is in its way, it is the way."""
    server = await start_server()
    rows = await asyncio.to_thread(look, grpc_address=server.address, data_dir=tmp_path / "data")
    assert rows["port of GRPC_ADDRESS"].state is State.OK
    assert f"pid {server.pid}" in rows["port of GRPC_ADDRESS"].figure
    assert rows["database schema"].state is State.OK
