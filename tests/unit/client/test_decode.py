"""From a gRPC status to an exception that says what to do next."""

from __future__ import annotations

import inspect

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from ledgerlift_client import errors
from ledgerlift_client._decode import BY_CODE, BY_REASON, decode
from ledgerlift_server import errors as server_errors
from ledgerlift_server.rpc.status import status_of

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def served(error: Exception) -> errors.LedgerLiftError:
    """What a client makes of the very trailers that the server sends for `error`."""
    status = status_of(error, "req-1")
    return decode(status.code, status.details, status.trailing_metadata, request_id="mine")


def packed(*details: object) -> tuple[tuple[str, bytes]]:
    """The trailer that carries these details."""
    status = status_pb2.Status()
    for detail in details:
        status.details.add().Pack(detail)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def test_every_reason_of_the_server_has_a_class_of_the_same_name() -> None:
    """Whatever the server can refuse with arrives as an exception of its own."""
    tree = [kind for _, kind in inspect.getmembers(server_errors, inspect.isclass) if "reason" in vars(kind)]
    told = {kind.reason for kind in tree} - {"INTERNAL"}
    assert told == set(BY_REASON)
    same = {"InvalidRequest": "InvalidArgument"}
    for kind in tree:
        if kind.reason in BY_REASON:
            assert BY_REASON[kind.reason].__name__ == same.get(kind.__name__, kind.__name__)


def test_every_code_has_a_class() -> None:
    """No code of gRPC is left to chance."""
    assert set(BY_CODE) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


def test_every_exception_is_reachable_or_local() -> None:
    """The tree holds no exception that nothing raises."""
    tree = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    local = {errors.SourceError, errors.SourceChanged, errors.SourceNotRewindable, errors.Cancelled}
    local |= {errors.NotConnected, errors.TlsFailed}  # by what grpc says
    bases = {base for kind in tree for base in kind.__mro__ if base is not kind}
    assert tree - bases <= set(BY_REASON.values()) | set(BY_CODE.values()) | local


def test_a_refusal_of_the_server_arrives_whole() -> None:
    """Reason, facts, wait and request id of the server's own status all reach the caller."""
    error = served(server_errors.Draining("going away", retry_after=0.2, metadata={"upload_id": "u1"}))
    assert type(error) is errors.Draining
    assert (error.message, error.reason, error.request_id) == ("going away", "DRAINING", "req-1")
    assert (error.retryable, error.retry_after, error.upload_id) == (True, 0.2, "u1")
    assert error.code is UNAVAILABLE


def test_wrong_fields_arrive_by_name() -> None:
    """All violations are there, not only the first sentence."""
    wrong = [server_errors.FieldViolation("spec.filename", "is required"), server_errors.FieldViolation("b", "no")]
    error = served(server_errors.InvalidRequest(wrong))
    assert type(error) is errors.InvalidArgument
    assert [(v.field, v.description) for v in error.violations] == [("spec.filename", "is required"), ("b", "no")]
    assert not error.retryable


def test_facts_can_be_used_as_numbers() -> None:
    """A limit and an expected offset come as integers; what is no number as None."""
    large = served(server_errors.DocumentTooLarge("too large", metadata={"limit": "10"}))
    gap = served(server_errors.OffsetGap("gap", metadata={"expected_offset": "64"}))
    odd = served(server_errors.OffsetGap("gap", metadata={"expected_offset": "-1"}))
    assert isinstance(large, errors.DocumentTooLarge)
    assert isinstance(gap, errors.OffsetGap)
    assert isinstance(odd, errors.OffsetGap)
    assert (large.limit, gap.expected_offset, odd.expected_offset) == (10, 64, None)


def test_a_conflict_names_the_document_in_the_way() -> None:
    """DuplicateDocument tells which document has the bytes already."""
    there = server_errors.Resource("document", "d1")
    error = served(server_errors.DuplicateDocument("there already", resource=there))
    assert isinstance(error, errors.DuplicateDocument)
    assert error.document_id == "d1"


def test_a_defect_of_the_server_is_not_tried_again() -> None:
    """INTERNAL that the server itself made repeats; only INTERNAL made on the way may pass."""
    assert not served(ValueError("secret")).retryable
    assert decode(grpc.StatusCode.INTERNAL, "RST_STREAM", ()).retryable


