"""Many uploads, each left in the middle; then what the stores hold; then each of them resumed.

What is asserted between the two: no document, no visible object, every session ACTIVE. The server is drained
before it is looked at, so that a commit that somebody's leaving had begun would be seen.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledgerlift_client import LedgerLiftClient
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
    """What became of the uploads left in one way. `seen` are the statuses that the clients saw."""

    trials: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    with_durable_bytes: int = 0
    resumed: int = 0


async def leave_and_resume(stores: Stores, plans: Sequence[Plan]) -> dict[str, Tally]:
    """Carry the plans out, one after the other, on stores that are empty. Tallies by way."""
    tallies = {plan.way: Tally() for plan in plans}
    async with stores.server() as server:
        for plan in plans:
            tally = tallies[plan.way]
            tally.trials += 1
            tally.seen[await _leave(server, plan)] += 1
        assert await server.stop() == 0, server.output
        left = await everything(stores)
        _check_nothing_committed(left, plans)

        await server.restart()
        with LedgerLiftClient(server.address) as client:
            for plan in plans:
                durable = await asyncio.to_thread(_resume, client, plan, left)
                tallies[plan.way].resumed += 1
                tallies[plan.way].with_durable_bytes += durable > 0
        assert await server.stop() == 0, server.output
    await clean_up(stores)
    _check_all_committed(await everything(stores), plans)
    return tallies


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


def _check_nothing_committed(found: Found, plans: Sequence[Plan]) -> None:
    assert found.documents == (), _described(plans)
    assert found.objects == frozenset(), _described(plans)
    assert {session.state for session in found.sessions} <= {UploadState.ACTIVE}, _described(plans)
    assert found.problems() == []


def _resume(client: LedgerLiftClient, plan: Plan, left: Found) -> int:
    """Upload the document under the same request id. The bytes that were durable and are not stored again."""
    result = client.upload(plan.data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=plan.request_id)
    assert (result.document.sha256, result.document.size) == (plan.sha256, plan.size), plan
    assert not result.duplicate, plan
    session = left.session_of(plan.request_id)
    if session is None:
        return 0
    assert result.upload_id == session.upload_id, plan
    assert result.receipt.bytes_skipped == session.persisted_size, plan
    return session.persisted_size


def _check_all_committed(found: Found, plans: Sequence[Plan]) -> None:
    assert sorted(document.sha256 for document in found.documents) == sorted(plan.sha256 for plan in plans)
    assert found.objects == {document.object_name for document in found.documents}
    assert found.multiparts == frozenset()
    assert found.problems() == []


def _described(plans: Sequence[Plan]) -> str:
    return "\n".join(map(str, plans))
