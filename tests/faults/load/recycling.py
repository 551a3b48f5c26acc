"""The store's client is made anew again and again while it works: no call may notice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import document_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.faults.claims import Claim
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.stores import KIB, Stores

SIZE = 100 * KIB
"""Of each document that its one caller stores and reads back."""
TIMEOUT = 30.0


async def recycling(stores: Stores, *, lifetime: float, callers: int, seconds: float) -> list[Claim]:
    """So many callers, who try nothing twice, store and read documents; the client lives for `lifetime` seconds."""
    async with stores.server(S3_CLIENT_TTL=str(lifetime)) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            end = time.monotonic() + seconds
            counts = await asyncio.gather(*(_work(channel, number, end) for number in range(callers)))
        made = len(server.log("s3_client_made"))
        assert await server.stop() == 0, server.output
    said = sum(counts, Counter[str]())
    failed = sum(count for word, count in said.items() if word != "OK")
    least = round(seconds / lifetime / 2)
    return [
        Claim(
            f"{callers} callers while the S3 client is made anew every {lifetime:g} s, for {seconds:g} s",
            f"{made} clients, {said.total()} calls, {failed} failed",
            f"none, {least} clients or more",
            failed == 0 and said["OK"] > 0 and made >= least,
        )
    ]


async def _work(channel: grpc.aio.Channel, caller: int, end: float) -> Counter[str]:
    said = Counter[str]()
    number = 0
    while time.monotonic() < end:
        data = content(caller * 1_000_000 + number, SIZE)
        number += 1
        try:
            sent = messages(data, finish=True, spec=spec(duplicate_policy=pb.DUPLICATE_POLICY_CREATE_NEW))
            stored = await uploads(channel).Upload(sent, timeout=TIMEOUT)
            said["OK"] += 1
            right = await _read(channel, stored.document.document_id) == data
            said["OK" if right else "wrong bytes"] += 1
        except grpc.aio.AioRpcError as error:
            said[error.code().name] += 1
    return said


async def _read(channel: grpc.aio.Channel, document_id: str) -> bytes:
    stub = document_service_pb2_grpc.DocumentServiceStub(channel)
    call = stub.DownloadDocument(documents_pb.DownloadDocumentRequest(document_id=document_id), timeout=TIMEOUT)
    return b"".join([answer.chunk.data async for answer in call])
