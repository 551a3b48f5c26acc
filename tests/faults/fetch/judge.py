"""What is really there when all is over, against what the callers were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledgerlift_server.domain.models import EventFilter, EventType

from tests.faults.fetch.caller import Caller
from tests.support.invariants import OWNER, clean_up, everything, opened
from tests.support.stores import Stores


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wrong` has a sentence for everything that is not as somebody was told, or that is there twice.

    `done_though_failed` counts, by caller, what was done although its caller was told that it failed: no defect, but
    the reason why a failed call cannot simply be made again.
    """

    wrong: list[str]
    done_though_failed: Counter[str]


async def judge(stores: Stores, callers: Sequence[Caller]) -> Verdict:
    """Read both stores whole. No server may run."""
    await clean_up(stores)
    found = await everything(stores)
    documents = Counter((document.content_type, document.sha256) for document in found.documents)
    changes = await _status_changes(stores)
    known = {(caller.content_type, digest) for caller in callers for digest in caller.uploaded}
    wrong = [*found.problems(), *(sentence for caller in callers for sentence in caller.wrong)]
    wrong += [f"a document of {digest} that nobody uploaded" for _, digest in documents.keys() - known]
    undone: Counter[str] = Counter()
    for caller in callers:
        wrong += _miscounted(caller, documents, changes)
        failed = [documents[caller.content_type, digest] for digest, told in caller.uploaded.items() if not told]
        failed += [changes[change] for change, told in caller.changed.items() if not told]
        undone[caller.name] = sum(failed)
    return Verdict(wrong, undone)


async def _status_changes(stores: Stores) -> Counter[tuple[str, str]]:
    """How often each document came to each status, by the audit trail."""
    async with opened(stores) as core:
        events = await core.documents.list_events(OWNER, EventFilter(), page_size=100_000, page_token="")
    return Counter(
        (str(event.document_id), str(event.to_status))
        for event in events.items
        if event.type == EventType.STATUS_CHANGED
    )


def _miscounted(
    caller: Caller, documents: Counter[tuple[str, str]], changes: Counter[tuple[str, str]]
) -> Iterator[str]:
    """Everything that was acknowledged is there once; nothing else is there more than once."""
    for digest, acknowledged in caller.uploaded.items():
        count = documents[caller.content_type, digest]
        if not acknowledged <= count <= 1:
            yield f"{caller.name}: {count} documents of {digest}, acknowledged: {acknowledged}"
    for change, acknowledged in caller.changed.items():
        if not acknowledged <= changes[change] <= 1:
            yield f"{caller.name}: {change} happened {changes[change]} times, acknowledged: {acknowledged}"
