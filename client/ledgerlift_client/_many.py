"""Several uploads at a time, on threads of their own."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from ledgerlift_client._cancel import CancelToken
from ledgerlift_client._models import UploadResult
from ledgerlift_client._sources import SourceLike
from ledgerlift_client._upload_plan import UploadItem, UploadOutcome


def upload_each(
    upload: Callable[[UploadItem, CancelToken], UploadResult],
    sources: Iterable[SourceLike | UploadItem],
    concurrency: int,
    cancel: CancelToken | None,
) -> list[UploadOutcome]:
    """What becomes of each source, in their order. See `LedgerLiftClient.upload_many`."""
    items = as_items(sources, concurrency)
    token = cancel or CancelToken()

    def outcome(item: UploadItem) -> UploadOutcome:
        try:
            return UploadOutcome(item, result=upload(item, token))
        except Exception as error:
            return UploadOutcome(item, error=error)

    with ThreadPoolExecutor(min(concurrency, max(1, len(items))), thread_name_prefix="ledgerlift-upload") as threads:
        # Each in a context as the caller's: what its program follows there is followed here.
        futures: list[Future[UploadOutcome]] = [threads.submit(copy_context().run, outcome, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            token.cancel()  # those that run end at once, those that wait end when their turn comes
            raise


def as_items(sources: Iterable[SourceLike | AsyncIterable[bytes] | UploadItem], concurrency: int) -> list[UploadItem]:
    """Each source as an item. TypeError for one path or one file, which is an iterable of something else."""
    if concurrency < 1:
        raise ValueError(f"concurrency must be 1 or more, not {concurrency}")
    if isinstance(sources, str | bytes | bytearray | memoryview) or hasattr(sources, "read"):
        raise TypeError(f"upload_many takes a list of sources, not one {type(sources).__name__}")
    return [one if isinstance(one, UploadItem) else UploadItem(one) for one in sources]