@pytest.mark.parametrize(
    "code", [UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL]
)
def test_what_was_made_on_the_way_may_pass(code: grpc.StatusCode) -> None:
    """A status without LedgerLift's reason has an unknown outcome."""
    assert decode(code, "", ()).retryable


def test_a_call_that_a_stopping_server_did_not_take_is_unavailable() -> None:
    """grpc says CANCELLED, and its callers would look for who did that."""
    told = decode(grpc.StatusCode.CANCELLED, "CANCELLED", ())
    assert type(told) is errors.Unavailable
    assert str(told) == "the server stopped before it took the call"
    assert str(decode(grpc.StatusCode.CANCELLED, "by a proxy", ())) == "by a proxy"


def test_where_it_could_not_connect_is_said_without_preamble() -> None:
    """The address and the cause, of all that grpc says about its backends."""
    said = "connections to all backends failing; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused"
    assert str(decode(UNAVAILABLE, said, ())) == "ipv4:127.0.0.1:1: Connection refused"
    said = "failed to connect to all addresses; last error: INTERNAL: ipv4:127.0.0.1:1: no"
    assert str(decode(UNAVAILABLE, said, ())) == "INTERNAL: ipv4:127.0.0.1:1: no"
    assert type(decode(UNAVAILABLE, said, ())) is errors.NotConnected


def test_a_connection_that_was_closed_at_once_has_several_causes() -> None:
    """They are named, and it may pass: it can be a proxy whose server restarts."""
    for said in ("UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "UNKNOWN: ipv6:%5B::1%5D:1: recvmsg:Broken pipe"):
        error = decode(UNAVAILABLE, f"failed to connect to all addresses; last error: {said}", ())
        assert type(error) is errors.NotConnected
        assert "1: the connection was closed at once: TLS on one side only" in str(error)


def test_a_reason_of_another_domain_does_not_count() -> None:
    """A proxy's ErrorInfo is not taken for the server's."""
    info = error_details_pb2.ErrorInfo(reason="UPLOAD_EXPIRED", domain="example.com")
    error = decode(UNAVAILABLE, "x", packed(info))
    assert (type(error), error.reason) == (errors.Unavailable, "")


def test_a_new_reason_is_known_by_its_code() -> None:
    """A reason of a newer server still gives an exception of the right kind, with the reason in it."""
    info = error_details_pb2.ErrorInfo(reason="NAME_TOO_FUNNY", domain="ledgerlift")
    error = decode(grpc.StatusCode.INVALID_ARGUMENT, "x", packed(info))
    assert (type(error), error.reason) == (errors.InvalidArgument, "NAME_TOO_FUNNY")


def test_resource_exhausted_passes_only_when_the_server_says_when() -> None:
    """gRPC's own RESOURCE_EXHAUSTED (a message too large) is permanent; one with a wait is load."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2))
    permanent, load = decode(code, "too large", ()), decode(code, "busy", packed(retry))
    assert (type(permanent), permanent.retryable) == (errors.ResourceExhausted, False)
    assert (type(load), load.retryable, load.retry_after) == (errors.Overloaded, True, 2.0)


@pytest.mark.parametrize(("value", "seconds"), [("1500", 1.5), ("0", 0.0), (b"20", 0.02)])
def test_pushback_is_a_wait(value: str | bytes, seconds: float) -> None:
    """`grpc-retry-pushback-ms` is obeyed where there is no RetryInfo."""
    error = decode(UNAVAILABLE, "", (("grpc-retry-pushback-ms", value),))
    assert (error.retryable, error.retry_after) == (True, seconds)


@pytest.mark.parametrize("value", ["-1", "soon", ""])
def test_pushback_can_forbid_to_try_again(value: str) -> None:
    """A negative or unreadable pushback means: do not (gRFC A6)."""
    error = decode(UNAVAILABLE, "", (("grpc-retry-pushback-ms", value),))
    assert (error.retryable, error.retry_after) == (False, None)


def test_broken_details_do_not_hide_the_error() -> None:
    """A trailer that cannot be parsed still leaves code and text."""
    error = decode(UNAVAILABLE, "down", (("grpc-status-details-bin", b"\xff\xff\xff"),), request_id="r")
    assert (type(error), error.message, error.request_id) == (errors.Unavailable, "down", "r")
