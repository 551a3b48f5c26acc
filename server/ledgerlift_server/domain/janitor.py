"""Cleans up what crashes, cancellations and expiry leave behind (DESIGN section 4 rule 9).

One replica at a time does it, under a lease of the database. Every step is idempotent and small, so a
janitor that loses its lease in the middle does no harm:

    every `interval`         commits that nobody drives ─> driven on
                             expired sessions ─> EXPIRED, leftovers to the outbox
                             ended sessions ─> forgotten
    then, and when woken     outbox ─> emptied
    every `drift_interval`   store and database compared, see `drift.py`

Removals of the outbox take the object of that name with them, so nothing may be queued there whose name
could be a living document's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime

from ledgerlift_server.domain.commit import Committer
from ledgerlift_server.domain.drift import DriftFinder, DriftReport
from ledgerlift_server.domain.janitor_totals import JanitorTotals, PassEnd
from ledgerlift_server.domain.ledger_port import Maintenance
from ledgerlift_server.domain.steps import Checkpoint, Step, no_checkpoint
from ledgerlift_server.domain.store_port import NoSuchMultipart, ObjectStore
from ledgerlift_server.domain.upload_models import Removal, UploadSession
from ledgerlift_server.errors import CircuitOpen, LedgerLiftError
from ledgerlift_server.resilience.deadline import Clock

logger = logging.getLogger(__name__)

LEASE = "janitor"
BATCH = 200
"""Rows or objects looked at in one step."""
REMOVALS_AT_ONCE = 8
"""Removals under way at the same time."""
COUNTED_REMOVALS = 10_000
"""Removals that wait are counted up to here: to count more takes longer and says no more."""
MAX_RETRY_AFTER = 3600.0
"""Seconds between two attempts to remove something, at the most."""
MAX_DOUBLINGS = 12
"""Of the second that the first retry waits; more would not change anything, and overflow in the end."""


@dataclass(frozen=True, slots=True)
class JanitorOptions:
    """Times of the janitor, in seconds."""

    interval: float = 30.0
    """Between two passes, unless something is to be removed at once."""
    outbox_pause: float = 1.0
    """Between two passes over the outbox alone, however often it is woken."""
    drift_interval: float = 6 * 3600.0
    """Between two comparisons of store and database; each looks at every object once."""
    lease: float = 120.0
    """How long the lease lasts without being renewed."""
    commit_idle: float = 60.0
    """A COMMITTING session that has not changed for so long is driven by the janitor."""
    keep_ended: float = 7 * 24 * 3600.0
    """How long ended sessions, and with them their request ids, are kept."""


@dataclass(slots=True)
class JanitorReport:
    """What one pass did. Each number is a metric.

    `drift` is None where store and database were not compared, `waiting_removals` where they were not counted.
    """

    commits_driven: int = 0
    commits_failed: int = 0
    uploads_expired: int = 0
    removed: int = 0
    removals_failed: int = 0
    sessions_forgotten: int = 0
    waiting_removals: int | None = None
    drift: DriftReport | None = None

    def counts(self) -> dict[str, int]:
        """How often each thing was done, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("drift", "waiting_removals")}

    def facts(self) -> dict[str, int]:
        """What was done, by name, for the log; empty when nothing was."""
        return {name: count for name, count in self.counts().items() if count}


