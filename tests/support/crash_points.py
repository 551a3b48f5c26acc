"""Kills a server or a janitor at the steps of `domain/steps.py`: `python -m tests.support.crash_points PLAN`.

PLAN is a file with a JSON list of `[way, step, name]`; the environment says which stores, as for a server. Each entry
is a process of its own, forked when everything is imported, that goes the way until the step kills it. One line of
JSON for each: how the process ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import document_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.adapters.digest import crc32c
from ledgerlift_server.adapters.sql import SqlMaintenance
from ledgerlift_server.app import serving
from ledgerlift_server.core import Core, built, start
from ledgerlift_server.domain.drift import DriftFinder
from ledgerlift_server.domain.janitor import Janitor, JanitorOptions
from ledgerlift_server.domain.object_names import object_name
from ledgerlift_server.domain.steps import Step
from ledgerlift_server.settings import Settings, load

from tests.support.databases import run_sql
from tests.support.raw_uploads import content, messages, spec, uploads

HOLDER = "crash-points"
"""Has the janitor's lease throughout: the background janitor of a server that is started here does nothing."""
WEEK = 7 * 24 * 3600.0
NOT_REACHED = 3
"""Exit code of a process that came to its end alive."""
TIMEOUT = 60.0
TAIL = 1000
"""Bytes behind the last whole part, and of a small document."""


class Death:
    """A checkpoint. Armed when what comes before is done."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.armed = False

    def __call__(self, step: Step) -> None:
        """Killed, not stopped: no `finally` runs and nothing is flushed, as when the power goes."""
        if self.armed and step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


LARGE = 1024 * 1024


Way = Callable[[Settings, Death, str], Coroutine[Any, Any, None]]


def document(name: str, part_size: int) -> bytes:
    """The document of that name: parts (one, where they are large) and a tail; the tail alone of a `small` one."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    parts = 0 if "small" in name else 1 if part_size >= LARGE else 2
    return content(seed, parts * part_size + TAIL)


async def upload(settings: Settings, death: Death, name: str) -> None:
    """In one call, by a client that knows nothing of resuming."""
    async with _served(settings, death) as channel:
        death.armed = True
        await _send(channel, settings, name)


async def cancel(settings: Settings, death: Death, name: str) -> None:
    """A session that has parts is given up."""
    async with _served(settings, death) as channel:
        upload_id = await _begun(channel, settings, name)
        death.armed = True
        await uploads(channel).CancelUpload(pb.CancelUploadRequest(upload_id=upload_id), timeout=TIMEOUT)


async def refuse(settings: Settings, death: Death, name: str) -> None:
    """The digest is not the one that was declared."""
    async with _served(settings, death) as channel:
        death.armed = True
        await _send(channel, settings, name, sha256="0" * 64)


async def delete(settings: Settings, death: Death, name: str) -> None:
    """A document that nobody shares bytes with is deleted."""
    async with _served(settings, death) as channel:
        stored = (await _send(channel, settings, name)).document
        death.armed = True
        stub: Any = document_service_pb2_grpc.DocumentServiceStub(channel)
        await stub.DeleteDocument(documents_pb.DeleteDocumentRequest(document_id=stored.document_id), timeout=TIMEOUT)


async def clean(settings: Settings, death: Death, _name: str) -> None:
    """One pass of the janitor, without a comparison."""
    async with _core(settings, death) as core:
        await _pass(core, death, drift=False)


async def expire(settings: Settings, death: Death, name: str) -> None:
    """The time of the session `expired` has passed when the janitor comes."""
    run_sql(settings.sqlalchemy_url, "UPDATE sessions SET expire_time = create_time WHERE request_id = 'expired'")
    await clean(settings, death, name)


async def forget(settings: Settings, death: Death, _name: str) -> None:
    """As long as ended sessions are remembered has passed as well."""
    async with _core(settings, death) as core:
        await _pass(core, death, keep_ended=0.0)


async def drift(settings: Settings, death: Death, _name: str) -> None:
    """The store has an object and a multipart upload that nothing stands for."""
    async with _core(settings, death) as core:
        body = memoryview(b"orphan")
        orphans = [object_name(f"01900000-0000-7000-8000-{number:012x}") for number in range(2)]
        await core.store.put(orphans[0], body, crc32c=crc32c(body), token="orphan")  # noqa: S106
        await core.store.create_multipart(orphans[1], token="orphan")  # noqa: S106
        await _pass(core, death)


WAYS: dict[str, Way] = {way.__name__: way for way in (upload, cancel, refuse, delete, clean, expire, forget, drift)}


async def _pass(core: Core, death: Death, *, keep_ended: float = WEEK, drift: bool = True) -> None:
    maintenance = SqlMaintenance(core.database)
    janitor = Janitor(
        maintenance,
        core.store,
        core.committer,
        DriftFinder(maintenance, core.store, orphan_age=0.0, checkpoint=death),
        JanitorOptions(commit_idle=0.0, keep_ended=keep_ended, lease=WEEK),
        holder=HOLDER,
        checkpoint=death,
    )
    death.armed = True
    assert await janitor.run_once(drift=drift) is not None, "the lease is ours"


@asynccontextmanager
async def _served(settings: Settings, death: Death) -> Any:
    async with (
        serving(settings, checkpoint=death) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield channel


@asynccontextmanager
async def _core(settings: Settings, death: Death) -> Any:
    async with built(settings, checkpoint=death) as core:
        await start(core, settings)
        yield core


async def _send(channel: grpc.aio.Channel, settings: Settings, name: str, **declared: Any) -> pb.UploadResponse:
    data = document(name, settings.upload_options.part_size)
    said = spec(name, size=len(data), **declared)
    response: pb.UploadResponse = await uploads(channel).Upload(
        messages(data, finish=True, spec=said), timeout=TIMEOUT
    )
    return response


async def _begun(channel: grpc.aio.Channel, settings: Settings, name: str) -> str:
    """A session whose whole parts are durable; its id."""
    data = document(name, settings.upload_options.part_size)
    said = messages(data, spec=spec(name, size=len(data)), accept_partial=True)
    response = await uploads(channel).Upload(said, timeout=TIMEOUT)
    return str(response.upload.upload_id)


def _go(way: str, step: str, name: str) -> None:
    """In a process that is to be killed."""
    asyncio.run(WAYS[way](load(), Death(Step(step)), name))
    os._exit(NOT_REACHED)


def main(plan: Path) -> None:
    """One process after the other."""
    for way, step, name in json.loads(plan.read_text()):
        child = os.fork()
        if child == 0:
            try:
                _go(way, step, name)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print(json.dumps([way, step, name, os.waitstatus_to_exitcode(status)]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
