"""`rpc/status.py`: every error has a code and a reason, and no answer outgrows what a client can receive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import example, given
from hypothesis import strategies as st
from ledgerlift_server import errors
from ledgerlift_server.rpc.status import (
    CODES,
    DEFECT_MESSAGE,
    DETAILS_TRAILER,
    MAX_STATUS_BYTES,
    MAX_VIOLATIONS,
    PUSHBACK_TRAILER,
    REQUEST_ID_TRAILER,
    RpcStatus,
    code_of,
    status_of,
)

M = TypeVar("M", bound=Message)

REQUEST_ID = "0192f0c1-0000-7000-8000-000000000001"

# DESIGN section 5, one line per leaf of the tree.
EXPECTED = {
    errors.InvalidRequest: "INVALID_ARGUMENT",
    errors.ChecksumMismatch: "INVALID_ARGUMENT",
    errors.SizeMismatch: "INVALID_ARGUMENT",
    errors.ContentTypeMismatch: "INVALID_ARGUMENT",
    errors.DocumentTooLarge: "INVALID_ARGUMENT",
    errors.OffsetGap: "OUT_OF_RANGE",
    errors.DocumentNotFound: "NOT_FOUND",
    errors.UploadNotFound: "NOT_FOUND",
    errors.UploadExpired: "FAILED_PRECONDITION",
    errors.UploadCancelled: "FAILED_PRECONDITION",
    errors.UploadFailed: "FAILED_PRECONDITION",
    errors.UploadAlreadyCommitted: "FAILED_PRECONDITION",
    errors.UploadIncomplete: "FAILED_PRECONDITION",
    errors.InvalidStatusTransition: "FAILED_PRECONDITION",
    errors.UploadSuperseded: "ABORTED",
    errors.DuplicateDocument: "ALREADY_EXISTS",
    errors.KeyTaken: "ALREADY_EXISTS",
    errors.RequestIdReused: "ALREADY_EXISTS",
    errors.CircuitOpen: "UNAVAILABLE",
    errors.DependencyUnavailable: "UNAVAILABLE",
    errors.UploadCommitting: "UNAVAILABLE",
    errors.UploadStalled: "UNAVAILABLE",
    errors.UploadDeadline: "UNAVAILABLE",
    errors.Draining: "UNAVAILABLE",
    errors.Overloaded: "RESOURCE_EXHAUSTED",
    errors.DeadlineExceeded: "DEADLINE_EXCEEDED",
    errors.StoredObjectCorrupt: "DATA_LOSS",
    errors.Unauthenticated: "UNAUTHENTICATED",
    errors.PermissionDenied: "PERMISSION_DENIED",
}


def descendants(kind: type[errors.LedgerLiftError]) -> Iterator[type[errors.LedgerLiftError]]:
    """Every class below `kind` that the error module itself defines."""
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from descendants(child)


TREE = sorted(set(descendants(errors.LedgerLiftError)), key=lambda kind: kind.__name__)
LEAVES = [kind for kind in TREE if not list(descendants(kind))]


def make(kind: type[errors.LedgerLiftError]) -> errors.LedgerLiftError:
    """An instance of `kind`."""
    if kind is errors.InvalidRequest:
        return errors.InvalidRequest([errors.FieldViolation("spec.filename", "is required")])
    return kind("what happened")


def rich(status: RpcStatus) -> Status:
    """The google.rpc.Status in the trailers."""
    packed = dict(status.trailing_metadata)[DETAILS_TRAILER]
    assert isinstance(packed, bytes)
    return Status.FromString(packed)


def detail(status: RpcStatus, kind: type[M]) -> M:
    """The one detail of type `kind`."""
    [found] = [packed for packed in rich(status).details if packed.TypeName().endswith(f".{kind.__name__}")]
    return kind.FromString(found.value)


def kinds(status: RpcStatus) -> list[str]:
    """The names of the details' types."""
    return [packed.TypeName().rpartition(".")[2] for packed in rich(status).details]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_no_error_of_the_tree_is_unmapped(kind: type[errors.LedgerLiftError]) -> None:
    """Every class in errors.py stands in the table, itself or by a class above it."""
    assert any(above in CODES for above in kind.__mro__)


def test_every_code_is_the_one_of_the_contract() -> None:
    """Each leaf of the tree becomes the code that DESIGN section 5 promises, and no leaf is left out."""
    assert {kind: code_of(make(kind)).name for kind in LEAVES} == EXPECTED


