"""Kills a process that uses a `FilesystemStore`, once before each single system call that changes a file.

    python -m tests.support.file_crashes SCENARIO FOLDER

makes FOLDER/1, FOLDER/2, ...: the store as it was found after a crash before the first, second, ... call of the
scenario's last step; and FOLDER/end, where nothing crashed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from crc32c import crc32c
from ledgerlift_server.adapters.filesystem import FilesystemStore
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.resilience.bulkhead import Bulkhead

from tests.support.dependencies import never_opens
from tests.support.os_calls import watched

NAME = "objects/ab/0199-aa"
OLDER, NEWER = b"older" * 1000, b"newer!" * 500_000
"""The newer one takes several writes."""
PARTS = (b"first part" * 1000, b"second part" * 100)
OLDER_TOKEN, NEWER_TOKEN = "older-session", "newer-session"
CRASHED = 77
UPLOAD_FILE = "upload"
"""In the folder beside the store: the id of the multipart upload."""

Step = Callable[[FilesystemStore], Awaitable[Any]]


async def put(store: FilesystemStore, data: bytes, token: str) -> None:
    """A single put."""
    await store.put(NAME, memoryview(data), crc32c=crc32c(data), token=token)


async def put_part(store: FilesystemStore, upload: str, number: int, data: bytes) -> StoredPart:
    """One part."""
    return await store.put_part(NAME, upload, number, memoryview(data), crc32c=crc32c(data))


async def begin(store: FilesystemStore, root: Path) -> tuple[str, list[StoredPart]]:
    """An upload with all of its parts, and one that will not be listed."""
    upload = await store.create_multipart(NAME, token=NEWER_TOKEN)
    root.with_suffix(".upload").write_text(upload)
    parts = [await put_part(store, upload, number, data) for number, data in enumerate(PARTS, start=1)]
    await put_part(store, upload, 3, b"not to be listed")
    return upload, parts


async def prepare(scenario: str, store: FilesystemStore, root: Path) -> Step:
    """Everything but the last step, which is returned."""
    match scenario:
        case "put":
            return lambda store: put(store, NEWER, NEWER_TOKEN)
        case "replace":
            await put(store, OLDER, OLDER_TOKEN)
            return lambda store: put(store, NEWER, NEWER_TOKEN)
        case "replace-parts":
            await store.complete_multipart(NAME, *await begin(store, root))
            return lambda store: put(store, NEWER, NEWER_TOKEN)
        case "create":
            return lambda store: store.create_multipart(NAME, token=NEWER_TOKEN)
        case "part":
            upload, _ = await begin(store, root)
            return lambda store: put_part(store, upload, 1, NEWER)
        case "complete":
            upload, parts = await begin(store, root)
            return lambda store: store.complete_multipart(NAME, upload, parts)
        case "abort":
            upload, _ = await begin(store, root)
            return lambda store: store.abort_multipart(NAME, upload)
        case "delete":
            await store.complete_multipart(NAME, *await begin(store, root))
            return lambda store: store.delete(NAME)
    raise AssertionError(scenario)


async def run(scenario: str, root: Path, crash_before: int) -> None:
    """Run the scenario; in its last step, be gone before call number `crash_before`."""
    bulkhead = Bulkhead("storage", 2, max_wait=10)
    store = FilesystemStore(root, never_opens("storage", bulkhead))
    step = await prepare(scenario, store, root)
    calls = itertools.count(1)

    def crash(*_: Any) -> None:
        if next(calls) == crash_before:
            os._exit(CRASHED)

    with watched(before=crash):
        await step(store)
    store.close()
    bulkhead.close()


def main(scenario: str, folder: Path) -> None:
    """One process for each point; each ends before it or, the last, reaches the end."""
    for crash_before in itertools.count(1):
        root = folder / str(crash_before)
        child = os.fork()
        if child == 0:
            asyncio.run(run(scenario, root, crash_before))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            root.rename(folder / "end")
            if root.with_suffix(".upload").exists():
                root.with_suffix(".upload").rename(folder / "end.upload")
            return
        assert code == CRASHED, f"{scenario} failed at {crash_before}"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
