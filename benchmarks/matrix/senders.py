"""Ways to store a document: ours and what else is done. Each is called from many threads at once."""

from __future__ import annotations

import json
import queue
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psutil
import psycopg2
import urllib3
from botocore.config import Config
from ledgerlift_client import LedgerLiftClient

from benchmarks.matrix.bodies import MIB, SMALL, Body, small
from benchmarks.upload.peers.versitygw import S3Target

MOST_CLIENTS = 64
PUT_UP_TO = 8 * MIB
"""Larger documents go as boto3 sends files: in parts, on threads of its own."""


class Sender(Protocol):
    """A way to store a document of `size` bytes, and to fetch the last one."""

    name: str

    @property
    def server(self) -> psutil.Process | None:
        """The process whose processor time is counted; None where there is no service."""

    def send(self, size: int) -> None:
        """Store a new one; returns when the other side says that it is stored."""

    def tidy(self) -> None:
        """Remove all that were stored. Not timed."""


class Ours:
    """`LedgerLiftClient.upload`, one client for all threads."""

    def __init__(self, client: LedgerLiftClient, server: psutil.Process, name: str = "LedgerLift") -> None:
        self.name, self.server = name, server
        self.client = client
        self.ids: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(self, size: int) -> None:
        source: Any = small(size) if size <= SMALL else Body(size)
        done = self.client.upload(source, filename="b.bin", content_type="application/octet-stream")
        assert done.document.size == size and not done.duplicate
        self.ids.put(done.document.document_id)

    def tidy(self) -> None:
        while not self.ids.empty():
            self.client.delete(self.ids.get())


class Boto3:
    """Straight to the S3 server; with `rows`, a row for each document besides."""

    def __init__(self, target: S3Target, rows: Rows | None = None) -> None:
        self.name = "boto3" if rows is None else "boto3 + row"
        self.server: psutil.Process | None = None
        self.bucket = target.bucket
        self._rows = rows
        self.client: Any = target.client(config=Config(max_pool_connections=MOST_CLIENTS))
        self._keys: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(self, size: int) -> None:
        key = self.put(size)
        self._keys.put(key)
        if self._rows is not None:
            self._rows.add(key, size)

    def put(self, size: int) -> str:
        """The key of the new object, which `tidy` does not know of."""
        key = f"boto3/{uuid.uuid4()}"
        if size <= PUT_UP_TO:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=Body(size).readall())
        else:
            self.client.upload_fileobj(Body(size), self.bucket, key)
        return key

    def tidy(self) -> None:
        while not self._keys.empty():
            self.client.delete_object(Bucket=self.bucket, Key=self._keys.get())


class Http:
    """A multipart/form-data POST to the service of `peers/http_app.py`, as `requests` makes it."""

    def __init__(self, url: str, server: psutil.Process) -> None:
        self.name, self.server = "HTTP upload", server
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=MOST_CLIENTS, block=True)

    def send(self, size: int) -> None:
        fields = {"file": ("b.bin", Body(size).readall(), "application/octet-stream")}
        answer = self._pool.request("POST", f"{self._url}/documents", fields=fields, retries=False)
        assert answer.status == 201, answer.data
        assert json.loads(answer.data)["size"] == size

    def tidy(self) -> None:
        """What it has stored goes with its bucket."""


class Rows:
    """A table, and a connection for each thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._here = threading.local()

    def add(self, key: str, size: int) -> None:
        """One row, committed."""
        if not hasattr(self._here, "connection"):
            self._here.connection = psycopg2.connect(self._url)
        with self._here.connection as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO stored (id, filename, size) VALUES (%s, %s, %s)", (key, "b.bin", size))


@contextmanager
def rows(url: str) -> Iterator[Rows]:
    """The table, made."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS stored (id text PRIMARY KEY, filename text NOT NULL, size bigint NOT NULL,"
            " created timestamptz NOT NULL DEFAULT now())"
        )
    connection.close()
    yield Rows(url)
