"""What a run did not test, at its end: one line for each reason, loud enough not to be taken for success."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the skipped tests by reason: on a machine without PostgreSQL they are hundreds, and the reasons few."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    reasons = Counter(_reason(report) for report in skipped)
    terminalreporter.section(f"{len(skipped)} tests were skipped", yellow=True, bold=True)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:>5}  {reason}", yellow=True)


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
