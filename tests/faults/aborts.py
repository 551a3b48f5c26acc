"""Many uploads, each left in the middle; then what the stores hold; then each of them resumed.

Between the two there must be no document and no visible object. The server is drained before the stores are
read, so that a commit which somebody's leaving had begun would be seen.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ledgerlift_client import LedgerLiftClient, LedgerLiftError, UploadResult
from ledgerlift_server.domain.upload_models import UploadState

from tests.faults import leaving_client
from tests.faults.leaving_client import PATIENCE, SIGKILL, Left, Plan, leave
from tests.support.invariants import Found, clean_up, everything
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME
from tests.support.server import ServerProcess
from tests.support.stores import Stores

# Each killed client is forked from one process that has imported everything and never used gRPC.
_killable = multiprocessing.get_context("forkserver")
_killable.set_forkserver_preload([leaving_client.__name__])


@dataclass(slots=True)
class Tally:
    """What became of the uploads that were left in one way. `seen` are the statuses that the clients saw.

    `documents` and `objects` are those found while nobody had finished; `durable` counts the uploads of which some
    bytes were, `right` those that were resumed and ended in the right digest.
    """

    trials: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    objects: int = 0
    durable: int = 0
    right: int = 0


@dataclass(slots=True)
class Outcome:
    """Tallies by way of leaving, and a sentence for everything that is not as it has to be."""

    tallies: dict[str, Tally]
    problems: list[str] = field(default_factory=list)


async def leave_and_resume(stores: Stores, plans: Sequence[Plan]) -> Outcome:
    """Carry the plans out, one after the other, on stores that are empty."""
    outcome = Outcome({plan.way: Tally() for plan in plans})
    async with stores.server() as server:
        for plan in plans:
            tally = outcome.tallies[plan.way]
            tally.trials += 1
            tally.seen[await _leave(server, plan)] += 1
        assert await server.stop() == 0, server.output
        left = await everything(stores)
        _look_between(left, plans, outcome)

        await server.restart()
        with LedgerLiftClient(server.address) as client:
            for plan in plans:
                wrong = await asyncio.to_thread(_resume, client, plan, left)
                outcome.problems += wrong
                outcome.tallies[plan.way].right += not wrong
        assert await server.stop() == 0, server.output
    await clean_up(stores)
    outcome.problems += _wrong_in_the_end(await everything(stores), plans)
    return outcome


async def _leave(server: ServerProcess, plan: Plan) -> str:
    """The status that the client saw, once the server is done with the call as well."""
    if plan.way == SIGKILL:
        client = _killable.Process(target=leave, args=(server.address, plan))
        client.start()
        await asyncio.to_thread(client.join, PATIENCE)
        assert client.exitcode == -signal.SIGKILL, (plan, client.exitcode)
        client.close()
        left = Left("killed", begun=True)
    else:
        left = await asyncio.to_thread(leave, server.address, plan)
    if left.begun:  # else it may never have heard of the call
        await server.until_logged("call_ended", request_id=plan.request_id)
    return left.code


def _look_between(found: Found, plans: Sequence[Plan], outcome: Outcome) -> None:
    """Nobody has finished anything yet."""
    for plan in plans:
        session = found.session_of(plan.request_id)
        if session is None:
            continue
        tally = outcome.tallies[plan.way]
        tally.durable += session.persisted_size > 0
        tally.documents += session.document_id is not None
        tally.objects += any(name.startswith(session.object_name) for name in found.objects)
        if session.state is not UploadState.ACTIVE:
            outcome.problems.append(f"{session.state} though it was left: {plan}")
    outcome.problems += [f"a document of an upload that was left: {document}" for document in found.documents]
    outcome.problems += [f"an object of an upload that was left: {name}" for name in sorted(found.objects)]
    outcome.problems += found.problems()


def _resume(client: LedgerLiftClient, plan: Plan, left: Found) -> list[str]:
    """Upload the document under the same request id. What was wrong with the result."""
    try:
        result = client.upload(plan.data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=plan.request_id)
    except LedgerLiftError as error:
        return [f"not to be resumed, {error!r}: {plan}"]
    return list(_wrong_with(result, plan, left))


def _wrong_with(result: UploadResult, plan: Plan, left: Found) -> Iterator[str]:
    if result.document.sha256 != plan.sha256:
        yield f"resumed to a document of {result.document.sha256}: {plan}"
    session = left.session_of(plan.request_id)
    if session is None:
        return
    if session.upload_id != result.upload_id:
        yield f"not resumed, but begun again as {result.upload_id}: {plan}"
    stored = result.receipt.bytes_received - result.receipt.bytes_skipped
    if session.persisted_size + stored != plan.size:
        yield f"{session.persisted_size} bytes were durable and {stored} were stored in addition: {plan}"


def _wrong_in_the_end(found: Found, plans: Sequence[Plan]) -> list[str]:
    problems = found.problems()
    if sorted(document.sha256 for document in found.documents) != sorted(plan.sha256 for plan in plans):
        problems.append(f"{len(plans)} uploads were resumed, there are {len(found.documents)} documents")
    if found.multiparts:
        problems.append(f"{len(found.multiparts)} multipart uploads are left")
    return problems
