"""`S3Store` with a real server: what the probe finds, who is let in, and what happens when the server goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from crc32c import crc32c
from ledgerlift_server.adapters.s3 import S3Options, StoreReport
from ledgerlift_server.domain.store_port import NoSuchObject
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

from tests.support.object_stores import MIB, SESSION, OpenS3Store, content, put, put_part
from tests.support.s3 import (
    ACCESS_KEY,
    SECRET_KEY,
    Certificate,
    MotoServer,
    S3Server,
    credentials_at,
    make_client,
    store_options,
)
from tests.support.scripted_s3 import black_hole

NAME = "objects/ab/0199-aa"


async def test_the_probe_of_a_good_store(s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """versitygw does all that is relied on, and the probe leaves nothing behind."""
    options = s3_server.options()
    store = open_s3_store(options)
    report = await store.start()
    assert report == StoreReport(
        bucket_created=False,
        checks="crc32c",
        lists_checksums=True,
        compares_etags=True,
        repeated_complete="accepted",
        conditional_writes=True,
        keeps_token=True,
        reads_ranges=True,
    )
    assert report.problems == ()
    assert (await store.list_objects(after=None, limit=10)).names == ()
    assert list(await store.list_multiparts(limit=10)) == []


async def test_the_probe_of_a_careless_store(moto_server: MotoServer, open_s3_store: OpenS3Store) -> None:
    """moto takes any checksum for right: the report says so, in a sentence for the operator."""
    report = await open_s3_store(store_options(moto_server)).start()
    assert report.checks == "none"
    assert any("checksums are not verified" in problem for problem in report.problems)


async def test_md5_where_there_is_no_crc32c(s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """A store that checks only Content-MD5 is sent that, and refuses damaged bytes by it."""
    store = open_s3_store(s3_server.options())
    store._integrity.means = "md5"
    data = content(100_000)
    upload = await store.create_multipart(NAME, token=SESSION)
    part = await put_part(store, NAME, upload, 1, data)
    await store.complete_multipart(NAME, upload, [part])
    assert await store.read(NAME, 0, len(data)) == data


async def test_a_bucket_is_made_when_asked(s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """Without `create_bucket` the operator is told what is missing; with it the bucket is there afterwards."""
    absent = open_s3_store(s3_server.options(bucket="not-there-yet"))
    with pytest.raises(DependencyUnavailable, match="S3_CREATE_BUCKET"):
        await absent.start()
    creating = open_s3_store(s3_server.options(bucket="not-there-yet", create_bucket=True))
    assert (await creating.start()).bucket_created
    assert not (await absent.start()).bucket_created
    await put(absent, NAME, b"data")


async def test_a_bucket_that_is_gone_is_no_missing_object(s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """Whoever takes a missing bucket for missing objects gives documents up that are all there."""
    store = open_s3_store(s3_server.options(bucket="no-such-bucket"))
    upload = "24c4a618-8bf3-4683-b8ec-cb4c96d0c577"
    asked: list[Callable[[], Awaitable[object]]] = [
        store.ping,
        lambda: store.stat(NAME),
        lambda: store.read(NAME, 0, 1),
        lambda: store.read(NAME, 0, 0),
        lambda: store.list_parts(NAME, upload),
        lambda: store.abort_multipart(NAME, upload),
        lambda: put_part(store, NAME, upload, 1, b"x"),
        lambda: put(store, NAME, b"x"),
    ]
    for ask in asked:
        with pytest.raises(DependencyUnavailable, match="check S3_BUCKET"):
            await ask()


@pytest.mark.parametrize(
    ("credentials", "advice"),
    [
        ({"access_key_id": "somebody-else"}, "AWS_ACCESS_KEY_ID"),
        ({"secret_access_key": "wrong-secret"}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
async def test_wrong_credentials(
    s3_server: S3Server, open_s3_store: OpenS3Store, credentials: dict[str, str], advice: str
) -> None:
    """The operator is told which variable to look at, and no secret is told to anybody."""
    store = open_s3_store(s3_server.options(**credentials))
    with pytest.raises(DependencyUnavailable, match=advice) as told:
        await put(store, NAME, b"data")
    for secret in (ACCESS_KEY, SECRET_KEY, *credentials.values()):
        assert secret not in str(told.value)


async def test_objects_below_a_prefix(s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """Two stores share a bucket and see nothing of one another, nor of what else is in it."""
    bucket = s3_server.bucket()
    client = make_client(s3_server.endpoint)
    client.put_object(Bucket=bucket, Key="somebody/elses", Body=b"")
    client.close()
    one = open_s3_store(s3_server.options(bucket=bucket, prefix="one/"))
    two = open_s3_store(s3_server.options(bucket=bucket, prefix="two/"))
    await put(one, NAME, b"of one")
    upload = await two.create_multipart(NAME, token=SESSION)
    with pytest.raises(NoSuchObject):
        await two.stat(NAME)
    assert [name for name, _ in (await one.list_objects(after=None, limit=10)).names] == [NAME]
    assert (await two.list_objects(after=None, limit=10)).names == ()
    assert list(await one.list_multiparts(limit=10)) == []
    assert [found.multipart_id for found in await two.list_multiparts(limit=10)] == [upload]


async def test_a_list_of_many_parts(s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """More than fit into one answer of ListParts (1,000)."""
    store = open_s3_store(s3_server.options())
    upload = await store.create_multipart(NAME, token=SESSION)
    numbers = [*range(1, 1004), 10_000]
    parts = await asyncio.gather(*(put_part(store, NAME, upload, number, b"%d" % number) for number in numbers))
    assert list(await store.list_parts(NAME, upload)) == list(parts)


async def test_https(
    https_s3_server: S3Server,
    certificate: Certificate,
    open_s3_store: OpenS3Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate that nobody signed is refused, at once and in words; one that is trusted is all it takes."""
    distrusting = open_s3_store(S3Options(**credentials_at(https_s3_server.endpoint)))
    with pytest.raises(DependencyUnavailable, match="certificate"):
        await distrusting.start()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.public))
    store = open_s3_store(https_s3_server.options())
    assert (await store.start()).problems == ()
    data = content(12 * MIB)
    upload = await store.create_multipart(NAME, token=SESSION)
    first = await put_part(store, NAME, upload, 1, data)
    last = await put_part(store, NAME, upload, 2, b"rest")
    await store.complete_multipart(NAME, upload, [first, last])
    assert await store.read(NAME, 0, 13 * MIB) == data + b"rest"
    https_s3_server.suspend()
    with deadline_scope(Deadline.after(0.5)), pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(put(store, NAME, data), 20)
    https_s3_server.resume()


