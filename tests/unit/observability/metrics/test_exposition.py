"""`observability/metrics/exposition.py`: a scrape is bounded whoever asks, and wrong questions have answers."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from http.client import HTTPMessage

import pytest
from ledgerlift_server.observability.metrics.exposition import MAX_CONNECTIONS, exposed
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.registry import Collector

from tests.support.captured_log import Entries
from tests.support.scrape import scrape

TIMEOUT = 30
ASKING = b"GET /metrics HTTP/1.1\r\nHost: here\r\n"
"""A request without its end."""


@pytest.fixture
def registry() -> CollectorRegistry:
    """One counter, at 2."""
    registry = CollectorRegistry()
    Counter("things_total", "Things.", registry=registry).inc(2)
    return registry


@pytest.fixture
async def address(registry: CollectorRegistry) -> AsyncIterator[str]:
    """Where it is served, with time enough for every test."""
    async with exposed(registry, "127.0.0.1", 0, time_limit=60.0) as address:
        yield address


def _get(url: str, **headers: str) -> tuple[int, HTTPMessage, bytes]:
    request = urllib.request.Request(f"http://{url}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - always http
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)


async def test_a_scrape_says_its_length(address: str) -> None:
    """So that one which is cut off is not taken for whole; what is behind a `?` does not matter."""
    code, headers, body = await asyncio.to_thread(_get, f"{address}/metrics?from=prometheus")
    assert (code, headers["Content-Length"]) == (200, str(len(body)))
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"things_total 2.0" in body


async def test_open_metrics_is_spoken_to_whoever_asks_for_it(address: str) -> None:
    """Prometheus prefers it."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    _, headers, body = await asyncio.to_thread(_get, f"{address}/metrics", Accept=accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert [family.name for family in open_metrics(body.decode())] == ["things"]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/debug"])
async def test_other_paths_are_not_found(address: str, path: str) -> None:
    """And are told where metrics are."""
    code, _, body = await asyncio.to_thread(_get, f"{address}{path}")
    assert code == 404
    assert b"/metrics" in body


async def test_a_collector_that_fails_is_an_error_and_not_half_an_answer(
    registry: CollectorRegistry, address: str, log: Entries
) -> None:
    """500, and a log entry with the cause; the next scrape is asked anew."""

    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise RuntimeError("no numbers today")

    broken = Broken()
    registry.register(broken)
    code, _, body = await asyncio.to_thread(_get, f"{address}/metrics")
    assert code == 500
    assert b"no numbers today" not in body
    assert [entry["event"] for entry in log() if "no numbers today" in str(entry)] == ["scrape_failed"]
    registry.unregister(broken)
    assert (await scrape(address)).value("things_total") == 2


async def test_as_many_connections_as_there_may_be_are_held_and_one_more_is_closed(address: str) -> None:
    """Whoever holds connections open costs a bounded number of threads; a place that is given up can be used."""
    with ExitStack() as stack:
        held = [stack.enter_context(_connect(address)) for _ in range(MAX_CONNECTIONS)]
        for connection in held:
            connection.sendall(ASKING)
        one_more = stack.enter_context(_connect(address))
        assert await asyncio.to_thread(one_more.recv, 1) == b""
        held[0].sendall(b"\r\n")
        assert (await asyncio.to_thread(held[0].recv, 12)) == b"HTTP/1.0 200"
        held[0].close()
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    assert (await scrape(address)).value("things_total") == 2
                    break
                except OSError:  # the place is free when the server has noticed
                    continue


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silent", "a byte at a time"])
async def test_who_takes_too_long_is_closed(registry: CollectorRegistry, drip: bytes) -> None:
    """The limit counts from the beginning of the connection: a byte now and then does not extend it."""
    async with exposed(registry, "127.0.0.1", 0, time_limit=0.3) as address:
        with _connect(address) as slow:
            slow.sendall(ASKING)
            slow.settimeout(0.05)
            assert await asyncio.to_thread(_closed, slow, drip)
        assert (await scrape(address)).value("things_total") == 2


def _closed(connection: socket.socket, drip: bytes) -> bool:
    """Send `drip` again and again until the other side has closed; False when it never does."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        try:
            connection.sendall(drip)
            if connection.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


async def test_its_end_gives_the_port_back(registry: CollectorRegistry) -> None:
    """At once, connections of its former life or not."""
    async with exposed(registry, "127.0.0.1", 0) as address:
        await scrape(address)
        idle = _connect(address)
    with idle:
        async with exposed(registry, "127.0.0.1", int(address.rpartition(":")[2])) as again:
            assert again == address
            await scrape(again)


async def test_ipv6_is_served_and_named_with_brackets(registry: CollectorRegistry) -> None:
    """As addresses are written everywhere else."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("needs IPv6 on the loopback interface")
    async with exposed(registry, "::1", 0) as address:
        assert address.startswith("[::1]:")
        assert (await scrape(address)).value("things_total") == 2


async def test_an_address_of_another_machine_is_refused(registry: CollectorRegistry) -> None:
    """OSError, which says why."""
    with pytest.raises(OSError, match="assign requested address"):
        async with exposed(registry, "203.0.113.1", 0):
            pass
