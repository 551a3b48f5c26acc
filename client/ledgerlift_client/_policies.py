"""The methods of the API, each with its policy, read from the descriptors: nothing here repeats the protos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import policy_pb2
from ledgerlift.v1 import upload_service_pb2 as uploads

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class Method(Generic[_Request, _Response]):
    """One RPC. `default_timeout` is in seconds; `idempotent` says that repeating it changes nothing more."""

    path: str
    response: Any
    default_timeout: float
    idempotent: bool

    @property
    def name(self) -> str:
        """Without its service."""
        return self.path.rpartition("/")[2]


def method(service: ServiceDescriptor, name: str) -> Method[Any, Any]:
    """The method `name` of `service`, as its proto declares it."""
    descriptor = service.methods_by_name[name]
    options = descriptor.GetOptions()
    extension: Any = policy_pb2.policy
    policy: policy_pb2.MethodPolicy = options.Extensions[extension]
    return Method(
        path=f"/{service.full_name}/{name}",
        response=message_factory.GetMessageClass(descriptor.output_type),
        default_timeout=policy.default_timeout.ToTimedelta().total_seconds(),
        idempotent=options.idempotency_level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN,
    )


_UPLOADS = uploads.DESCRIPTOR.services_by_name["UploadService"]
_DOCUMENTS = documents.DESCRIPTOR.services_by_name["DocumentService"]
_OPERATIONS = operations.DESCRIPTOR.services_by_name["OperationsService"]

CREATE_UPLOAD: Method[uploads.CreateUploadRequest, uploads.CreateUploadResponse] = method(_UPLOADS, "CreateUpload")
UPLOAD: Method[bytes, uploads.UploadResponse] = method(_UPLOADS, "Upload")
GET_UPLOAD: Method[uploads.GetUploadRequest, uploads.GetUploadResponse] = method(_UPLOADS, "GetUpload")
CANCEL_UPLOAD: Method[uploads.CancelUploadRequest, uploads.CancelUploadResponse] = method(_UPLOADS, "CancelUpload")
LIST_UPLOADS: Method[uploads.ListUploadsRequest, uploads.ListUploadsResponse] = method(_UPLOADS, "ListUploads")
WATCH_UPLOAD: Method[uploads.WatchUploadRequest, uploads.WatchUploadResponse] = method(_UPLOADS, "WatchUpload")
CHECK_DIGESTS: Method[uploads.CheckDigestsRequest, uploads.CheckDigestsResponse] = method(_UPLOADS, "CheckDigests")
GET_LIMITS: Method[uploads.GetLimitsRequest, uploads.GetLimitsResponse] = method(_UPLOADS, "GetLimits")

GET_DOCUMENT: Method[documents.GetDocumentRequest, documents.GetDocumentResponse] = method(_DOCUMENTS, "GetDocument")
LIST_DOCUMENTS: Method[documents.ListDocumentsRequest, documents.ListDocumentsResponse] = method(
    _DOCUMENTS, "ListDocuments"
)
DELETE_DOCUMENT: Method[documents.DeleteDocumentRequest, documents.DeleteDocumentResponse] = method(
    _DOCUMENTS, "DeleteDocument"
)
DOWNLOAD_DOCUMENT: Method[documents.DownloadDocumentRequest, documents.DownloadDocumentResponse] = method(
    _DOCUMENTS, "DownloadDocument"
)
UPDATE_STATUS: Method[documents.UpdateProcessingStatusRequest, documents.UpdateProcessingStatusResponse] = method(
    _DOCUMENTS, "UpdateProcessingStatus"
)
RECORD_EVENT: Method[documents.RecordEventRequest, documents.RecordEventResponse] = method(_DOCUMENTS, "RecordEvent")
LIST_EVENTS: Method[documents.ListEventsRequest, documents.ListEventsResponse] = method(_DOCUMENTS, "ListEvents")
WATCH_EVENTS: Method[documents.WatchEventsRequest, documents.WatchEventsResponse] = method(_DOCUMENTS, "WatchEvents")
GET_STATS: Method[documents.GetDocumentStatsRequest, documents.GetDocumentStatsResponse] = method(
    _DOCUMENTS, "GetDocumentStats"
)

GET_HEALTH: Method[operations.GetHealthRequest, operations.GetHealthResponse] = method(_OPERATIONS, "GetHealth")
GET_BREAKERS: Method[operations.GetCircuitBreakersRequest, operations.GetCircuitBreakersResponse] = method(
    _OPERATIONS, "GetCircuitBreakers"
)
RESET_BREAKER: Method[operations.ResetCircuitBreakerRequest, operations.ResetCircuitBreakerResponse] = method(
    _OPERATIONS, "ResetCircuitBreaker"
)
GET_STORAGE_STATS: Method[operations.GetStorageStatsRequest, operations.GetStorageStatsResponse] = method(
    _OPERATIONS, "GetStorageStats"
)
