"""SIGTERM while uploads run: every one of them is told what is durable, and goes on at another server."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import LedgerLiftClient

from tests.faults.claims import Claim
from tests.faults.load.pool import Pool
from tests.support.invariants import Found, clean_up, everything
from tests.support.raw_uploads import (
    CONTENT_TYPE,
    FILENAME,
    UPLOAD_ID_HEADER,
    messages,
    reason,
    spec,
    until_durable,
    uploads,
)
from tests.support.stores import Stores

ANSWER_WITHIN = 5.0
"""Seconds from the signal to the answer of each upload."""
GRACE = 30.0
"""SHUTDOWN_GRACE of the server, in seconds."""
TIMEOUT = 120.0
PARTS = 4
"""Of a document; more than one of them is sent before the signal."""
PACE = 0.05
"""Seconds between two messages of a client, once it is well under way: it is still sending when the signal comes."""


@dataclass(slots=True)
class Answer:
    """What one client was told, and when (`time.monotonic`)."""

    said: str
    persisted_size: int
    at: float


class Running:
    """One upload in a thread of its own that sends until it is answered, and never says that it is finished."""

    def __init__(self, address: str, data: memoryview, number: int, ahead: int) -> None:
        """`ahead` bytes are sent as fast as they are taken, the rest at a pace that does not come to the end."""
        self.request_id = f"drain-{number}"
        self.data = data
        self._ahead = ahead
        self._over = threading.Event()
        self._channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self._call = uploads(self._channel).Upload.future(self._messages(), timeout=TIMEOUT)
        self._ended_at = 0.0
        self._call.add_done_callback(self._ended)

    def upload_id(self) -> str:
        """Blocks until the server has announced it."""
        return str(dict(self._call.initial_metadata())[UPLOAD_ID_HEADER])

    def answer(self) -> Answer:
        """Blocks until there is one."""
        try:
            response = self._call.result()
        except grpc.RpcError as refused:
            error: Any = refused
            return Answer(f"{error.code().name} {reason(error)}", -1, self._ended_at)
        finally:
            self._over.wait(TIMEOUT)
            self._channel.close()
        said = "OK " + pb.StopReason.Name(response.stop_reason).removeprefix("STOP_REASON_")
        return Answer(said, response.upload.persisted_size, self._ended_at)

    def _messages(self) -> Iterator[pb.UploadRequest]:
        first = {"spec": spec(self.request_id, size=len(self.data)), "accept_partial": True}
        yield from messages(self.data, 0, self._ahead, size=64 * 1024, **first)
        for message in messages(self.data, self._ahead, len(self.data) - 1, size=4096):
            if self._over.wait(PACE):
                return
            yield message
        self._over.wait(TIMEOUT)

    def _ended(self, _call: object) -> None:
        self._ended_at = time.monotonic()
        self._over.set()


async def drain(stores: Stores, *, count: int) -> list[Claim]:
    """SIGTERM under so many running uploads; a second server, which ran all the time, finishes them."""
    pool = Pool(count, PARTS * stores.part_size)
    slots = {"MAX_CONCURRENT_UPLOADS": str(2 * count)}
    async with (
        stores.server(SHUTDOWN_GRACE=str(GRACE), **slots) as first,
        stores.server(GRPC_ADDRESS="127.0.0.1:0", **slots) as second,
    ):
        ahead = stores.part_size * 3 // 2
        running = [Running(first.address, pool[number], number, ahead) for number in range(count)]
        with grpc.insecure_channel(first.address) as channel:
            for one in running:
                upload_id = await asyncio.to_thread(one.upload_id)
                await asyncio.to_thread(until_durable, channel, upload_id, stores.part_size, timeout=TIMEOUT)
        told_at = time.monotonic()
        first.send(signal.SIGTERM)
        answers = await asyncio.gather(*(asyncio.to_thread(one.answer) for one in running))
        code = await first.wait()
        took = time.monotonic() - told_at
        right = _durable_as_told(await everything(stores), running, answers)
        finished = await asyncio.to_thread(_finish, second.address, running, pool)
        assert await second.stop() == 0, second.output
    await clean_up(stores)
    found = await everything(stores)
    well = [answer for answer in answers if answer.said == "OK DRAINING"]
    slowest = max(answer.at for answer in answers) - told_at
    said = ", ".join(sorted({answer.said for answer in answers}))
    return [
        Claim(
            f"SIGTERM under {count} uploads: answered OK",
            f"{len(well)} ({said}), the last after {slowest:.2f} s",
            f"all within {ANSWER_WITHIN:g} s",
            len(well) == count and slowest <= ANSWER_WITHIN,
        ),
        Claim("  with their durable offset", f"{right}", "all", right == count),
        Claim(
            "  the process ends",
            f"code {code} after {took:.1f} s",
            f"0 within {GRACE:g} s",
            (code, took < GRACE) == (0, True),
        ),
        Claim(
            "  finished by the second server",
            f"{finished} right, {len(found.documents)} documents, {len(found.problems())} problems",
            "all, none lost",
            finished == count == len(found.documents) and not found.problems(),
        ),
    ]


def _durable_as_told(found: Found, running: list[Running], answers: list[Answer]) -> int:
    right = 0
    for one, answer in zip(running, answers, strict=True):
        session = found.session_of(one.request_id)
        right += session is not None and session.persisted_size == answer.persisted_size > 0
    return right


def _finish(address: str, running: list[Running], pool: Pool) -> int:
    right = 0
    with LedgerLiftClient(address) as client:
        for number, one in enumerate(running):
            result = client.upload(one.data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=one.request_id)
            right += result.document.sha256 == pool.sha256(number)
    return right
