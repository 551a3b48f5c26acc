"""Downloads from a server that breaks on request: every byte is right, or there is no file of that name."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_client import LedgerLiftClient, Progress, errors

from tests.support.peer_clients import DATA, INTERNAL, OPTIONS
from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")


@pytest.fixture
def client(peer: UploadPeer) -> Iterator[LedgerLiftClient]:
    """A client of it, with small messages and segments."""
    with LedgerLiftClient(peer.target, options=OPTIONS) as made:
        yield made


def test_a_download_is_whole_and_right(peer: UploadPeer, client: LedgerLiftClient, tmp_path: Path) -> None:
    """To a path and to a file object."""
    document_id = peer.add_document(DATA)
    path, memory = tmp_path / "copy", io.BytesIO()
    assert client.download(document_id, path).size == 1000
    client.download(document_id, memory)
    assert path.read_bytes() == memory.getvalue() == DATA
    assert os.listdir(tmp_path) == ["copy"]


@pytest.mark.parametrize(
    "fault", [Fault(after=300), Fault(None, after=300), Fault(after=300, damage=True), Fault(INTERNAL, after=300)]
)
def test_a_broken_download_goes_on_from_the_last_good_byte(
    peer: UploadPeer, client: LedgerLiftClient, fault: Fault, tmp_path: Path
) -> None:
    """A cut connection, a silent end, and a damaged chunk."""
    peer.fail("DownloadDocument", fault)
    seen: list[Progress] = []
    client.download(peer.add_document(DATA), tmp_path / "copy", progress=seen.append)
    assert (tmp_path / "copy").read_bytes() == DATA
    assert peer.count("DownloadDocument") == 2
    assert [p.position for p in seen] == sorted(p.position for p in seen)
    assert seen[-1].fraction == 1.0


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (990, None), (250, 333), (1000, None), (5, 0), (900, 500)])
def test_a_range_is_fetched_over_a_break(
    peer: UploadPeer, client: LedgerLiftClient, offset: int, length: int | None
) -> None:
    """Exactly the bytes that were asked for."""
    peer.fail("DownloadDocument", Fault(after=100))
    memory = io.BytesIO()
    client.download(peer.add_document(DATA), memory, offset=offset, length=length)
    assert memory.getvalue() == DATA[offset : None if length is None else offset + length]


def test_wrong_bytes_never_get_their_name(peer: UploadPeer, client: LedgerLiftClient, tmp_path: Path) -> None:
    """A document whose bytes are not those of its digest leaves no file, and the old one in place."""
    path = tmp_path / "copy"
    path.write_bytes(b"old")
    with pytest.raises(errors.ChecksumMismatch):
        client.download(peer.add_document(DATA, sha256="ab" * 32), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["copy"]


def test_a_file_object_may_take_little_at_once(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """A raw file that writes less than it is given gets the rest as well."""

    class Grudging(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:7])

    memory = Grudging()
    client.download(peer.add_document(DATA), memory)
    assert memory.getvalue() == DATA