class Janitor:
    """Passes over the ledger and the store."""

    def __init__(
        self,
        maintenance: Maintenance,
        store: ObjectStore,
        committer: Committer,
        drift: DriftFinder,
        options: JanitorOptions,
        *,
        holder: str,
        clock: Clock = time.monotonic,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """`holder` names this process in the lease."""
        self._maintenance = maintenance
        self._store = store
        self._committer = committer
        self._drift = drift
        self._options = options
        self._holder = holder
        self._clock = clock
        self._checkpoint = checkpoint
        self._wake = asyncio.Event()
        self._next_full = self._next_drift = clock()
        self.totals = JanitorTotals(JanitorReport().counts())

    def wake(self) -> None:
        """Something is to be removed: make a pass now."""
        self._wake.set()

    async def run(self) -> None:
        """Pass after pass until cancelled; a pass that fails is made again at the next interval."""
        while True:
            now = self._clock()
            full = now >= self._next_full
            if full:  # by the clock, or a server that is woken all the time would never do more than remove
                self._next_full = now + self._options.interval
            try:
                await self.run_once(full=full, drift=full and now >= self._next_drift)
            except LedgerLiftError as error:
                logger.warning("janitor_pass_failed", extra={"reason": error.reason})
            await asyncio.sleep(self._options.outbox_pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._next_full - self._clock())):
                    await self._wake.wait()

    async def run_once(self, *, full: bool = True, drift: bool = True) -> JanitorReport | None:
        """One pass; None when another replica holds the lease.

        `full=False` empties the outbox only; `drift` also compares the store with the database. A step that
        fails does not keep the others from being made; the first failure is raised at the end.
        """
        self._wake.clear()
        report, end = JanitorReport(), PassEnd.FAILED
        try:
            held = await self._pass(report, full, drift)
            end = PassEnd.DONE if held else PassEnd.NOT_HOLDER
        finally:
            self.totals.add(end, report.counts(), report.drift, report.waiting_removals)
        return report if held else None

    async def _pass(self, report: JanitorReport, full: bool, drift: bool) -> bool:
        if not await self._renew():
            return False
        self._checkpoint(Step.LEASE_TAKEN)
        steps: list[Callable[[JanitorReport], Awaitable[bool]]] = [self._empty_outbox]
        if full:
            steps = [self._drive_commits, self._expire, self._forget, *steps]
        if drift:
            steps += [self._find_drift, self._empty_outbox]
        if full:
            steps.append(self._count_outbox)
        failures: list[LedgerLiftError] = []
        for step in steps:
            try:
                if not await step(report):
                    break
            except LedgerLiftError as error:
                failures.append(error)
        if report.facts():
            logger.info("janitor_pass", extra=report.facts())
        if failures:
            raise failures[0]
        return True

    async def close(self) -> None:
        """Give the lease back, so that another replica need not wait for it to run out."""
        try:
            await self._maintenance.release_lease(LEASE, self._holder)
        except LedgerLiftError as error:
            logger.warning("janitor_lease_not_released", extra={"reason": error.reason})

    async def lease_holder(self) -> tuple[str, datetime] | None:
        """Who makes the passes at the moment, `host:pid:number`, and until when at least; None: nobody."""
        return await self._maintenance.lease_holder(LEASE)

    async def _renew(self) -> bool:
        return await self._maintenance.acquire_lease(LEASE, self._holder, self._options.lease)

    # Steps. Each is False where the lease was lost meanwhile.

    async def _drive_commits(self, report: JanitorReport) -> bool:
        for session in await self._maintenance.committing(idle=self._options.commit_idle, limit=BATCH):
            if await self._drive(session):
                self._checkpoint(Step.COMMIT_DRIVEN)
                report.commits_driven += 1
            else:
                report.commits_failed += 1
            if not await self._renew():
                return False
        return True

    async def _drive(self, session: UploadSession) -> bool:
        driving = self._committer.drive(session)
        while not driving.done():  # reading a large object back takes longer than a lease
            await asyncio.wait({driving}, timeout=self._options.lease / 3)
            with suppress(LedgerLiftError):
                await self._renew()
        try:
            driving.result()
        except CircuitOpen:
            raise  # so are the others: one sentence about it, at the end of the pass
        except LedgerLiftError as error:
            logger.warning("commit_not_driven", extra={"upload_id": session.upload_id, "reason": error.reason})
            return False
        except Exception:  # a defect of one session must not keep the others waiting for ever
            logger.exception("commit_not_driven", extra={"upload_id": session.upload_id})
            return False
        return True

    async def _expire(self, report: JanitorReport) -> bool:
        while True:
            count = await self._maintenance.expire_due(limit=BATCH)
            if count:
                self._checkpoint(Step.SESSIONS_EXPIRED)
            report.uploads_expired += count
            if count < BATCH:
                return True
            if not await self._renew():
                return False

    async def _forget(self, report: JanitorReport) -> bool:
        while True:
            count = await self._maintenance.forget_ended(older_than=self._options.keep_ended, limit=BATCH)
            if count:
                self._checkpoint(Step.SESSIONS_FORGOTTEN)
            report.sessions_forgotten += count
            if count < BATCH:
                return True
            if not await self._renew():
                return False

    async def _find_drift(self, report: JanitorReport) -> bool:
        self._next_drift = self._clock() + self._options.drift_interval
        report.drift = DriftReport()
        await self._drift.look(self._renew, report.drift)
        return report.drift.complete

    async def _empty_outbox(self, report: JanitorReport) -> bool:
        while removals := await self._maintenance.due_removals(limit=BATCH):
            for first in range(0, len(removals), REMOVALS_AT_ONCE):
                some = removals[first : first + REMOVALS_AT_ONCE]
                ended = await asyncio.gather(*map(self._remove, some), return_exceptions=True)
                if failures := [failure for failure in ended if isinstance(failure, BaseException)]:
                    raise failures[0]
                removed = sum(outcome is True for outcome in ended)
                report.removed += removed
                report.removals_failed += len(some) - removed
                if not removed:
                    return True  # it is the store that fails, not an object: the next pass tries again
            if not await self._renew():
                return False
        return True

    async def _count_outbox(self, report: JanitorReport) -> bool:
        report.waiting_removals = await self._maintenance.count_removals(limit=COUNTED_REMOVALS)
        return True

    async def _remove(self, removal: Removal) -> bool:
        try:
            if removal.multipart_id is not None:
                await self._abort(removal.object_name, removal.multipart_id)
                self._checkpoint(Step.MULTIPART_ABORTED)
            await self._store.delete(removal.object_name)
            self._checkpoint(Step.OBJECT_REMOVED)
        except CircuitOpen:
            raise  # the store was not asked: the removal keeps its turn
        except LedgerLiftError as error:
            logger.warning("removal_failed", extra={"object": removal.object_name, "reason": error.reason})
        except Exception:  # a defect with one name must not keep the others waiting for ever
            logger.exception("removal_failed", extra={"object": removal.object_name})
        else:
            await self._maintenance.removal_done(removal.removal_id)
            self._checkpoint(Step.REMOVAL_DONE)
            return True
        retry_after = min(MAX_RETRY_AFTER, 2.0 ** min(removal.attempts, MAX_DOUBLINGS))
        await self._maintenance.removal_failed(removal.removal_id, retry_after=retry_after)
        return False

    async def _abort(self, name: str, multipart_id: str) -> None:
        """Until the store says that it is gone: a part on its way during an abort may survive it (S3)."""
        with suppress(NoSuchMultipart):
            for _ in range(3):
                await self._store.abort_multipart(name, multipart_id)
