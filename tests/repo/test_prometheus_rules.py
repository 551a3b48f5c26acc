"""deploy/prometheus: rules that Prometheus takes, alerts that are tested and have an entry in the runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repo.monitoring import RULES, UNIT_TESTS, Selector, alerts, queries, rules, selectors
from tests.repo.test_metrics_page import FREE, page
from tests.support.prometheus import promtool
from tests.support.scrape import Scrape, scrape
from tests.support.server import in_process_server
from tests.support.tools import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ENTRY = re.compile(r"^## (LedgerLift\w+)$\n\n\*(\w+)\.\*(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SCRAPED = {"job", "instance", "le"}
"""Labels that a scrape adds, and the bounds of a histogram."""
SUFFIXES = ("_bucket", "_sum", "_count")


def test_prometheus_takes_the_rules() -> None:
    """Its own tool reads them, and has nothing to say about their style."""
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert checked.returncode == 0, checked.stdout


def test_every_alert_does_as_its_unit_tests_say() -> None:
    """Evaluated by promtool over series that are made for them."""
    tested = promtool("test", "rules", UNIT_TESTS)
    assert tested.returncode == 0, tested.stdout


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """None is left without a unit test of either kind."""
    cases = [case for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(alerts())
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == set(alerts())


def test_every_alert_has_a_severity_a_summary_and_an_entry_in_the_runbook() -> None:
    """The entry is the one that its link leads to, begins with the same severity, and says what to do."""
    entries = {name: (severity, text) for name, severity, text in ENTRY.findall(RUNBOOK)}
    assert entries.keys() == alerts().keys()
    for name, rule in alerts().items():
        severity, text = entries[name]
        assert rule["labels"]["severity"] == severity, name
        assert severity in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert "**Look**" in text or "**Do**" in text, name


def test_links_within_the_runbook_lead_somewhere() -> None:
    """To a heading, of this page or of the one that is named."""
    for file, anchor in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", RUNBOOK):
        text = (ROOT / "docs" / file).read_text() if file else RUNBOOK
        headings = {_anchor(line) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        assert anchor in headings, f"{file}#{anchor}"


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_what_the_runbook_tells_to_look_for_is_there() -> None:
    """Events, metrics, fields and steps in code font are those of the server, to the letter."""
    known = set(re.findall(r"\w+", "".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))))
    known |= set(re.findall(r"\w+", "".join(path.read_text() for path in (ROOT / "protos").rglob("*.proto"))))
    known |= set(page())
    foreign = {"pg_stat_activity", "_DOWNLOADS", "_WATCHES", "_QUERIES"}
    words = {word for code in re.findall(r"`([^`\n]+)`", RUNBOOK) for word in re.findall(r"\w*_\w+", code)}
    assert len(words) > 30
    assert {word for word in words - foreign if not {word, word.lower()} & known} == set()


@pytest.fixture
async def told(tmp_path: Path) -> Scrape:
    """A server's metrics, with everything on."""
    async with in_process_server(tmp_path, metrics_address="127.0.0.1:0") as server:
        return await scrape(server.metrics_address)


def asked() -> list[tuple[str, Selector]]:
    """Every metric that a rule or the dashboard asks for, with where."""
    found = [(rule.get("alert") or rule["record"], one) for rule in rules() for one in selectors(rule["expr"])]
    found += [(panel["title"], one) for panel, query, _ in queries() for one in selectors(query)]
    assert len(found) > 100
    return found


def test_every_metric_that_is_asked_for_is_told_by_a_server(told: Scrape) -> None:
    """A misspelt one would be silence, which looks like health."""
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", told.text, re.MULTILINE))
    names = set(types) | {name + end for name, kind in types.items() if kind == "histogram" for end in SUFFIXES}
    names |= {rule["record"] for rule in rules() if "record" in rule} | {"up"}
    assert {(where, one.metric) for where, one in asked() if one.metric not in names} == set()


def test_labels_that_are_asked_for_are_those_of_the_metric_and_so_are_their_values() -> None:
    """Of labels with a few values each value that is named stands in the metric's row of docs/metrics.md."""
    rows: dict[str, Any] = page() | {name + end: row for name, row in page().items() for end in SUFFIXES}
    for where, one in asked():
        row = rows.get(one.metric)
        for label, _, value in one.labels:
            assert row is None or label in row.labels | SCRAPED, f"{where}: {one.metric} has no label {label}"
            if row is not None and label not in FREE | SCRAPED:
                assert f"`{value}`" in row.meaning, f"{where}: {one.metric} has no {label}={value}"
