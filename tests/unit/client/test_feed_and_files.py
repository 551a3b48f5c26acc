"""The queue between the caller's thread and grpc's, and files that are there whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ledgerlift_client._feed import Feed
from ledgerlift_client._files import AtomicFile


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run `work` beside the test; its result comes into the list."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


def test_messages_come_out_in_order_and_end() -> None:
    """What was put in before the end comes out, then the iteration is over."""
    feed = Feed(3)
    assert all([feed.put(b"a"), feed.put(b"b")])
    feed.end()
    assert list(feed) == [b"a", b"b"]


def test_a_full_feed_waits_for_room() -> None:
    """No more than its capacity is read ahead of the network."""
    feed = Feed(1)
    feed.put(b"a")
    thread, results = in_thread(lambda: feed.put(b"b"))
    assert next(feed) == b"a"
    thread.join(10)
    assert results == [True]
    assert next(feed) == b"b"


def test_the_end_of_a_call_lets_a_waiting_writer_go() -> None:
    """A call that ends early must not leave its caller waiting for room."""
    feed = Feed(1)
    feed.put(b"a")
    thread, results = in_thread(lambda: feed.put(b"b"))
    feed.stop()
    thread.join(10)
    assert results == [False]
    assert feed.put(b"c") is False
    assert list(feed) == []


def test_the_end_of_a_call_lets_a_waiting_reader_go() -> None:
    """grpc's thread ends with its call and does not stay behind."""
    feed = Feed(1)
    thread, results = in_thread(lambda: list(feed))
    feed.stop()
    thread.join(10)
    assert results == [[]]


def test_what_was_never_asked_for_was_never_taken() -> None:
    """Messages that still wait when the call is over do not count as sent."""
    feed = Feed(3)
    for message in (b"1", b"2", b"3"):
        assert feed.put(message)
    assert next(feed) == b"1"
    feed.stop()
    assert list(feed) == []
    assert feed.taken == 1


def test_a_file_is_in_place_only_when_it_is_committed(tmp_path: Path) -> None:
    """Until then the old one stays, and nothing is left when it is abandoned."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    file = AtomicFile(path)
    file.write(b"new")
    assert path.read_bytes() == b"old"
    file.abandon()
    assert os.listdir(tmp_path) == ["a"]
    file = AtomicFile(path)
    file.write(b"new")
    file.commit()
    file.abandon()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    """Not the 0600 of a temporary file."""
    file = AtomicFile(tmp_path / "a")
    file.commit()
    (tmp_path / "b").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_a_folder_is_not_a_place_for_a_file(tmp_path: Path) -> None:
    """Said before a byte is fetched, of the name that was given."""
    with pytest.raises(IsADirectoryError) as folder:
        AtomicFile(tmp_path)
    assert folder.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError) as nowhere:
        AtomicFile(tmp_path / "no" / "a")
    assert nowhere.value.filename == str(tmp_path / "no" / "a")


def test_a_disk_that_is_full_is_named_by_the_file_that_did_not_fit(tmp_path: Path) -> None:
    """The system's own error has no file name."""
    file = AtomicFile(tmp_path / "a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))
    try:
        assert file.write(b"123") == 3
        with pytest.raises(OSError, match="too large") as full:
            file.write(b"4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        file.abandon()
    assert full.value.filename == str(tmp_path / "a")
