"""What the servers say of themselves, in their logs: no call that is not explained, none over its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.support.server import ServerProcess

SHORT, LATE = 30.0, 3.0
"""Seconds in which a short call is answered, whatever hangs; and what a busy machine may add."""
STREAMS = ("/Upload", "/DownloadDocument", "/WatchUpload", "/WatchEvents")
DEFECTS = ('"exception": ', "Traceback (most recent call last)", "stored_object_missing")
"""In its output: what it did not expect, and the worst that an operator can be told."""
UNEXPLAINED = {"INTERNAL", "UNKNOWN"}


def complaints(server: ServerProcess, frozen: Sequence[float], *, clock_jumps: bool) -> Iterator[str]:
    """`frozen`: seconds for which a server was stopped, each time; it cannot have answered meanwhile."""
    limit = SHORT + LATE + max(frozen, default=0.0)
    for entry in server.log("call_ended"):
        method, seconds = str(entry.get("method", "")), entry["duration_ms"] / 1000
        if entry["code"] in UNEXPLAINED:
            yield f"the server answered {entry}"
        if seconds > limit and not method.endswith(STREAMS):
            yield f"the server took {seconds:.1f} s: {entry}"
    for line in server.output.splitlines():
        if any(word in line for word in DEFECTS):
            yield f"the server says: {line[:2000]}"
