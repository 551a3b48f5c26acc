"""No call without a deadline, no retry without a budget: a server that hangs in every method, or fails in each."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from ledgerlift_client import ClientOptions, LedgerLiftClient, ProcessingStatus, UploadItem, errors

from tests.support.any_method import AnyMethodServer, fail, hang
from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")

ID = "00000000-0000-7000-8000-000000000000"
SHORT = 0.4
IN_TIME = 15.0
"""Seconds; generous on a busy machine, and far below every deadline that a call would have without its own."""

CALLS: dict[str, Callable[[LedgerLiftClient, dict[str, float]], Any]] = {
    "upload": lambda c, t: c.upload(b"x", filename="a.bin", **t),
    "resume": lambda c, t: c.resume(ID, b"x", **t),
    "get_upload": lambda c, t: c.get_upload(ID, **t),
    "list_uploads": lambda c, t: list(c.list_uploads()),
    "cancel_upload": lambda c, t: c.cancel_upload(ID, **t),
    "watch_upload": lambda c, t: list(c.watch_upload(ID, timeout=SHORT)),
    "check_digests": lambda c, t: c.check_digests(["ab" * 32], **t),
    "limits": lambda c, t: c.limits(**t),
    "download": lambda c, t: c.download(ID, io.BytesIO(), **t),
    "download_chunks": lambda c, t: list(c.download_chunks(ID, **t)),
    "get": lambda c, t: c.get(ID, **t),
    "list": lambda c, t: list(c.list()),
    "delete": lambda c, t: c.delete(ID, **t),
    "update_status": lambda c, t: c.update_status(ID, ProcessingStatus.PROCESSING, **t),
    "stats": lambda c, t: c.stats(**t),
    "events": lambda c, t: list(c.events()),
    "watch_events": lambda c, t: list(c.watch_events(timeout=SHORT)),
    "record_event": lambda c, t: c.record_event(ID, "read", **t),
    "health": lambda c, t: c.health(**t),
    "circuit_breakers": lambda c, t: c.circuit_breakers(**t),
    "reset_circuit_breaker": lambda c, t: c.reset_circuit_breaker("database", **t),
    "storage_stats": lambda c, t: c.storage_stats(**t),
}
CALLS_NOBODY = {"close", "from_env", "circuit_breaker_status"}
MANY = {"upload_many"}
"""Answers outcomes rather than raise; has a test of its own."""
PAGED = {"list_uploads", "list", "events"}
"""Lists: each page is a call with `call_timeout`."""
TWO_KINDS = pytest.mark.parametrize("health", [False, True], ids=["no health service", "health hangs too"])


@pytest.fixture(scope="module")
def hanging() -> Iterator[AnyMethodServer]:
    """A server that takes every call and answers none."""
    with AnyMethodServer(hang) as server:
        yield server


@pytest.mark.blocking_client
def test_every_method_is_looked_at() -> None:
    """A method that is added to the client and not to this file fails here."""
    public = {name for name in dir(LedgerLiftClient) if not name.startswith("_")}
    assert public == set(CALLS) | CALLS_NOBODY | MANY


@TWO_KINDS
@pytest.mark.parametrize("name", CALLS)
def test_each_method_ends_within_its_own_deadline(name: str, health: bool) -> None:
    """By the options' deadlines, whatever the server does, and every RPC that it makes carries one."""
    options = ClientOptions(
        call_timeout=SHORT, segment_timeout=SHORT, transfer_timeout=2 * SHORT, breaker_failures=1000
    )
    began = time.monotonic()
    with AnyMethodServer(hang, health=health) as server, LedgerLiftClient(server.target, options=options) as client:
        with pytest.raises((errors.DeadlineExceeded, errors.Unavailable)) as raised:
            CALLS[name](client, {})
        assert time.monotonic() - began < IN_TIME
        assert health or isinstance(raised.value, errors.DeadlineExceeded)
        assert health or server.calls
        assert not server.without_deadline


@pytest.mark.parametrize("name", sorted(set(CALLS) - PAGED))
def test_each_method_ends_within_the_callers_deadline(hanging: AnyMethodServer, name: str) -> None:
    """`timeout` is shorter than the options', and is what counts."""
    began = time.monotonic()
    with LedgerLiftClient(hanging.target) as client, pytest.raises(errors.DeadlineExceeded):
        CALLS[name](client, {"timeout": SHORT})
    assert time.monotonic() - began < IN_TIME


def test_many_uploads_end_within_their_deadlines(hanging: AnyMethodServer) -> None:
    """Each outcome has its error; nothing is raised."""
    began = time.monotonic()
    with LedgerLiftClient(hanging.target) as client:
        outcomes = client.upload_many([UploadItem(b"a", filename="a.bin")] * 5, timeout=SHORT)
    assert time.monotonic() - began < IN_TIME
    assert [type(outcome.error).__name__ for outcome in outcomes] == ["DeadlineExceeded"] * 5


# The budget, counted by the server


def calls_of(client: LedgerLiftClient, count: int) -> int:
    """So many calls, eight at a time; how many of them failed."""

    def one(_: int) -> bool:
        try:
            client.limits()
        except errors.LedgerLiftError:
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(one, range(count)))


def test_a_server_that_always_fails_is_not_multiplied() -> None:
    """1,000 calls are at most 1.2 times as many attempts, and once the budget is spent each is exactly one."""
    options = ClientOptions(backoff_base=0.001, backoff_cap=0.002)
    always = fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    with AnyMethodServer(always) as server, LedgerLiftClient(server.target, options=options) as client:
        assert calls_of(client, 1000) == 1000
        attempts = server.calls["GetLimits"]
        assert 1000 < attempts <= 1000 + options.retry_budget <= 1200
        assert calls_of(client, 100) == 100
        assert server.calls["GetLimits"] == attempts + 100
        with pytest.raises(errors.Overloaded):
            client.upload(b"x", filename="a.bin")
        assert server.calls["Upload"] == 1


def test_where_nobody_answers_the_breaker_stops_even_the_first_attempts() -> None:
    """1,000 calls to something that is no LedgerLift are a few attempts."""
    options = ClientOptions(backoff_base=0.001, backoff_cap=0.002)
    nobody = fail(grpc.StatusCode.UNAVAILABLE)
    with AnyMethodServer(nobody) as server, LedgerLiftClient(server.target, options=options) as client:
        assert calls_of(client, 1000) == 1000
        assert 5 <= server.calls["GetLimits"] <= 100
        assert client.circuit_breaker_status().refused >= 900


def test_an_upload_whose_session_was_told_late_is_more_patient_with_the_next_attempt(peer: UploadPeer) -> None:
    """First the time of the method's policy, then all that a call may take; other failures change nothing."""
    peer.faults["CreateUpload"].extend([Fault(), Fault(grpc.StatusCode.DEADLINE_EXCEEDED)])
    options = ClientOptions(message_size=5, segment_size=5, backoff_base=0.001)
    with LedgerLiftClient(peer.target, options=options) as client:
        client.upload(b"1234567890", filename="a.bin")
    given = [seconds for name, seconds in zip(peer.calls, peer.allowed, strict=True) if name == "CreateUpload"]
    assert [round(seconds, -1) for seconds in given] == [10, 10, 30], given  # gRPC rounds what it sends up
