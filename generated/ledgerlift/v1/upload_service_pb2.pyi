import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from ledgerlift.v1 import document_pb2 as _document_pb2
from ledgerlift.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DuplicatePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATE_POLICY_UNSPECIFIED: _ClassVar[DuplicatePolicy]
    DUPLICATE_POLICY_RETURN_EXISTING: _ClassVar[DuplicatePolicy]
    DUPLICATE_POLICY_REJECT: _ClassVar[DuplicatePolicy]
    DUPLICATE_POLICY_CREATE_NEW: _ClassVar[DuplicatePolicy]

class UploadState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPLOAD_STATE_UNSPECIFIED: _ClassVar[UploadState]
    UPLOAD_STATE_ACTIVE: _ClassVar[UploadState]
    UPLOAD_STATE_COMMITTING: _ClassVar[UploadState]
    UPLOAD_STATE_COMMITTED: _ClassVar[UploadState]
    UPLOAD_STATE_FAILED: _ClassVar[UploadState]
    UPLOAD_STATE_CANCELLED: _ClassVar[UploadState]
    UPLOAD_STATE_EXPIRED: _ClassVar[UploadState]

class StopReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_REASON_UNSPECIFIED: _ClassVar[StopReason]
    STOP_REASON_SEGMENT_END: _ClassVar[StopReason]
    STOP_REASON_DRAINING: _ClassVar[StopReason]
    STOP_REASON_STALLED: _ClassVar[StopReason]
    STOP_REASON_DEADLINE: _ClassVar[StopReason]
DUPLICATE_POLICY_UNSPECIFIED: DuplicatePolicy
DUPLICATE_POLICY_RETURN_EXISTING: DuplicatePolicy
DUPLICATE_POLICY_REJECT: DuplicatePolicy
DUPLICATE_POLICY_CREATE_NEW: DuplicatePolicy
UPLOAD_STATE_UNSPECIFIED: UploadState
UPLOAD_STATE_ACTIVE: UploadState
UPLOAD_STATE_COMMITTING: UploadState
UPLOAD_STATE_COMMITTED: UploadState
UPLOAD_STATE_FAILED: UploadState
UPLOAD_STATE_CANCELLED: UploadState
UPLOAD_STATE_EXPIRED: UploadState
STOP_REASON_UNSPECIFIED: StopReason
STOP_REASON_SEGMENT_END: StopReason
STOP_REASON_DRAINING: StopReason
STOP_REASON_STALLED: StopReason
STOP_REASON_DEADLINE: StopReason

