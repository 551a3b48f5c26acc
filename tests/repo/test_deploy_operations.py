"""docs/operations.md: its commands, run in the order of the page around the life of a document, and its figures."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from ledgerlift_client import LedgerLiftClient, errors
from ledgerlift_server.adapters.sql import migrate

from tests.repo.memory_formula import IDLE, PER_DOWNLOAD, SLACK
from tests.repo.readme import Block, blocks, copied_checkout, perform
from tests.support.postgres import USER, PostgresServer, postgres_program
from tests.support.programs import environment
from tests.support.s3 import S3Server, make_client
from tests.support.server import StartServer
from tests.support.tools import ROOT, TOOLS, tool

PAGE = (ROOT / "docs" / "operations.md").read_text()
MIB = 1024 * 1024
EXPECTED = {
    "check-config": "ENVIRONMENT=production\nGRPC_TLS_CERT=/run/secrets/tls.crt\nDATABASE_URL=**********\n",
    "doctor": "0 failed, ",
    "kustomize": "kind: Deployment\n",
    "pg_dump": "",
    "pg_restore": "servers made for 0001 or newer may run on it\n",
    "psql": "ALTER ROLE\n",
}
"""What each block that is run has in it, and says."""


def test_the_formula_is_the_one_that_limits_are_held_against() -> None:
    """What an operator counts by hand is what the tests of the deployment files count."""
    numbers = [int(number) for number in re.findall(r"^ +\+? ?(\d+) MiB", PAGE, re.MULTILINE)]
    assert numbers == [IDLE // MIB, PER_DOWNLOAD // MIB, SLACK // MIB]


@pytest.fixture
def marked() -> dict[str, Block]:
    """The blocks that are run, by the command that tells them apart; none is left out."""
    found = {name: block for block in blocks(PAGE) if block.run for name in EXPECTED if name in block.text}
    assert list(found) == list(EXPECTED)
    assert len(found) == sum(block.run for block in blocks(PAGE))
    return found


@pytest.mark.timeout(300)
async def test_its_commands_bring_a_document_back(
    marked: dict[str, Block],
    start_server: StartServer,
    postgres_server: PostgresServer,
    postgres_url: str,
    postgres_empty_url: str,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    """Backed up, and restored into an empty database: what was there is there, and later objects stay for a while.

    Then the password is turned over to a second role: it reads, writes and migrates, and owns nothing.
    """
    tool("kustomize")
    checkout = copied_checkout(tmp_path / "checkout")
    told = {
        "PATH": f"{TOOLS}:{postgres_program('pg_dump').parent}:{environment()['PATH']}",
        "RESTORED_DATABASE_URL": postgres_empty_url,
        "GRPC_ADDRESS": "127.0.0.1:0",
        # Anything counts as an orphan, where the page does not say otherwise.
        "JANITOR_ORPHAN_AGE": "0.001",
    }
    store = s3_server.environment()

    async def run(name: str, **more: str) -> None:
        done = await asyncio.to_thread(perform, marked[name], checkout, "none", **told, **more)
        assert done.returncode == 0, done.stdout
        assert EXPECTED[name] in done.stdout

    def upload(address: str, text: bytes) -> str:
        (file := tmp_path / "document.txt").write_bytes(text)
        with LedgerLiftClient(address) as client:
            return client.upload(file).document.document_id

    def download(address: str, document_id: str) -> bytes:
        with LedgerLiftClient(address) as client:
            client.download(document_id, tmp_path / "copy")
        return (tmp_path / "copy").read_bytes()

    await run("check-config")
    await run("doctor", DATABASE_URL=postgres_url, **store)
    await run("kustomize")
    first = await start_server(DATABASE_URL=postgres_url, **store)
    before = await asyncio.to_thread(upload, first.address, b"before the backup")
    await first.stop()  # or its janitor's lease would be in the backup, and keep a janitor waiting for two minutes
    await run("pg_dump", DATABASE_URL=postgres_url)
    await first.restart()
    after = await asyncio.to_thread(upload, first.address, b"after the backup")
    assert await first.stop() == 0

    await run("pg_restore", **store)
    second = await start_server(DATABASE_URL=postgres_empty_url, **store)
    assert await asyncio.to_thread(download, second.address, before) == b"before the backup"
    with pytest.raises(errors.NotFound):
        await asyncio.to_thread(download, second.address, after)
    assert await asyncio.to_thread(contents, s3_server, store["S3_BUCKET"]) == {
        b"before the backup",
        b"after the backup",
    }
    await second.stop()

    try:
        await run("psql", DATABASE_URL=postgres_empty_url, NEXT_PASSWORD="another")  # noqa: S106 - nobody's
        turned = postgres_empty_url.replace(f"//{USER}@", f"//{USER}_b@")
        await asyncio.to_thread(migrate, turned)
        third = await start_server(DATABASE_URL=turned, **store)
        assert await asyncio.to_thread(download, third.address, before) == b"before the backup"
        await asyncio.to_thread(upload, third.address, b"by the other role")
        await third.stop()
        with closing(psycopg2.connect(turned)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE of_the_next_version ()")
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        assert postgres_server.execute(owners, postgres_empty_url.rpartition("/")[2]) == [(USER,)]
    finally:
        postgres_server.execute(f"DROP ROLE IF EXISTS {USER}_b")


def contents(server: S3Server, bucket: str) -> set[bytes]:
    """Of every object, past the server."""
    client = make_client(server.endpoint)
    names = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
    bodies = {client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}
    client.close()
    return bodies