async def test_a_server_that_dies_and_comes_back(own_s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """Down: said at once, and not after a timeout. Up again: the same store goes on, an upload where it was."""
    store = open_s3_store(own_s3_server.options(connect_timeout=20, read_timeout=20))
    upload = await store.create_multipart(NAME, token=SESSION)
    first = await put_part(store, NAME, upload, 1, content(5 * MIB))
    own_s3_server.kill()
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable, match="connection failed"):
        await put_part(store, NAME, upload, 2, b"rest")
    assert time.monotonic() - began < 10
    own_s3_server.start()
    last = await put_part(store, NAME, upload, 2, b"rest")
    await store.complete_multipart(NAME, upload, [first, last])
    assert (await store.stat(NAME)).size == 5 * MIB + 4


async def test_a_server_that_hangs(own_s3_server: S3Server, open_s3_store: OpenS3Store) -> None:
    """Whoever has a deadline is told in time; without one the store's own timeout counts."""
    options = own_s3_server.options(read_timeout=0.3)
    patient = open_s3_store(own_s3_server.options(bucket=options.bucket, read_timeout=60, connect_timeout=60))
    hasty = open_s3_store(options)
    await put(patient, NAME, b"data")
    await put(hasty, NAME, b"data")
    own_s3_server.suspend()
    with deadline_scope(Deadline.after(0.5)), pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(put(patient, NAME, content(20 * MIB)), 20)
    with pytest.raises(DependencyUnavailable, match="in time"):
        await asyncio.wait_for(put(hasty, NAME, content(20 * MIB)), 20)
    own_s3_server.resume()
    await put(patient, NAME, b"newer")
    assert await patient.read(NAME, 0, 10) == b"newer"


@pytest.mark.parametrize("accepts", [True, False], ids=["connects", "does not connect"])
async def test_a_black_hole_keeps_the_deadline(
    accepts: bool, open_s3_store: OpenS3Store, storage_bulkhead: Bulkhead
) -> None:
    """Packets that vanish cost a caller its deadline and not the timeouts, and a thread no more than that."""
    data = memoryview(content(20 * MIB))
    with black_hole(accepts=accepts) as endpoint:
        store = open_s3_store(S3Options(**credentials_at(endpoint), connect_timeout=60.0, read_timeout=60.0))
        for ask in (
            lambda: store.put(NAME, data, crc32c=crc32c(data), token=SESSION),
            lambda: store.read(NAME, 0, 1),
            lambda: store.stat(NAME),
        ):
            with deadline_scope(Deadline.after(0.5)), pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(ask(), 20)
        async with asyncio.timeout(20):
            while storage_bulkhead.running:  # noqa: ASYNC110 -- a bulkhead tells nobody that it ends
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("accepts", [True, False], ids=["connects", "does not connect"])
async def test_a_black_hole_is_a_failure_of_the_store(accepts: bool, open_s3_store: OpenS3Store) -> None:
    """Without a nearer deadline it is the store's own timeout, waited for once: a timeout is not tried again."""
    with black_hole(accepts=accepts) as endpoint:
        store = open_s3_store(S3Options(**credentials_at(endpoint), connect_timeout=1.0, read_timeout=1.0))
        with pytest.raises(DependencyUnavailable, match="in time"):
            await store.stat(NAME)  # makes the client, which takes its time
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable, match="in time"):
            await store.stat(NAME)
        assert 0.9 < time.monotonic() - began < 1.9
