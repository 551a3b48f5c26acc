"""SIGTERM in the middle of uploads: each is told what is durable, none is lost, and the process ends well."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import LedgerLiftClient

from tests.support.invariants import clean_up, everything
from tests.support.raw_uploads import (
    CONTENT_TYPE,
    FILENAME,
    OpenUpload,
    content,
    facts,
    messages,
    reason,
    retry_after,
    spec,
    until_durable,
)
from tests.support.stores import Stores

UPLOADS = 6
PARTS = 6
TIMEOUT = 60


class Running:
    """An upload that sends what it has, never says that it is finished, and waits for its answer."""

    def __init__(self, channel: grpc.Channel, part_size: int, number: int) -> None:
        self.request_id = f"drain-{number}"
        self.accept_partial = number % 2 == 0
        self.data = content(number, PARTS * part_size + number)
        self.call = OpenUpload(channel, timeout=TIMEOUT)
        declared = spec(self.request_id, size=len(self.data))
        self.call.send(messages(self.data, spec=declared, accept_partial=self.accept_partial))

    def durable_when_stopped(self) -> int:
        """Bytes, as the answer tells; every answer has to be one that says how to go on."""
        if self.accept_partial:
            response = self.call.answer()
            assert response.stop_reason == pb.STOP_REASON_DRAINING
            size: int = response.upload.persisted_size
            return size
        with pytest.raises(grpc.RpcError) as refused:
            self.call.answer()
        error: Any = refused.value
        assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert (retry_after(error) or 0) > 0
        return int(facts(error)["persisted_size"])


async def test_uploads_are_answered_and_go_on_after_a_restart(stores: Stores) -> None:
    """With `accept_partial` OK and the durable size, without it UNAVAILABLE and when to come back; exit code 0."""
    async with stores.server() as server:
        with grpc.insecure_channel(server.address) as channel:
            running = [Running(channel, stores.part_size, number) for number in range(UPLOADS)]
            for one in running:
                upload_id = await asyncio.to_thread(one.call.upload_id)
                await asyncio.to_thread(until_durable, channel, upload_id, stores.part_size, timeout=TIMEOUT)
            server.send(signal.SIGTERM)
            told = [await asyncio.to_thread(one.durable_when_stopped) for one in running]
        assert await server.wait() == 0, server.output

        found = await everything(stores)
        sessions = [found.session_of(one.request_id) for one in running]
        assert told == [session.persisted_size for session in sessions if session is not None]
        assert all(size >= stores.part_size for size in told)
        assert (found.documents, found.objects) == ((), frozenset())

        await server.restart()
        await asyncio.to_thread(_go_on, server.address, running)
        assert await server.stop() == 0
    await clean_up(stores)
    found = await everything(stores)
    assert found.problems() == []
    assert len(found.documents) == UPLOADS


def _go_on(address: str, running: list[Running]) -> None:
    with LedgerLiftClient(address) as client:
        for one in running:
            result = client.upload(one.data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=one.request_id)
            assert result.document.sha256 == hashlib.sha256(one.data).hexdigest()
