"""What the suites of commits begin with: a server that dies at a step, and what it leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ledgerlift_server.domain.upload_models import CommitPlan, Receipt, UploadSession, UploadState

from tests.support.domain_objects import OWNER, spec
from tests.support.upload_rig import (
    PART,
    UploadRig,
    digest,
    stream,
)

IN_PARTS = 3 * PART + 5
"""Bytes of a document that is completed."""


def crashing(at: str) -> Any:
    """A checkpoint that ends the process at a step."""

    def checkpoint(step: str) -> None:
        if step == at:
            raise asyncio.CancelledError(f"crashed at {at}")

    return checkpoint


async def left_committing(rig: UploadRig, data: bytes, **declared: Any) -> UploadSession:
    """A session that a server left right after BEGIN COMMIT: of a small document, one of an earlier version."""
    small = len(data) < PART
    replica = rig.replica(checkpoint=crashing("sealed" if small else "committing"))
    with pytest.raises(asyncio.CancelledError):
        await replica.run(*stream(data, to=spec(**declared)))
    session = await rig.ledger.get(OWNER, replica.announced[0].upload_id)
    if small:
        sha256 = digest(data)
        plan = CommitPlan(len(data), sha256, session.put_name(1), True, (), Receipt(len(data), 0, 1, sha256), None)
        await rig.ledger.begin_commit(session.upload_id, session.epoch, 0, plan)
        session = await rig.ledger.get(OWNER, session.upload_id)
    assert session.state is UploadState.COMMITTING
    return session
