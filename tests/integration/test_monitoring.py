"""A real Prometheus reads a real server: rules evaluate, and the dashboard is answered. Alerts: test_alerts.py."""

from __future__ import annotations

import re
from pathlib import Path

from ledgerlift_client import LedgerLiftClient

from tests.repo.monitoring import RULES, queries, rules
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.server_thread import server_in_thread

NOTHING_TO_SHOW = {
    "Failed calls by code",  # none has failed
    "Lag of the event loop (p99)",  # but for turns that are late now
    "Calls to dependencies",  # but for those that failed
    "Actions",  # nothing was to be cleaned up
    "Connections to PostgreSQL",  # it is SQLite
}
"""Panels with queries that are empty while all is well."""


def test_rules_evaluate_and_every_query_of_the_dashboard_is_answered(tmp_path: Path) -> None:
    """Over a server with a little traffic: no alert fires, panels show something, and legends have their labels."""
    settings = {"metrics_address": "127.0.0.1:0", "janitor_interval": 0.5}
    with server_in_thread(tmp_path / "server", **settings) as server:
        assert server.metrics_address is not None
        targets = {"ledgerlift": [server.metrics_address]}
        with running_prometheus(tmp_path / "prometheus", targets=targets, rules=[RULES]) as prometheus:
            # Scraped before: what is there at the first scrape has not grown.
            prometheus.until('up{job="ledgerlift"} == 1')
            use(server.address, tmp_path)
            prometheus.until('rate(ledgerlift_rpc_calls_total{method="ListDocuments"}[1m]) > 0')
            prometheus.until("job:ledgerlift_rpc_calls:rate5m > 0")
            hold_rules(prometheus)
            hold_dashboard(prometheus)


def use(address: str, folder: Path) -> None:
    """One call of each kind."""
    (file := folder / "a.txt").write_bytes(b"text" * 1000)
    with LedgerLiftClient(address) as client:
        stored = client.upload(file).document
        client.download(stored.document_id, folder / "copy")
        client.upload(file)
        list(client.list())


def hold_rules(prometheus: Prometheus) -> None:
    """All are read, none failed, no alert fires, and that nothing failed is told as 0 and not by silence."""
    found = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(rules())
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] not in ("ok", "unknown")] == []
    assert prometheus.query('ALERTS{alertstate="firing"}') == []
    (share,) = prometheus.until("job:ledgerlift_rpc_failures:rate5m / job:ledgerlift_rpc_calls:rate5m")
    assert float(share["value"][1]) == 0


def hold_dashboard(prometheus: Prometheus) -> None:
    """Series of a query can be told apart by its legend. A scrape that was late on a busy machine is waited out."""
    for panel, query, legend in queries():
        title = panel["title"]
        series = prometheus.query(query) if title in NOTHING_TO_SHOW else prometheus.until(query)
        for one in series:
            missing = set(re.findall(r"\{\{(\w+)\}\}", legend)) - set(one["metric"])
            assert not missing, f"{title}: {legend} has no {missing}"
        assert len(series) <= 1 or "{{" in legend, f"{title}: series cannot be told apart"
