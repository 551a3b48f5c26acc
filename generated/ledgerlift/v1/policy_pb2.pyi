import datetime

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dependency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPENDENCY_UNSPECIFIED: _ClassVar[Dependency]
    DEPENDENCY_DATABASE: _ClassVar[Dependency]
    DEPENDENCY_STORAGE: _ClassVar[Dependency]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_READER: _ClassVar[Role]
    ROLE_WRITER: _ClassVar[Role]
    ROLE_OPERATOR: _ClassVar[Role]

class Bulkhead(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BULKHEAD_UNSPECIFIED: _ClassVar[Bulkhead]
    BULKHEAD_QUERIES: _ClassVar[Bulkhead]
    BULKHEAD_UPLOADS: _ClassVar[Bulkhead]
    BULKHEAD_DOWNLOADS: _ClassVar[Bulkhead]
    BULKHEAD_WATCHES: _ClassVar[Bulkhead]
    BULKHEAD_OPERATIONS: _ClassVar[Bulkhead]
DEPENDENCY_UNSPECIFIED: Dependency
DEPENDENCY_DATABASE: Dependency
DEPENDENCY_STORAGE: Dependency
ROLE_UNSPECIFIED: Role
ROLE_READER: Role
ROLE_WRITER: Role
ROLE_OPERATOR: Role
BULKHEAD_UNSPECIFIED: Bulkhead
BULKHEAD_QUERIES: Bulkhead
BULKHEAD_UPLOADS: Bulkhead
BULKHEAD_DOWNLOADS: Bulkhead
BULKHEAD_WATCHES: Bulkhead
BULKHEAD_OPERATIONS: Bulkhead
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor

class MethodPolicy(_message.Message):
    __slots__ = ("default_timeout", "max_timeout", "requires", "role", "bulkhead", "reasons")
    DEFAULT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    BULKHEAD_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    default_timeout: _duration_pb2.Duration
    max_timeout: _duration_pb2.Duration
    requires: _containers.RepeatedScalarFieldContainer[Dependency]
    role: Role
    bulkhead: Bulkhead
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, default_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., requires: _Optional[_Iterable[_Union[Dependency, str]]] = ..., role: _Optional[_Union[Role, str]] = ..., bulkhead: _Optional[_Union[Bulkhead, str]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...
