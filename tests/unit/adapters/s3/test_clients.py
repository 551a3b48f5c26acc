"""`Clients`: one client for all threads, renewed by one of them while the others go on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ledgerlift_server.adapters.s3 import S3Options
from ledgerlift_server.adapters.s3.clients import Clients

from tests.support.clock import ManualClock
from tests.support.s3 import credentials_at

OPTIONS = S3Options(**credentials_at("http://127.0.0.1:1"), client_ttl=300.0)


def test_all_threads_get_the_same_one() -> None:
    """Also those that ask at once for the first."""
    clients = Clients(OPTIONS)
    assert clients.age is None
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: id(clients.current()), range(64)))
    assert len(made) == 1
    clients.close()


def test_nobody_waits_while_one_renews_it() -> None:
    """While the lock is held by the thread that makes the next client, the old one serves."""
    clock = ManualClock()
    clients = Clients(OPTIONS, clock=clock)
    old = clients.current()
    clock.advance(300)
    with ThreadPoolExecutor(1) as threads:
        with clients._making:
            assert threads.submit(clients.current).result(20) is old
        assert threads.submit(clients.current).result(20) is not old
    clients.close()


def test_a_client_can_be_had_again_after_closing() -> None:
    """A call that comes late, as one of the janitor may, gets a client of its own rather than a failure."""
    clients = Clients(OPTIONS)
    old = clients.current()
    clients.close()
    assert clients.age is None
    assert clients.current() is not old
    clients.close()