def test_every_reason_is_stable_and_its_own() -> None:
    """No two kinds of error share a reason, and each has the form that AIP-193 asks for."""
    reasons = [kind.reason for kind in LEAVES]
    assert len(set(reasons)) == len(reasons)
    for reason in reasons:
        assert reason != errors.LedgerLiftError.reason
        assert reason.replace("_", "").isalnum()
        assert reason.isupper()
        assert len(reason) <= 63


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The picture at the top of errors.py names every class."""
    drawn = (errors.__doc__ or "").split()
    assert [kind.__name__ for kind in TREE if kind.__name__ not in drawn] == []


def test_the_details_say_what_and_where() -> None:
    """A refusal carries its reason, its facts, the thing it is about and the request id."""
    error = errors.DuplicateDocument(
        "there already", metadata={"upload_id": "u1"}, resource=errors.Resource("document", "d1")
    )
    status = status_of(error, REQUEST_ID)
    assert (status.code, status.details) == (grpc.StatusCode.ALREADY_EXISTS, "there already")
    assert (rich(status).code, rich(status).message) == (6, "there already")
    info = detail(status, ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "DUPLICATE_DOCUMENT",
        "ledgerlift",
        {"upload_id": "u1"},
    )
    resource = detail(status, ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("document", "d1")
    request = detail(status, RequestInfo)
    assert request.request_id == REQUEST_ID
    assert dict(status.trailing_metadata)[REQUEST_ID_TRAILER] == REQUEST_ID
    assert kinds(status) == ["ErrorInfo", "RequestInfo", "ResourceInfo"]
    assert PUSHBACK_TRAILER not in dict(status.trailing_metadata)


def test_who_may_try_again_is_told_when() -> None:
    """`retry_after` is both a RetryInfo and the pushback trailer that gRPC's own retries obey."""
    status = status_of(errors.CircuitOpen("the breaker of storage is open", retry_after=1.25), REQUEST_ID)
    retry = detail(status, RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1250
    assert dict(status.trailing_metadata)[PUSHBACK_TRAILER] == "1250"


def test_the_first_twenty_violations_and_their_count() -> None:
    """A request with many wrong fields is told the first 20, in order, and how many there are."""
    violations = [errors.FieldViolation(f"spec.metadata[{i}]", "is too long") for i in range(57)]
    status = status_of(errors.InvalidRequest(violations), REQUEST_ID)
    bad = detail(status, BadRequest)
    info = detail(status, ErrorInfo)
    assert [v.field for v in bad.field_violations] == [f"spec.metadata[{i}]" for i in range(MAX_VIOLATIONS)]
    assert info.metadata["violation_count"] == "57"


@pytest.mark.parametrize(
    "error",
    [KeyError("password=hunter2"), errors.LedgerLiftError("hunter2", retry_after=9), TimeoutError()],
    ids=repr,
)
def test_a_defect_tells_nothing_but_the_request_id(error: Exception) -> None:
    """What is not in the table is INTERNAL with a fixed sentence; the exception's text stays inside."""
    status = status_of(error, REQUEST_ID)
    assert (status.code, status.details) == (grpc.StatusCode.INTERNAL, DEFECT_MESSAGE)
    assert b"hunter2" not in rich(status).SerializeToString()
    assert detail(status, RequestInfo).request_id == REQUEST_ID
    assert set(dict(status.trailing_metadata)) == {DETAILS_TRAILER, REQUEST_ID_TRAILER}


any_text = st.text(st.characters(codec=None), max_size=300) | st.sampled_from(
    ["", "x" * 10_000, "\U0001f4a5" * 5_000]
)
many_violations = st.lists(st.builds(errors.FieldViolation, any_text, any_text), min_size=1, max_size=60)
any_error = st.builds(errors.InvalidRequest, many_violations) | st.builds(
    lambda kind, message, facts, retry, about: (
        kind(message, metadata=facts, retry_after=retry)
        if about is None
        else errors.KeyTaken(message, metadata=facts, resource=about, retry_after=retry)
    ),
    st.sampled_from([errors.Overloaded, errors.Draining]),
    any_text,
    st.dictionaries(any_text, any_text, max_size=40),
    st.floats() | st.floats(0, 10),
    st.none() | st.builds(errors.Resource, any_text, any_text),
)


@given(any_error, any_text)
@example(errors.InvalidRequest([errors.FieldViolation("f" * 999, "d" * 999)] * 99), "r" * 9_999)
def test_an_answer_stays_below_4_kib_whatever_the_error_holds(error: errors.LedgerLiftError, request_id: str) -> None:
    """Long texts are cut and long lists shortened; the reason, the code and the request id are always there."""
    status = status_of(error, request_id)
    trailers = dict(status.trailing_metadata)
    assert len(trailers[DETAILS_TRAILER]) <= MAX_STATUS_BYTES < 4096
    info = detail(status, ErrorInfo)
    assert (status.code, info.reason) == (code_of(error), error.reason)
    assert (PUSHBACK_TRAILER in trailers) == (error.retry_after is not None)
    assert 0 <= int(trailers.get(PUSHBACK_TRAILER, "0")) <= 3_600_000
    assert (REQUEST_ID_TRAILER in trailers) == bool(request_id)
    if isinstance(error, errors.InvalidRequest):
        assert detail(status, BadRequest).field_violations
    else:
        assert status.details or not error.message
