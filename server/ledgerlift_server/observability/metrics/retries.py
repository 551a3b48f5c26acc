"""Further attempts, by the layer that makes them. One failure is tried again by one layer only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.resilience.retry import RetryBudget


class RetryCollector(Collector):
    """Reads the budgets at each scrape."""

    def __init__(self, budgets: Mapping[str, RetryBudget]) -> None:
        """`budgets` by the value of the label `layer`."""
        self._budgets = dict(budgets)

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        made = CounterMetricFamily(
            "ledgerlift_retries", "Further attempts that the budget allowed.", labels=["layer"]
        )
        denied = CounterMetricFamily(
            "ledgerlift_retries_denied",
            "Further attempts that were not made: the budget was spent.",
            labels=["layer"],
        )
        tokens = GaugeMetricFamily(
            "ledgerlift_retry_budget_tokens", "Further attempts that the budget still has.", labels=["layer"]
        )
        for layer, budget in self._budgets.items():
            made.add_metric([layer], budget.taken)
            denied.add_metric([layer], budget.denied)
            tokens.add_metric([layer], budget.tokens)
        yield from (made, denied, tokens)
