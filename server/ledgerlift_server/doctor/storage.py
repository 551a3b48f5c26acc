"""The store: reachable with these credentials, what it honours of what we rely on, and its clock."""

from __future__ import annotations

from collections.abc import Iterable

from ledgerlift_server.adapters.s3 import StoreReport, inspect_store
from ledgerlift_server.core import s3_options
from ledgerlift_server.doctor.clocks import REFUSED, STORE_TOLERANCE, clock
from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.errors import DependencyUnavailable
from ledgerlift_server.settings import Settings

ADVICE = "check S3_ENDPOINT, S3_BUCKET and the AWS_* variables, that the store runs, and the network between"


def look_at_store(settings: Settings, *, limit: float) -> Iterable[Finding]:
    """`limit` in seconds is for all of it. Files are looked at with the disk."""
    if settings.s3_bucket is None:
        yield Finding("store", State.OK, "files in DATA_DIR")
        return
    where = f"bucket {settings.s3_bucket} at {settings.s3_endpoint or 'AWS'}"
    try:
        facts = inspect_store(s3_options(settings, settings.s3_bucket), limit=limit)
    except DependencyUnavailable as failed:
        yield Finding("store", State.FAIL, f"{where}: {failed.message}", ADVICE)
        return
    if facts is None:
        yield Finding("store", State.OK, f"{where} is not there yet; it is made at start (S3_CREATE_BUCKET)")
        return
    yield Finding("store", State.OK, f"{where}, answers in {facts.round_trip * 1000:.1f} ms, credentials accepted")
    yield _conformance(facts.report)
    if facts.clock_ahead is not None:
        yield clock("store clock", facts.clock_ahead, tolerated=STORE_TOLERANCE, refused=REFUSED)


def _conformance(report: StoreReport) -> Finding:
    """By what the server itself logs at start as `store_falls_short`."""
    honours = {
        f"checksums ({report.checks})": report.checks != "none",
        "checksums of parts": report.lists_checksums,
        "ETags": report.compares_etags,
        "metadata": report.keeps_token,
        "ranges": report.reads_ranges,
        "conditional writes": report.conditional_writes,
    }
    figure = "honours " + ", ".join(name for name, holds in honours.items() if holds)
    figure += f"; a repeated Complete is {report.repeated_complete}"
    if not report.problems:
        return Finding("store conformance", State.OK, figure)
    state = State.WARN if report.reads_ranges and report.keeps_token else State.FAIL
    return Finding(
        "store conformance", state, figure, "know of this, or use another store: " + "; ".join(report.problems)
    )
