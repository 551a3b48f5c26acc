"""How far the clock of another machine is from ours, and what that does."""

from __future__ import annotations

from ledgerlift_server.doctor.findings import Finding, State

DATABASE_TOLERANCE = 2.0
"""Seconds. Sessions and leases keep the database's time, logs ours: beyond that, one cannot be read by the other."""
STORE_TOLERANCE = 60.0
"""Seconds. Stores refuse what was signed 15 minutes ago or more, and a clock that is off goes on drifting."""
REFUSED = 900.0
"""Seconds, of every store that speaks S3."""


def clock(what: str, ahead: float, *, tolerated: float, refused: float | None = None) -> Finding:
    """`ahead` in seconds is theirs less ours."""
    figure = f"{abs(ahead):.1f} s {'ahead of' if ahead >= 0 else 'behind'} this machine's"
    advice = "let both machines follow the same time servers (NTP)"
    if refused is not None and abs(ahead) >= refused:
        return Finding(what, State.FAIL, figure, advice)
    return Finding(what, State.WARN, figure, advice) if abs(ahead) > tolerated else Finding(what, State.OK, figure)
