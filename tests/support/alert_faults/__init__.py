"""Servers that are well until something is done to them, for as long as it goes on: what each alert is about.

Each fault stands in a scrape job of its own, so that an alert says whose it is. They are those of the runbook: a
store that is killed, a lock that is held, clients that send nothing, a process that dies at each commit.
"""

from __future__ import annotations

from tests.support.alert_faults.callers import callers_that_fail_seldom, limits_that_are_reached
from tests.support.alert_faults.dependencies import disk_that_fills, store_that_is_lost, tables_that_are_locked
from tests.support.alert_faults.ground import PAUSE, Fault, GoWrong, Ground
from tests.support.alert_faults.loops import loop_that_hangs, loop_that_is_late
from tests.support.alert_faults.upgrade import upgrade_that_goes_wrong

__all__ = ["FAULTS", "PAUSE", "Fault", "GoWrong", "Ground"]

FAULTS = {
    "lost": Fault(
        store_that_is_lost,
        frozenset({"LedgerLiftBreakerOpen", "LedgerLiftCallsFailFast", "LedgerLiftOutboxNotEmptied"}),
    ),
    "locked": Fault(tables_that_are_locked, frozenset({"LedgerLiftPoolExhausted", "LedgerLiftJanitorNotRunning"})),
    "disk": Fault(disk_that_fills, frozenset({"LedgerLiftDiskFilling"})),
    "callers": Fault(callers_that_fail_seldom, frozenset({"LedgerLiftCallsFailSlowly", "LedgerLiftUploadsStall"})),
    "limits": Fault(
        limits_that_are_reached,
        frozenset({"LedgerLiftUploadBudgetExhausted", "LedgerLiftCallsRefused", "LedgerLiftObjectsMissing"}),
    ),
    "late": Fault(loop_that_is_late, frozenset({"LedgerLiftEventLoopLate"})),
    "hangs": Fault(loop_that_hangs, frozenset({"LedgerLiftEventLoopHangs"})),
    "upgrade": Fault(
        upgrade_that_goes_wrong,
        frozenset(
            {"LedgerLiftRestarts", "LedgerLiftCommitsLeft", "LedgerLiftDescriptorsRunOut", "LedgerLiftVersionsDiffer"}
        ),
        replicas=2,
    ),
}
"""By the scrape job."""
