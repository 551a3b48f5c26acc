"""One call of each unary method of the API, and of what stands beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import operations_service_pb2 as operations_pb
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift.v1.document_pb2 import PROCESSING_STATUS_PROCESSING

from tests.support.raw_calls import TIMEOUT, documents
from tests.support.raw_uploads import spec, uploads

Ask = Callable[[], Awaitable[Any]]
NOBODY = "01890000-0000-7000-8000-000000000000"
"""An id that nothing has."""


def of_the_database(channel: Any, document_id: str, upload_id: str, deleted: str = NOBODY) -> Mapping[str, Ask]:
    """Those that wait for it, by name. `upload_id` is of a session that may be cancelled, `deleted` of a
    document that may go."""
    upload, document = uploads(channel), documents(channel)
    return {
        name: partial(getattr(stub, name), request, timeout=30)
        for stub, name, request in (
            (upload, "CreateUpload", pb.CreateUploadRequest(spec=spec())),
            (upload, "GetUpload", pb.GetUploadRequest(upload_id=upload_id)),
            (upload, "CancelUpload", pb.CancelUploadRequest(upload_id=upload_id)),
            (upload, "ListUploads", pb.ListUploadsRequest()),
            (upload, "CheckDigests", pb.CheckDigestsRequest(sha256=["0" * 64])),
            (document, "GetDocument", documents_pb.GetDocumentRequest(document_id=document_id)),
            (document, "ListDocuments", documents_pb.ListDocumentsRequest()),
            (document, "DeleteDocument", documents_pb.DeleteDocumentRequest(document_id=deleted)),
            (
                document,
                "UpdateProcessingStatus",
                documents_pb.UpdateProcessingStatusRequest(
                    document_id=document_id, status=PROCESSING_STATUS_PROCESSING
                ),
            ),
            (document, "RecordEvent", documents_pb.RecordEventRequest(document_id=document_id, type="seen")),
            (document, "ListEvents", documents_pb.ListEventsRequest(document_id=document_id)),
            (document, "GetDocumentStats", documents_pb.GetDocumentStatsRequest()),
        )
    }


def of_nobody(channel: Any) -> Mapping[str, Ask]:
    """Those that are answered out of the process's own memory."""
    operator: Any = operations_service_pb2_grpc.OperationsServiceStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    return {
        name: partial(getattr(stub, name), request, timeout=TIMEOUT)
        for stub, name, request in (
            (uploads(channel), "GetLimits", pb.GetLimitsRequest()),
            (operator, "GetHealth", operations_pb.GetHealthRequest()),
            (operator, "GetCircuitBreakers", operations_pb.GetCircuitBreakersRequest()),
            (operator, "ResetCircuitBreaker", operations_pb.ResetCircuitBreakerRequest(name="storage")),
            (operator, "GetStorageStats", operations_pb.GetStorageStatsRequest()),
            (health, "Check", health_pb2.HealthCheckRequest()),
            (health, "List", health_pb2.HealthListRequest()),
        )
    }


async def reflected(channel: Any) -> list[str]:
    """The names of the services, as the server tells them to grpcurl."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    found = [answer async for answer in stub.ServerReflectionInfo(asked, timeout=TIMEOUT)]
    return [one.name for answer in found for one in answer.list_services_response.service]
