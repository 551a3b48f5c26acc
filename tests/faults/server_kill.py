"""The server dies in the middle of a large upload; our client waits for it to come back, and goes on."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event

from ledgerlift_client import LedgerLiftClient, Progress, UploadResult

from tests.support.invariants import clean_up, everything
from tests.support.stores import MIB, Stores

PARTS_IN_FLIGHT = 4
"""Parts that may lie behind the durable prefix, as a server has it by default. One more is being filled."""
ON_THE_WIRE = 2 * MIB
"""At most: what the server's window takes ahead of being read, and the message that the client is sending (1 MiB)."""
PATIENCE = 600.0
"""Seconds that the whole upload gets."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sizes in bytes; `most_resent` is what is allowed. `problems` are sentences, none where all is right."""

    killed_at: int
    resent: int
    most_resent: int
    attempts: int
    digest_is_right: bool
    problems: list[str]


def make_file(path: Path, size: int, seed: int) -> str:
    """A file whose every MiB is another; its SHA-256."""
    block = bytearray(Random(seed).randbytes(MIB))  # noqa: S311 - to be made again, not to be secret
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(-(-size // MIB)):
            block[:8] = number.to_bytes(8, "big")
            piece = memoryview(block)[: min(MIB, size - number * MIB)]
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


async def kill_in_the_middle(stores: Stores, size: int, random: Random) -> Outcome:
    """Upload a file of `size` to a server that is killed on the way and started again on the same port."""
    path = stores.folder / "large.bin"
    digest = make_file(path, size, random.getrandbits(32))
    kill_at = int(size * random.uniform(0.5, 0.9))  # so far that a beginning anew would show
    reached = Event()

    def watch(progress: Progress) -> None:
        if progress.position >= kill_at:
            reached.set()

    def upload(address: str) -> UploadResult:
        with LedgerLiftClient(address) as client:
            return client.upload(path, request_id="killed", progress=watch, timeout=PATIENCE)

    async with stores.server() as server:
        uploading = asyncio.create_task(asyncio.to_thread(upload, server.address))
        await asyncio.to_thread(reached.wait, PATIENCE)
        await server.kill()
        await server.restart()
        result = await uploading
        assert await server.stop() == 0, server.output

    await clean_up(stores)
    found = await everything(stores)
    most_resent = (PARTS_IN_FLIGHT + 1) * stores.part_size + ON_THE_WIRE
    right = [document.sha256 for document in found.documents] == [result.document.sha256] == [digest]
    problems = found.problems()
    if not right:
        problems.append(f"{digest} was sent, {[document.sha256 for document in found.documents]} is there")
    if result.resent_bytes > most_resent:
        problems.append(f"{result.resent_bytes} bytes were sent again, at most {most_resent} were on their way")
    if result.attempts < 2:
        problems.append("the upload did not notice the death of its server")
    return Outcome(kill_at, result.resent_bytes, most_resent, result.attempts, right, problems)
