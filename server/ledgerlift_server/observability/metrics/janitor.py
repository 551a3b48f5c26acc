"""What the janitor of this process has done. Only the replica with the lease does anything: sum over replicas."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.domain.janitor_totals import JanitorTotals

ACTIONS = {
    "drive_commit": ("commits_driven", "commits_failed"),
    "remove_object": ("removed", "removals_failed"),
    "expire_upload": ("uploads_expired", None),
    "forget_session": ("sessions_forgotten", None),
}
"""By the label `action`: the numbers of the janitor's report that say how often it was done, and how often not."""


class JanitorCollector(Collector):
    """Reads the totals at each scrape."""

    def __init__(self, totals: JanitorTotals) -> None:
        """`totals` are those of this process's janitor."""
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        passes = CounterMetricFamily(
            "ledgerlift_janitor_passes", "Passes of the janitor, by how they ended.", labels=["outcome"]
        )
        for outcome, count in self._totals.passes.items():
            passes.add_metric([outcome.value], count)
        yield passes
        actions = CounterMetricFamily(
            "ledgerlift_janitor_actions", "What the janitor did.", labels=["action", "outcome"]
        )
        for action, (done, failed) in ACTIONS.items():
            actions.add_metric([action, "done"], self._totals.actions[done])
            if failed is not None:
                actions.add_metric([action, "failed"], self._totals.actions[failed])
        actions.add_metric(["abort_orphan_multipart", "done"], self._totals.orphan_multiparts)
        actions.add_metric(["queue_orphan_object", "done"], self._totals.orphan_objects)
        yield actions
        missing = GaugeMetricFamily(
            "ledgerlift_drift_missing_objects",
            "Documents whose object is missing or of another size, by the last whole comparison of this process.",
            labels=[],
        )
        if self._totals.missing_objects is not None:
            missing.add_metric([], self._totals.missing_objects)
        yield missing
        waiting = GaugeMetricFamily(
            "ledgerlift_outbox_waiting_removals",
            "Objects and multiparts that wait to be removed from the store.",
            labels=[],
        )
        if self._totals.waiting_removals is not None:
            waiting.add_metric([], self._totals.waiting_removals)
        yield waiting
        yield CounterMetricFamily(
            "ledgerlift_drift_comparisons",
            "Comparisons of store and database that came to their end.",
            self._totals.comparisons,
        )
