"""What the client tells operators, over the wire from a whole server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from ledgerlift.v1 import operations_service_pb2 as pb
from ledgerlift_client import BreakerState, HealthStatus, LedgerLiftClient, _convert_operations, errors

from tests.support.server_thread import server_in_thread

pytestmark = pytest.mark.usefixtures("both_clients")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of these tests' own."""
    with server_in_thread(tmp_path_factory.mktemp("server")) as server:
        yield server.address


@pytest.fixture
def client(address: str) -> Iterator[LedgerLiftClient]:
    """A client of it."""
    with LedgerLiftClient(address) as made:
        yield made


def test_the_health_report_tells_of_every_component(client: LedgerLiftClient) -> None:
    """Database, store, machine, breakers; no pool on SQLite."""
    client.upload(b"abc", filename="a.bin")
    report = client.health()
    assert report.status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED)  # the machine of the tests may be busy
    assert (report.database.status, report.storage.status) == (HealthStatus.HEALTHY, HealthStatus.HEALTHY)
    assert report.database.response_time is not None
    assert report.pool is None
    assert [one.name for one in report.breakers] == ["database", "storage"]
    assert report.storage_stats.backend == "filesystem"
    assert abs(datetime.now(UTC) - report.check_time) < timedelta(minutes=10)
    assert report.version


def test_breakers_are_listed_and_reset(client: LedgerLiftClient) -> None:
    """By name; one that there is not is refused with the names that there are."""
    assert [(one.name, one.state) for one in client.circuit_breakers()] == [
        ("database", BreakerState.CLOSED),
        ("storage", BreakerState.CLOSED),
    ]
    reset = client.reset_circuit_breaker("storage")
    assert (reset.name, reset.state, reset.retry_after) == ("storage", BreakerState.CLOSED, None)
    with pytest.raises(errors.InvalidArgument, match="storage"):
        client.reset_circuit_breaker("nonsense")


def test_storage_statistics_count_operations(client: LedgerLiftClient) -> None:
    """Each upload's object is a call more, in one of the buckets, the last of which has no bound."""

    def puts() -> int:
        return sum(one.call_count for one in client.storage_stats().operations if one.bytes)

    before = puts()
    client.upload(b"something else", filename="a.bin")
    assert puts() > before
    for one in client.storage_stats().operations:
        assert sum(bucket.count for bucket in one.buckets) == one.call_count
        assert one.mean_latency <= one.max_latency
        assert one.buckets[-1].upper_bound is None


@pytest.mark.blocking_client
def test_what_is_unset_is_none_and_what_is_new_is_unknown() -> None:
    """A report of a server that has looked at nothing yet, and a state that this client does not know."""
    report = _convert_operations.health_report(pb.HealthReport())
    assert report.status is HealthStatus.UNKNOWN
    assert (report.system, report.pool, report.database.check_time) == (None, None, None)
    opened = pb.CircuitBreaker(name="database", state=pb.BREAKER_STATE_OPEN)
    opened.retry_after.FromMilliseconds(1500)
    assert _convert_operations.breaker(opened).retry_after == timedelta(seconds=1.5)
    unheard = pb.CircuitBreaker.FromString(b"\x10\x63")  # field 2, the state: 99
    assert _convert_operations.breaker(unheard).state is BreakerState.UNKNOWN
