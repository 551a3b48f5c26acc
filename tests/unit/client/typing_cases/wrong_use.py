"""Uses the client wrongly, once a line. Nobody runs it: a strict mypy refuses those lines that say why."""

from __future__ import annotations

from ledgerlift_client import AsyncLedgerLiftClient, ClientOptions, LedgerLiftClient, UploadItem, UploadResult, errors

client = LedgerLiftClient("localhost:1")
client.upload(3, filename="a")  # error: arg-type
client.upload(["text"], filename="a")  # error: list-item
client.upload("a", "b")  # error: call-arg misc
client.upload(b"a", filename="a", dedupe="maybe")  # error: arg-type
client.upload(b"a", filename="a", metadata={"a": 1})  # error: dict-item
client.upload(b"a", filename="a", progress=lambda: None)  # error: arg-type misc
client.get(document_id=5)  # error: arg-type
client.get("a").filename = "b"  # error: misc
result: str = client.upload(b"a", filename="a")  # error: assignment
client.upload_many([UploadItem()])  # error: call-arg
client.list(status="FAILED")  # error: arg-type
client.nonsense()  # error: attr-defined
client.health().pool.size  # error: union-attr  # noqa: B018
ClientOptions(call_timeout="soon")  # error: arg-type
LedgerLiftClient("localhost:1", metadata={"a": 1})  # error: dict-item


def outcome(made: UploadResult, error: errors.NotFound) -> str:
    """Nothing is Any: what is not there is not there."""
    error.document_id  # error: attr-defined  # noqa: B018
    return made.document.size  # error: return-value


async def waiting(client: AsyncLedgerLiftClient) -> None:
    """What is not awaited is not there yet."""
    client.upload(b"a", filename="a").document  # error: attr-defined  # noqa: B018
    for _ in client.list():  # error: attr-defined
        pass
