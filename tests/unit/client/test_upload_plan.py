"""From a caller's words to an upload: state file, digest up front, helpers for files and names."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift_client import CancelToken, Limits, Progress, errors
from ledgerlift_client._many import as_items
from ledgerlift_client._sources import Source, open_source
from ledgerlift_client._upload_plan import UploadItem, UploadPlan
from ledgerlift_client.helpers import human_size, sanitize_filename, sha256_file, validate_file

LIMITS = Limits(
    100, 1, 1, 1, timedelta(1), ("text/*", "application/pdf"), timedelta(1), 1, timedelta(1)
)  # fmt: skip


def opened(source: Any) -> Source:
    """A source."""
    return open_source(source, replay=1000, peek=10)


def plan(item: UploadItem, **more: Any) -> UploadPlan:
    """The plan of an item."""
    source = opened(item.source)
    try:
        return UploadPlan(item, source, **{"dedupe": "send", **more})
    finally:
        source.close()


def test_a_state_file_gives_the_next_run_the_same_request_id(tmp_path: Path) -> None:
    """Written before anything is sent, gone when it is done; nothing else is left in the folder."""
    path, state = tmp_path / "a.txt", tmp_path / "state"
    path.write_bytes(b"data")
    first = plan(UploadItem(path, state_file=state))
    assert json.loads(state.read_text())["request_id"] == first.spec.request_id
    again = plan(UploadItem(path, state_file=state))
    assert again.spec.request_id == first.spec.request_id
    again.done()
    again.done()
    assert os.listdir(tmp_path) == ["a.txt"]
    assert plan(UploadItem(path, state_file=state)).spec.request_id != first.spec.request_id


@pytest.mark.parametrize("what", ["bytes", "filename", "key", "metadata"])
def test_another_source_or_description_begins_an_upload_of_its_own(tmp_path: Path, what: str) -> None:
    """The old session is not what this is about, and its request id would be refused."""
    path, state = tmp_path / "a.txt", tmp_path / "state"
    path.write_bytes(b"data")
    first = plan(UploadItem(path, state_file=state))
    changes: dict[str, Any] = {"bytes": {}, "filename": {"filename": "b"}, "key": {"key": "k"}}
    if what == "bytes":
        path.write_bytes(b"DATA")
        os.utime(path, ns=(1, 1))
    other = plan(UploadItem(path, state_file=state, **changes.get(what, {"metadata": {"a": "b"}})))
    assert other.spec.request_id != first.spec.request_id
    assert json.loads(state.read_text())["request_id"] == other.spec.request_id


@pytest.mark.parametrize("content", [b"precious", b"{}", b'{"kind": "other"}', b"[1]", b"\xff\xfe"])
def test_a_file_that_is_no_state_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """A wrong path must not cost what is there."""
    state = tmp_path / "thesis.txt"
    state.write_bytes(content)
    with pytest.raises(ValueError, match=r"thesis\.txt"):
        plan(UploadItem(b"x", filename="a", state_file=state))
    assert state.read_bytes() == content


def test_what_cannot_be_meant_is_refused() -> None:
    """Two request ids, a mode that is none, a stream that would have to be read twice, a list that is one path."""
    with pytest.raises(ValueError, match="request_id or state_file"):
        plan(UploadItem(b"x", filename="a", request_id="r", state_file="s"))
    with pytest.raises(ValueError, match="dedupe"):
        plan(UploadItem(b"x", filename="a"), dedupe="maybe")
    with pytest.raises(ValueError, match="twice"):
        plan(UploadItem(iter([b"x" * 20]), filename="a"), dedupe="check")
    with pytest.raises(ValueError, match="filename"):
        plan(UploadItem(b"x"))
    with pytest.raises(TypeError, match="list"):
        as_items("a.txt", 4)


@pytest.mark.parametrize("kind", ["bytes", "path", "small stream"])
def test_the_digest_up_front_is_that_of_the_whole_source(tmp_path: Path, kind: str) -> None:
    """And the source can still be read from its first byte; a cancelled token ends the reading."""
    (tmp_path / "a").write_bytes(b"12345678")
    makes: dict[str, Any] = {"bytes": b"12345678", "path": tmp_path / "a", "small stream": iter([b"1234", b"5678"])}
    source = opened(makes[kind])
    made = UploadPlan(UploadItem(makes[kind], filename="a"), source, "check")
    cancelled = CancelToken()
    cancelled.cancel()
    with pytest.raises(errors.Cancelled):
        made.digest(source, 3, cancelled)
    assert made.digest(source, 3, None) == hashlib.sha256(b"12345678").hexdigest() == made.spec.sha256
    source.seek(0)
    assert b"".join(iter(lambda: bytes(source.read(3)), b"")) == b"12345678"
    made.known(7)
    assert not made.ask_first
    made.known(8)
    assert made.ask_first
    source.close()


@given(pieces=st.lists(st.binary(max_size=30), max_size=8), most=st.integers(1, 20))
def test_an_iterable_of_bytes_gives_them_all_in_order(pieces: list[bytes], most: int) -> None:
    """However it is cut; an empty piece is not the end, and a buffer that its maker fills anew is not believed."""

    def shared() -> Iterator[bytearray]:
        buffer = bytearray()
        for piece in pieces:
            buffer[:] = piece
            yield buffer

    source = opened(shared())
    source.seek(0)
    read = []
    while piece := source.read(most):
        assert len(piece) <= most
        read.append(bytes(piece))
    assert b"".join(read) == b"".join(pieces)
    total = len(b"".join(pieces))
    assert source.size == (total if total < 10 else None)


def test_a_source_that_is_asynchronous_says_whose_it_is() -> None:
    """The sync client cannot wait for it."""

    async def pieces() -> Any:
        yield b"x"

    with pytest.raises(TypeError, match="asyncio client"):
        opened(pieces())


# Helpers


def test_a_file_is_validated_against_the_servers_limits(tmp_path: Path) -> None:
    """Name, type and size, before a byte is sent; every wrong field is named."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 100)
    facts = validate_file(path, LIMITS)
    assert (facts.filename, facts.content_type, facts.size) == ("a.txt", "text/plain", 100)
    assert validate_file(path, LIMITS, content_type="Application/PDF; x=1").content_type == "Application/PDF; x=1"
    with pytest.raises(errors.InvalidArgument) as wrong:
        validate_file(path, LIMITS, filename="a/b", content_type="image/png")
    assert {v.field for v in wrong.value.violations} == {"spec.filename", "spec.content_type"}
    path.write_bytes(b"x" * 101)
    with pytest.raises(errors.DocumentTooLarge) as large:
        validate_file(path, LIMITS)
    assert large.value.limit == 100
    with pytest.raises(OSError, match="nowhere"):
        validate_file(tmp_path / "nowhere", LIMITS)
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    with pytest.raises(OSError, match="no regular file"):
        validate_file(tmp_path / "pipe", LIMITS)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("report.pdf", "report.pdf"),
        ("übersicht 2026.pdf", "übersicht 2026.pdf"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("C:\\a.txt", "C:_a.txt"),
        ("a\nb\x00.txt", "a_b_.txt"),
        ("exe\u202efdp.txt", "exe_fdp.txt"),
        ("", "_"),
        ("..", "_"),
        (" \t", " _"),
        ("   ", "_"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
    ],
)
def test_names_are_made_such_that_the_server_takes_them(name: str, clean: str) -> None:
    """What is fine stays; the ending survives."""
    assert sanitize_filename(name) == clean


@given(st.text(max_size=600))
def test_a_sanitised_name_stays_as_it_is(name: str) -> None:
    """And is within both bounds, whatever it was."""
    clean = sanitize_filename(name)
    assert sanitize_filename(clean) == clean
    assert 0 < len(clean) <= 255
    assert len(clean.encode()) <= 1024


def test_sizes_for_people_and_the_digest_of_a_file(tmp_path: Path) -> None:
    """With progress to the end, also for an empty file."""
    assert [human_size(n) for n in (0, 1023, 1536, 5 * 1024**3, 2 * 1024**5)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 GiB", "2048.0 TiB",
    ]  # fmt: skip
    for size, positions in ((0, [0]), (2**20, [2**20]), (2**20 + 1, [2**20, 2**20 + 1])):
        path = tmp_path / "a"
        path.write_bytes(b"x" * size)
        seen: list[Progress] = []
        assert sha256_file(path, progress=seen.append) == hashlib.sha256(b"x" * size).hexdigest()
        assert [p.position for p in seen] == positions
        assert seen[-1].fraction == 1.0
