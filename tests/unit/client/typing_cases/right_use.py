"""Uses the client as its callers do. Nobody runs it: a strict mypy accepts all of it, and knows every type."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

from ledgerlift_client import (
    AsyncLedgerLiftClient,
    BreakerState,
    CancelToken,
    CircuitBreaker,
    CircuitBreakerStatus,
    ClientOptions,
    Document,
    DocumentStats,
    DuplicateFound,
    DuplicatePolicy,
    Event,
    ExistingDigest,
    Failed,
    Finished,
    HealthReport,
    LedgerLiftClient,
    Limits,
    ProcessingStatus,
    Progress,
    ProgressMade,
    Resumed,
    Retrying,
    Started,
    StorageStats,
    TransferEvent,
    Upload,
    UploadItem,
    UploadOutcome,
    UploadResult,
    UploadState,
    errors,
    helpers,
)


def words(event: TransferEvent) -> str:
    """Every event is known by its type; a `match` over all of them is complete."""
    match event:
        case Started(name, total, request_id):
            assert_type(total, int | None)
            return name + request_id
        case ProgressMade(progress):
            return str(progress.remaining)
        case Retrying(error, seconds, attempts):
            return f"{error.reason} {seconds} {attempts}"
        case Resumed(offset, upload_id):
            return f"{offset} {upload_id}"
        case DuplicateFound(document):
            return document.document_id
        case Finished(result):
            assert_type(result, UploadResult | Document)
            return str(result)
        case Failed(failure):
            assert_type(failure, BaseException)
            return str(failure)


def pieces() -> Iterator[bytes]:
    """A source of unknown length."""
    yield b"data"


def show(now: Progress) -> None:
    """What `progress` wants."""
    assert_type(now.fraction, float | None)


def transfers(client: LedgerLiftClient, token: CancelToken) -> None:
    """Everything that can be a source or a destination."""
    told: list[str] = []
    client.upload("a.pdf", on_event=lambda event: told.append(words(event)), progress=show, cancel=token)
    client.upload(Path("a.pdf"))
    client.upload(bytearray(b"data"), filename="a.pdf")
    client.upload(io.BytesIO(b"data"), filename="a.pdf")
    client.upload(pieces(), filename="a.pdf")
    client.upload([b"a", b"b"], filename="a.pdf")
    result = client.upload(
        b"data",
        filename="a.txt",
        content_type="text/plain",
        key="a",
        metadata={"a": "b"},
        duplicate_policy=DuplicatePolicy.REJECT,
        dedupe="check",
        state_file=Path("a.state"),
        timeout=5,
    )
    assert_type(result, UploadResult)
    assert_type(result.document.create_time, datetime)
    assert_type(result.document.status, ProcessingStatus)
    assert_type(result.upload_id, str | None)
    outcomes = client.upload_many([UploadItem("a.pdf", key="a"), Path("b.pdf"), b"c"], concurrency=2)
    assert_type(outcomes, list[UploadOutcome])
    assert_type(outcomes[0].result, UploadResult | None)
    assert_type(client.resume("id", "a.pdf"), UploadResult)
    assert_type(client.download("id", "a.pdf", offset=1, length=2), Document)
    client.download("id", io.BytesIO())
    assert_type(next(client.download_chunks("id", length=5)), bytes)


def looking(client: LedgerLiftClient) -> None:
    """What is there, and what happened."""
    assert_type(client.get("id"), Document)
    assert_type(list(client.list(status=ProcessingStatus.FAILED, created_after=datetime.now(UTC))), list[Document])
    assert_type(client.update_status("id", ProcessingStatus.FAILED, error_message="torn"), Document)
    assert_type(list(client.list_uploads(state=UploadState.ACTIVE)), list[Upload])
    assert_type(client.cancel_upload("id"), Upload)
    assert_type(next(client.watch_upload("id")), Upload)
    assert_type(next(client.watch_events(cursor="c")), Event)
    assert_type(next(client.events("id")).to_status, ProcessingStatus | None)
    assert_type(client.record_event("id", "seen", detail={"by": "me"}), Event)
    assert_type(client.check_digests(["ab"]), dict[str, ExistingDigest])
    assert_type(client.limits(), Limits)
    assert_type(client.stats(), DocumentStats)


def operating(client: LedgerLiftClient) -> None:
    """The service itself."""
    assert_type(client.health(), HealthReport)
    assert_type(client.health().database.response_time, timedelta | None)
    assert_type(client.circuit_breakers(), tuple[CircuitBreaker, ...])
    assert_type(client.reset_circuit_breaker("storage").state, BreakerState)
    assert_type(client.storage_stats(), StorageStats)
    assert_type(client.circuit_breaker_status(), CircuitBreakerStatus)


async def waiting() -> None:
    """The same on a loop."""
    async with AsyncLedgerLiftClient("localhost:1") as client:
        assert_type(await client.upload("a.pdf"), UploadResult)
        assert_type(await client.upload_many(["a.pdf"]), list[UploadOutcome])
        assert_type([found async for found in client.list()], list[Document])
        assert_type(await anext(client.watch_events()), Event)
        assert_type(await client.health(), HealthReport)


def main() -> None:
    """How it is made, and what it raises."""
    assert_type(LedgerLiftClient.from_env(os.environ), LedgerLiftClient)
    options = ClientOptions(call_timeout=5, segment_size=1 << 20)
    with LedgerLiftClient("localhost:1", options=options, metadata={"x-tenant": "a"}) as client:
        try:
            transfers(client, CancelToken())
            looking(client)
            operating(client)
        except (errors.KeyTaken, errors.DuplicateDocument) as error:
            assert_type(error.document_id, str | None)
        except errors.TryLater as error:
            assert_type(error.retry_after, float | None)
        except errors.LedgerLiftError as error:
            assert_type(error.violations, tuple[errors.FieldViolation, ...])
    facts = helpers.validate_file("a.pdf", client.limits())
    assert_type(facts.size, int)
    assert_type(helpers.sha256_file("a.pdf"), str)
