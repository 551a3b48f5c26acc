"""What callers do to a replica while all is well: every method, and every way in which an upload can end."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import LedgerLiftClient

from tests.support import every_method
from tests.support.fleet import Fleet, Replica
from tests.support.raw_calls import begin, delete, digest, documents, store, until_durable
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import refused
from tests.support.s3 import make_client
from tests.support.stores import MIB

BIG = content(1, 16 * MIB)
"""In parts, and more than a client takes in that does not read."""
PART = 5 * MIB


async def mixed_traffic(fleet: Fleet, one: Replica) -> str:
    """All of it; the id of the big document."""
    big, small = await asyncio.to_thread(_with_the_client, one.process.address, fleet.stores.folder)
    await asyncio.gather(_until_near_its_deadline(one.channel), _methods(one.channel, big, small))
    await _upload_ends(one.channel)
    await _watches(one, big)
    await _work_for_the_janitor(fleet, one)
    return big


def _with_the_client(address: str, folder: Path) -> tuple[str, str]:
    """Blocking: a document in parts and back, its duplicate, and small ones of which one is left. Both ids."""
    (source := folder / "big.bin").write_bytes(BIG)
    with LedgerLiftClient(address) as client:
        big = client.upload(source).document
        client.upload(source)
        client.download(big.document_id, folder / "copy.bin")
        for number in range(3):
            client.upload(content(10 + number, 1000), filename=f"{number}.bin")
        *others, small = [one for one in client.list() if one.document_id != big.document_id]
        for other in others:
            client.delete(other.document_id)
    return big.document_id, small.document_id


async def _methods(channel: Any, document_id: str, deleted: str) -> None:
    """Each unary one, and reflection."""
    waiting = every_method.of_the_database(channel, document_id, await begin(channel), deleted)
    at_once = every_method.of_nobody(channel)
    for ask in (*waiting.values(), *at_once.values()):
        await ask()
    assert "ledgerlift.v1.UploadService" in await every_method.reflected(channel)


async def _upload_ends(channel: Any) -> None:
    """One after the other: there are few slots."""
    data = content(2, 1000)
    await store(channel, data, request_id="once")
    await store(channel, data, request_id="once")  # replayed
    await store(channel, data)  # there already, once it is received
    declared = spec(sha256=digest(data), size=len(data))
    assert (await uploads(channel).CreateUpload(pb.CreateUploadRequest(spec=declared))).duplicate
    for wrong in ({"crc32c": 1, "data": b"x"}, {"sha256": "0" * 64, "data": b"x", "finish_write": True}):
        await refused(uploads(channel).Upload, iter([pb.UploadRequest(spec=spec(), **wrong)]))
    # A part, and then its client is gone; another one goes on, and stops in the middle of the second part.
    upload_id, data = await begin(channel), content(3, 2 * PART + 1000)
    left = uploads(channel).Upload(messages(data, 0, PART + 1000, upload_id=upload_id), timeout=60)
    await until_durable(channel, upload_id, PART)
    left.cancel()
    sent = messages(data, PART, PART + 1000, upload_id=upload_id, accept_partial=True)
    stopped = await uploads(channel).Upload(sent, timeout=60)
    assert stopped.stop_reason == pb.STOP_REASON_SEGMENT_END
    await uploads(channel).Upload(messages(data, PART, upload_id=upload_id, finish=True), timeout=60)
    # One that is cancelled while it still could send.
    open_end = uploads(channel).Upload(timeout=60)
    await open_end.write(pb.UploadRequest(spec=spec(), data=b"x"))
    await open_end.initial_metadata()
    open_end.cancel()


async def _until_near_its_deadline(channel: Any) -> None:
    """An upload is stopped in time for its answer; a busy machine may need more time than that."""
    for timeout in (1, 4, 16):
        call = uploads(channel).Upload(timeout=timeout)
        try:
            await call.write(pb.UploadRequest(spec=spec(), accept_partial=True, data=b"x"))
            answer = await call
        except grpc.aio.AioRpcError:
            continue
        assert answer.stop_reason == pb.STOP_REASON_DEADLINE
        return
    raise AssertionError("no answer came before its deadline")


async def _watches(one: Replica, document_id: str) -> None:
    """As many as there may be, and one more; those of health are not bounded."""
    await one.metrics.until_nothing("ledgerlift_admission_in_use_slots", kind="watches")
    health: Any = health_pb2_grpc.HealthStub(one.channel)
    watches = [health.Watch(health_pb2.HealthCheckRequest(), timeout=60)]
    upload = pb.WatchUploadRequest(upload_id=await begin(one.channel))
    watches.append(uploads(one.channel).WatchUpload(upload, timeout=60))
    events = documents_pb.WatchEventsRequest(document_id=document_id)
    watches.append(documents(one.channel).WatchEvents(events, timeout=60))
    for watch in watches:
        await watch.read()
    for method in ("Watch", "WatchUpload", "WatchEvents"):
        await one.metrics.until_moved("ledgerlift_rpc_in_flight_calls", method=method)
    await refused(documents(one.channel).WatchEvents, events)
    for watch in watches:
        watch.cancel()


async def _work_for_the_janitor(fleet: Fleet, one: Replica) -> None:
    """Sessions that are over, what nobody knows of, a removal, and an object that somebody else removed."""
    expiring, over = await begin(one.channel), await begin(one.channel)
    await uploads(one.channel).CancelUpload(pb.CancelUploadRequest(upload_id=over), timeout=60)
    for upload_id in (expiring, over):
        fleet.backdate(upload_id)
    removed, lost = content(4, 1000), content(5, 1000)
    await delete(one.channel, (await store(one.channel, removed)).document.document_id)
    await store(one.channel, lost)
    await asyncio.to_thread(_past_the_service, fleet, digest(lost))
    for action in (
        "expire_upload",
        "forget_session",
        "abort_orphan_multipart",
        "queue_orphan_object",
        "remove_object",
    ):
        await one.metrics.until_moved("ledgerlift_janitor_actions_total", action=action, outcome="done")
    await one.metrics.until_moved("ledgerlift_drift_missing_objects")


def _past_the_service(fleet: Fleet, lost: str) -> None:
    """An object and a multipart upload that no session has made; and the object of the digest `lost` is gone."""
    ((name,),) = fleet.sql("SELECT object_name FROM blobs WHERE sha256 = %s", lost)
    client = make_client(fleet.s3.endpoint)
    client.put_object(Bucket=fleet.bucket, Key=f"objects/aa/{uuid.uuid4()}.1", Body=b"x")
    client.create_multipart_upload(Bucket=fleet.bucket, Key=f"objects/bb/{uuid.uuid4()}")
    client.delete_object(Bucket=fleet.bucket, Key=name)
    client.close()