class UploadSpec(_message.Message):
    __slots__ = ("filename", "content_type", "size", "sha256", "key", "metadata", "duplicate_policy", "request_id")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_POLICY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    filename: str
    content_type: str
    size: int
    sha256: str
    key: str
    metadata: _containers.ScalarMap[str, str]
    duplicate_policy: DuplicatePolicy
    request_id: str
    def __init__(self, filename: _Optional[str] = ..., content_type: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., key: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., duplicate_policy: _Optional[_Union[DuplicatePolicy, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("upload_id", "state", "spec", "persisted_size", "part_size", "segment_size", "document_id", "create_time", "update_time", "expire_time", "error_message")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    PERSISTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    PART_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_SIZE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    state: UploadState
    spec: UploadSpec
    persisted_size: int
    part_size: int
    segment_size: int
    document_id: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    error_message: str
    def __init__(self, upload_id: _Optional[str] = ..., state: _Optional[_Union[UploadState, str]] = ..., spec: _Optional[_Union[UploadSpec, _Mapping]] = ..., persisted_size: _Optional[int] = ..., part_size: _Optional[int] = ..., segment_size: _Optional[int] = ..., document_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error_message: _Optional[str] = ...) -> None: ...

class CreateUploadRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: UploadSpec
    def __init__(self, spec: _Optional[_Union[UploadSpec, _Mapping]] = ...) -> None: ...

class CreateUploadResponse(_message.Message):
    __slots__ = ("upload", "document", "duplicate")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    document: _document_pb2.Document
    duplicate: bool
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ..., document: _Optional[_Union[_document_pb2.Document, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("spec", "upload_id", "accept_partial", "write_offset", "data", "crc32c", "finish_write", "sha256", "size")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    WRITE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    FINISH_WRITE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    spec: UploadSpec
    upload_id: str
    accept_partial: bool
    write_offset: int
    data: bytes
    crc32c: int
    finish_write: bool
    sha256: str
    size: int
    def __init__(self, spec: _Optional[_Union[UploadSpec, _Mapping]] = ..., upload_id: _Optional[str] = ..., accept_partial: _Optional[bool] = ..., write_offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ..., finish_write: _Optional[bool] = ..., sha256: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("document", "upload", "stop_reason", "duplicate", "receipt")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    document: _document_pb2.Document
    upload: Upload
    stop_reason: StopReason
    duplicate: bool
    receipt: UploadReceipt
    def __init__(self, document: _Optional[_Union[_document_pb2.Document, _Mapping]] = ..., upload: _Optional[_Union[Upload, _Mapping]] = ..., stop_reason: _Optional[_Union[StopReason, str]] = ..., duplicate: _Optional[bool] = ..., receipt: _Optional[_Union[UploadReceipt, _Mapping]] = ...) -> None: ...

class UploadReceipt(_message.Message):
    __slots__ = ("bytes_received", "bytes_skipped", "part_count", "sha256")
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    bytes_received: int
    bytes_skipped: int
    part_count: int
    sha256: str
    def __init__(self, bytes_received: _Optional[int] = ..., bytes_skipped: _Optional[int] = ..., part_count: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("upload", "document", "duplicate")
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    document: _document_pb2.Document
    duplicate: bool
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ..., document: _Optional[_Union[_document_pb2.Document, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class CancelUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class CancelUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class ListUploadsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "request_id", "state")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    request_id: str
    state: UploadState
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., request_id: _Optional[str] = ..., state: _Optional[_Union[UploadState, str]] = ...) -> None: ...

class ListUploadsResponse(_message.Message):
    __slots__ = ("uploads", "next_page_token")
    UPLOADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    uploads: _containers.RepeatedCompositeFieldContainer[Upload]
    next_page_token: str
    def __init__(self, uploads: _Optional[_Iterable[_Union[Upload, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchUploadRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class WatchUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class CheckDigestsRequest(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sha256: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckDigestsResponse(_message.Message):
    __slots__ = ("existing",)
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    existing: _containers.RepeatedCompositeFieldContainer[ExistingDigest]
    def __init__(self, existing: _Optional[_Iterable[_Union[ExistingDigest, _Mapping]]] = ...) -> None: ...

class ExistingDigest(_message.Message):
    __slots__ = ("sha256", "document_id", "size")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    document_id: str
    size: int
    def __init__(self, sha256: _Optional[str] = ..., document_id: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLimitsResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: Limits
    def __init__(self, limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_document_size", "max_message_size", "segment_size", "part_size", "session_lifetime", "allowed_content_types", "request_id_lifetime", "max_metadata_entries", "stall_timeout")
    MAX_DOCUMENT_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_SIZE_FIELD_NUMBER: _ClassVar[int]
    PART_SIZE_FIELD_NUMBER: _ClassVar[int]
    SESSION_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_CONTENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    MAX_METADATA_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    STALL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    max_document_size: int
    max_message_size: int
    segment_size: int
    part_size: int
    session_lifetime: _duration_pb2.Duration
    allowed_content_types: _containers.RepeatedScalarFieldContainer[str]
    request_id_lifetime: _duration_pb2.Duration
    max_metadata_entries: int
    stall_timeout: _duration_pb2.Duration
    def __init__(self, max_document_size: _Optional[int] = ..., max_message_size: _Optional[int] = ..., segment_size: _Optional[int] = ..., part_size: _Optional[int] = ..., session_lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., allowed_content_types: _Optional[_Iterable[str]] = ..., request_id_lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_metadata_entries: _Optional[int] = ..., stall_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
