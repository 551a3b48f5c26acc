"""Processing status over the wire: every change of it, allowed or refused, told in the audit trail, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode as Code
from ledgerlift.v1 import document_pb2, upload_service_pb2
from ledgerlift.v1 import document_service_pb2 as pb

from tests.support.raw_calls import documents, store
from tests.support.refusals import refused
from tests.support.stores import Stores, embedded

UPLOADED = document_pb2.PROCESSING_STATUS_UPLOADED
PROCESSING = document_pb2.PROCESSING_STATUS_PROCESSING
COMPLETED = document_pb2.PROCESSING_STATUS_COMPLETED
FAILED = document_pb2.PROCESSING_STATUS_FAILED
RETRYING = document_pb2.PROCESSING_STATUS_RETRYING

ALLOWED = {
    UPLOADED: {PROCESSING, FAILED},
    PROCESSING: {COMPLETED, FAILED, RETRYING},
    RETRYING: {PROCESSING, FAILED},
    FAILED: {RETRYING},
    COMPLETED: set(),
}
"""As `ProcessingStatus` in `protos` says it."""
WAY_TO: dict[int, list[int]] = {
    UPLOADED: [],
    PROCESSING: [PROCESSING],
    RETRYING: [PROCESSING, RETRYING],
    FAILED: [FAILED],
    COMPLETED: [PROCESSING, COMPLETED],
}


async def make(channel: Any) -> str:
    """The id of a new document."""
    answer = await store(channel, b"x", duplicate_policy=upload_service_pb2.DUPLICATE_POLICY_CREATE_NEW)
    document_id: str = answer.document.document_id
    return document_id


async def set_status(channel: Any, document_id: str, status: int, **more: Any) -> Any:
    """The document after the change."""
    if status == FAILED:
        more = {"error_message": "no ink"} | more
    request: Any = pb.UpdateProcessingStatusRequest
    answer = await documents(channel).UpdateProcessingStatus(request(document_id=document_id, status=status, **more))
    return answer.document


@pytest.mark.parametrize("current", ALLOWED, ids=document_pb2.ProcessingStatus.Name)
async def test_every_change_of_status_is_allowed_or_refused(tmp_path: Path, current: Any) -> None:
    """From this status to each: as the protos say, with an event for what happened and none for what did not."""
    async with embedded(tmp_path).channel() as channel:
        for wanted in ALLOWED:
            document_id = await make(channel)
            for status in WAY_TO[current]:
                await set_status(channel, document_id, status)
            before = len(await changes(channel, document_id))
            if wanted in ALLOWED[current]:
                assert (await set_status(channel, document_id, wanted)).status == wanted
                happened = (await changes(channel, document_id))[before:]
                assert [(one.from_status, one.to_status) for one in happened] == [(current, wanted)]
                continue
            reason = "no ink" if wanted == FAILED else ""
            request: Any = pb.UpdateProcessingStatusRequest(
                document_id=document_id, status=wanted, error_message=reason
            )
            refusal = await refused(documents(channel).UpdateProcessingStatus, request)
            assert refusal.kind == (Code.FAILED_PRECONDITION, "INVALID_STATUS_TRANSITION")
            got = await documents(channel).GetDocument(pb.GetDocumentRequest(document_id=document_id))
            assert got.document.status == current
            assert len(await changes(channel, document_id)) == before


async def changes(channel: Any, document_id: str) -> list[Any]:
    """The events of the document's changes of status."""
    answer = await documents(channel).ListEvents(pb.ListEventsRequest(document_id=document_id))
    return [event for event in answer.events if event.type == "document.status_changed"]


async def test_why_it_failed_is_kept_until_it_is_processed_again(tmp_path: Path) -> None:
    """FAILED needs a reason, RETRYING may bring one, and the others clear it and refuse one."""
    async with embedded(tmp_path).channel() as channel:
        document_id = await make(channel)
        assert (await set_status(channel, document_id, FAILED, error_message="no ink")).error_message == "no ink"
        again = await set_status(channel, document_id, RETRYING, error_message="ink is on its way")
        assert again.error_message == "ink is on its way"
        assert (await set_status(channel, document_id, PROCESSING)).error_message == ""
        request = pb.UpdateProcessingStatusRequest(document_id=document_id, status=COMPLETED, error_message="none")
        refusal = await refused(documents(channel).UpdateProcessingStatus, request)
        assert [*refusal.violations] == ["error_message"]


async def test_a_change_of_status_happens_once_for_its_request_id(stores: Stores) -> None:
    """A repeat answers the document and changes nothing, also after it has moved on; another change is refused."""
    async with stores.channel() as channel:
        document_id = await make(channel)
        first = await set_status(channel, document_id, PROCESSING, request_id="r")
        assert await set_status(channel, document_id, PROCESSING, request_id="r") == first
        completed = await set_status(channel, document_id, COMPLETED)
        assert await set_status(channel, document_id, PROCESSING, request_id="r") == completed
        assert len(await changes(channel, document_id)) == 2
        request = pb.UpdateProcessingStatusRequest(document_id=document_id, status=RETRYING, request_id="r")
        refusal = await refused(documents(channel).UpdateProcessingStatus, request)
        assert refusal.kind == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
