"""Callers do what a server has limits for: they send nothing, are too many, or reach past it into its store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.alert_faults.ground import FOR_EVER, PART, PAUSE, GoWrong, Ground, channel_to
from tests.support.prometheus import Prometheus
from tests.support.raw_calls import begin, documents, store, until_durable
from tests.support.raw_uploads import content, spec, uploads
from tests.support.refusals import outcome, refused

STALLING = 6
AT_ONCE, TIMES = 10, 20
"""Calls that succeed, for one that fails: far fewer fail than wake anybody, and more than the objective has."""


@asynccontextmanager
async def callers_that_fail_seldom(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """One call of hundreds is an upload that fails because it stalls; others stall, too, and take what is durable."""
    async with channel_to(ground.folder / "callers", *metrics, upload_stall_timeout=1.0) as channel:

        async def stall(*, accept_partial: bool) -> None:
            call = uploads(channel).Upload(timeout=60)
            await call.write(pb.UploadRequest(spec=spec(), accept_partial=accept_partial, data=b"x"))
            try:
                await call
            except grpc.aio.AioRpcError as error:  # on a slow machine also where its first message was late
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise

        async def stall_on_and_on() -> None:
            while True:
                await stall(accept_partial=True)

        async def go_wrong(_: Prometheus) -> None:
            request = documents_pb.ListDocumentsRequest()
            async with asyncio.TaskGroup() as callers:
                for _caller in range(STALLING):
                    callers.create_task(stall_on_and_on())
                while True:
                    callers.create_task(stall(accept_partial=False))
                    for _time in range(TIMES):
                        calls = (outcome(documents(channel).ListDocuments, request) for _call in range(AT_ONCE))
                        await asyncio.gather(*calls)
                        await asyncio.sleep(PAUSE)

        yield go_wrong


@asynccontextmanager
async def limits_that_are_reached(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """An upload holds all memory and another waits, a watch has the one slot, and somebody removes a file."""
    folder = ground.folder / "limits"
    patient = {"upload_budget_wait": FOR_EVER, "upload_stall_timeout": FOR_EVER, "upload_timeout": FOR_EVER}
    small = {"upload_part_size": PART, "max_file_size": 100 * PART, "upload_memory_budget": PART}
    often = {"janitor_drift_interval": 0.1}
    async with channel_to(folder, *metrics, **small, **patient, **often, max_concurrent_watches=1) as channel:
        await store(channel, content(1, 1000))
        files = (folder / "data" / "objects").rglob("*")
        (stored,) = [file for file in files if file.is_file() and file.stat().st_size >= 1000]
        holder, waiter, data = await begin(channel), await begin(channel), content(2, PART + 1000)

        async def go_wrong(_: Prometheus) -> None:
            stored.unlink()
            holding = uploads(channel).Upload(timeout=FOR_EVER)
            await holding.write(pb.UploadRequest(upload_id=holder, data=data))
            await until_durable(channel, holder, PART)  # its first buffer has come back, and it waits with the second
            waiting = uploads(channel).Upload(timeout=FOR_EVER)
            await waiting.write(pb.UploadRequest(upload_id=waiter, data=data))
            request = pb.WatchUploadRequest(upload_id=holder)
            watching = uploads(channel).WatchUpload(request, timeout=FOR_EVER)
            await watching.read()
            while True:
                await refused(uploads(channel).WatchUpload, request)
                await asyncio.sleep(PAUSE)

        yield go_wrong
