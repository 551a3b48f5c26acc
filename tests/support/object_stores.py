"""One suite, every object store: fixtures that come once on files, once on a real S3 server and once on moto."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from crc32c import crc32c
from ledgerlift_server.adapters.filesystem import FilesystemStore
from ledgerlift_server.adapters.s3 import S3Options, S3Store
from ledgerlift_server.domain.store_port import NoSuchMultipart, ObjectStore
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import DependencyUnavailable
from ledgerlift_server.resilience.bulkhead import Bulkhead

from tests.support.dependencies import never_opens
from tests.support.s3 import store_options

MIB = 1024 * 1024
PART = 5 * MIB
"""The smallest part that S3 takes anywhere but at the end."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A store, and what it cannot do. What it cannot do is tested too: tests ask for the wrong answer then."""

    name: str
    checks_bytes: bool = True
    """Refuses bytes that are not what their checksum says."""
    lists_checksums: bool = True
    """Tells the CRC-32C of each part."""
    tells_when: bool = True
    """Tells when an unfinished upload was begun."""
    write_to_no_upload: type[Exception] = NoSuchMultipart
    """What a part or a completion is refused with where the upload is not there (any more)."""


KINDS = (
    Kind("filesystem"),
    Kind("versitygw"),
    Kind(
        "moto", checks_bytes=False, lists_checksums=False, tells_when=False, write_to_no_upload=DependencyUnavailable
    ),  # answers 500
)

SESSION = "0199-session"
"""What objects of these tests are written with, as their token."""

OpenFileStore = Callable[[Path], FilesystemStore]
OpenS3Store = Callable[[S3Options], S3Store]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind in turn."""
    found: Kind = request.param
    return found


@pytest.fixture
def storage_bulkhead() -> Iterator[Bulkhead]:
    """The threads of the stores that a test opens."""
    bulkhead = Bulkhead("storage", 16, max_wait=30.0)
    yield bulkhead
    bulkhead.close()


@pytest.fixture
def open_file_store(storage_bulkhead: Bulkhead) -> Iterator[OpenFileStore]:
    """Opens a `FilesystemStore` on a folder; closed at the end."""
    opened: list[FilesystemStore] = []

    def open_one(root: Path) -> FilesystemStore:
        opened.append(FilesystemStore(root, never_opens("storage", storage_bulkhead)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def open_s3_store(storage_bulkhead: Bulkhead) -> Iterator[OpenS3Store]:
    """Opens an `S3Store`; closed at the end."""
    opened: list[S3Store] = []

    def open_one(options: S3Options) -> S3Store:
        opened.append(S3Store(options, never_opens("storage", storage_bulkhead)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store, this test's own."""
    if kind.name == "filesystem":
        open_file_store: OpenFileStore = request.getfixturevalue("open_file_store")
        return open_file_store(tmp_path / "objects")
    server = request.getfixturevalue("s3_server" if kind.name == "versitygw" else "moto_server")
    open_s3_store: OpenS3Store = request.getfixturevalue("open_s3_store")
    return open_s3_store(store_options(server))


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that compress to nothing and differ from part to part."""
    return random.Random(seed).randbytes(size)  # noqa: S311 -- test data


async def put(store: ObjectStore, name: str, data: bytes, *, token: str = SESSION) -> None:
    """A single put with the right checksum."""
    await store.put(name, memoryview(data), crc32c=crc32c(data), token=token)


async def put_part(store: ObjectStore, name: str, multipart_id: str, number: int, data: bytes) -> StoredPart:
    """A part with the right checksum."""
    return await store.put_part(name, multipart_id, number, memoryview(data), crc32c=crc32c(data))


async def put_parts(store: ObjectStore, name: str, multipart_id: str, data: bytes) -> Sequence[StoredPart]:
    """`data` in parts of `PART`, one after the other."""
    return [
        await put_part(store, name, multipart_id, number, data[start : start + PART])
        for number, start in enumerate(range(0, len(data), PART), start=1)
    ]
