"""The doctor's answer: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ledgerlift_server.doctor.findings import Finding, State, worst


def as_table(findings: Sequence[Finding]) -> str:
    """What, state and figure in columns; what to do on a line of its own, below what it is about."""
    width = max(len(found.what) for found in findings)
    lines = [f"{'WHAT':<{width}}  STATE  FIGURE, AND WHAT TO DO"]
    for found in findings:
        lines.append(f"{found.what:<{width}}  {found.state.value:<5}  {found.figure}")
        if found.advice:
            lines.append(f"{'':<{width}}         -> {found.advice}")
    counts = {state: sum(found.state is state for found in findings) for state in State}
    lines.append(f"{counts[State.FAIL]} failed, {counts[State.WARN]} to look at, {counts[State.OK]} well")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """The same, as one object: `state`, the worst of all, and `findings`."""
    rows = [
        {"what": found.what, "state": found.state.value, "figure": found.figure, "advice": found.advice}
        for found in findings
    ]
    return json.dumps({"state": worst(findings).value, "findings": rows}, indent=2)
