"""Calls of any method with any bytes, and what they may be answered."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from ledgerlift.v1 import document_pb2, document_service_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server import errors
from ledgerlift_server.grpc_server import SERVICES

from tests.support import hostile
from tests.support.raw_uploads import messages, reason, spec, uploads
from tests.support.server_thread import server_in_thread

Code = grpc.StatusCode
METHODS: Sequence[MethodDescriptor] = (
    *(method for service in SERVICES for method in service.methods),
    *health_pb2.DESCRIPTOR.services_by_name["Health"].methods,
)
HEALTH = "grpc.health.v1.Health"
"""Its refusals are the standard's, without details."""
REFUSALS = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.FAILED_PRECONDITION,
        Code.OUT_OF_RANGE,
        Code.ALREADY_EXISTS,
        Code.ABORTED,
    }
)
"""What a caller can be told of its own request. Nothing here is down, full or slow: all other codes are defects."""
TIMEOUT = 60.0
"""Seconds of a call that answers once."""
PATIENCE = 0.1
"""Seconds for a stream of answers, which may have nothing to tell and not end."""


def reasons() -> frozenset[str]:
    """Every reason that there is."""
    found, left = set(), [errors.LedgerLiftError]
    while left:
        kind = left.pop()
        found.add(kind.reason)
        left += kind.__subclasses__()
    return frozenset(found - {errors.LedgerLiftError.reason})


REASONS = reasons()


def right_requests(upload_id: str, document_id: str) -> dict[str, Message]:
    """A request that is taken, by method; where nothing is here, the empty one is."""
    return {
        "CreateUpload": pb.CreateUploadRequest(spec=spec(size=5, key="k", metadata={"a": "b"})),
        "Upload": pb.UploadRequest(spec=spec(), data=b"bytes", finish_write=True),
        "GetUpload": pb.GetUploadRequest(upload_id=upload_id),
        "WatchUpload": pb.WatchUploadRequest(upload_id=upload_id),
        "CheckDigests": pb.CheckDigestsRequest(sha256=["0" * 64]),
        "DownloadDocument": documents_pb.DownloadDocumentRequest(document_id=document_id),
        "UpdateProcessingStatus": documents_pb.UpdateProcessingStatusRequest(
            document_id=document_id, status=document_pb2.PROCESSING_STATUS_PROCESSING
        ),
        "RecordEvent": documents_pb.RecordEventRequest(document_id=document_id, type="scanned", detail={"by": "x"}),
    }


class Defects(logging.Handler):
    """What the server logs of its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.found.append(self.format(record))


@dataclass(slots=True)
class Target:
    """A running server, and how often each method gave each answer."""

    channel: Any
    """Untyped: without serializers it takes bytes, which grpc's types do not know."""
    defects: Defects
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    def known(self) -> list[str]:
        """Ids and tokens that mean something: two documents, a session with nothing in it, a page token."""
        policy = pb.DUPLICATE_POLICY_CREATE_NEW
        stored = [
            uploads(self.channel)
            .Upload(messages(b"known", finish=True, spec=spec(duplicate_policy=policy)), timeout=TIMEOUT)
            .document
            for _ in range(2)
        ]
        opened = uploads(self.channel).CreateUpload(pb.CreateUploadRequest(spec=spec()), timeout=TIMEOUT).upload
        listed = uploads(self.channel).ListUploads(pb.ListUploadsRequest(page_size=1), timeout=TIMEOUT)
        stub: Any = document_service_pb2_grpc.DocumentServiceStub(self.channel)
        page = stub.ListDocuments(documents_pb.ListDocumentsRequest(page_size=1), timeout=TIMEOUT)
        ids = [opened.upload_id, *(one.document_id for one in stored)]
        return [*ids, stored[0].sha256, listed.next_page_token, page.next_page_token]

    def call(self, method: MethodDescriptor, requests: Sequence[bytes]) -> None:
        """One call. Raises AssertionError for an answer that is no answer to a request."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        try:
            if method.client_streaming:
                self.channel.stream_unary(path)(iter(requests), timeout=TIMEOUT)
            elif method.server_streaming:
                answers = self.channel.unary_stream(path)(requests[0], timeout=PATIENCE)
                next(answers, None)
                answers.cancel()
            else:
                self.channel.unary_unary(path)(requests[0], timeout=TIMEOUT)
        except grpc.RpcError as error:
            self._refused(method, error)
        else:
            self.answers[method.name, "OK"] += 1

    def _refused(self, method: MethodDescriptor, error: Any) -> None:
        code, why = error.code(), reason(error)
        self.answers[method.name, code.name] += 1
        if code is Code.DEADLINE_EXCEEDED and method.server_streaming:
            return
        assert code in REFUSALS, f"{method.full_name} answered {code.name}/{why}: {error.details()}"
        if not method.full_name.startswith(HEALTH):
            assert why in REASONS, f"{method.full_name} answered {code.name} with the reason {why!r}"

    def check(self) -> None:
        """The server is well, and has logged nothing of a defect."""
        assert self.defects.found == []
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "readiness", *(service.full_name for service in SERVICES)):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """SQLite and files, on port 0."""
    defects = Defects()
    logging.getLogger().addHandler(defects)
    try:
        told = {"upload_part_size": 64 * 1024, "max_file_size": 64 * 1024 * 10_000}
        with server_in_thread(folder, **told) as server, grpc.insecure_channel(server.address) as channel:
            yield Target(channel, defects)
    finally:
        logging.getLogger().removeHandler(defects)


def fuzz(where: Target, method: MethodDescriptor, how: settings, *, damaged: bool, seed: int = 0) -> None:
    """Calls of one method with messages of its type, or with damaged ones. Raises with the shortest."""
    known = where.known()
    if damaged:
        one = hostile.mutated(method.input_type, known)
    else:
        any_message = hostile.messages(method.input_type, known)
        right = right_requests(*known[:2]).get(method.name)
        wrong = any_message if right is None else any_message | hostile.spoiled(right, known)
        one = wrong.map(lambda message: message.SerializeToString())

    @seeded(seed)
    @how
    @given(st.lists(one, min_size=1, max_size=4 if method.client_streaming else 1))
    def calls(requests: list[bytes]) -> None:
        where.call(method, requests)

    calls()
    where.check()
