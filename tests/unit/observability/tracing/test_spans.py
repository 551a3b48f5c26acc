"""What becomes a span, and what stands in one."""

from __future__ import annotations

import asyncio

import pytest
from ledgerlift_server.domain.spans import NO_SPANS
from ledgerlift_server.errors import Draining
from opentelemetry.trace import SpanKind, StatusCode

from tests.support.traces import Traces


def test_a_step_of_nothing_is_no_span(traces: Traces) -> None:
    """What the monitor and the janitor ask all day long would drown what callers do."""
    with traces.spans.step("database ping", outside=True):
        pass
    assert traces.all() == []


def test_work_of_its_own_is_a_trace_of_its_own(traces: Traces) -> None:
    """A commit that the janitor drives is followed, with its steps, though no call asked for it."""
    with traces.spans.work("commit", upload_id="u-1"), traces.spans.step("database ledger.publish", outside=True):
        pass
    assert traces.tree() == ["commit", "  database ledger.publish"]
    assert traces.one("commit").attributes == {"ledgerlift.upload_id": "u-1"}
    assert traces.one("database ledger.publish").kind is SpanKind.CLIENT


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Draining("hunter2"), "DRAINING"),
        (ZeroDivisionError("hunter2"), "ZeroDivisionError"),
        (asyncio.CancelledError("hunter2"), "CancelledError"),
    ],
)
def test_what_ends_a_step_is_named_and_not_quoted(traces: Traces, error: BaseException, kind: str) -> None:
    """Its reason or its class; a text may hold what callers say. A cancellation counts as well."""
    with pytest.raises(type(error)), traces.spans.work("commit"):
        raise error
    span = traces.one("commit")
    assert (span.status.status_code, span.attributes) == (StatusCode.ERROR, {"error.type": kind})
    assert "hunter2" not in span.to_json()


async def test_a_task_goes_on_with_what_it_was_begun_in(traces: Traces) -> None:
    """A part that is still on its way when its call has been answered is a part of that call."""
    go_on = asyncio.Event()

    async def carry() -> None:
        await go_on.wait()
        with traces.spans.step("part", number=1):
            pass

    with traces.spans.serving("/s/Upload", [], "mine-1") as served:
        task = asyncio.create_task(carry())
        served.ended("OK")
    go_on.set()
    await task
    assert traces.tree() == ["s/Upload", "  part"]


def test_where_nobody_follows_nothing_is_made() -> None:
    """The same object each time: what is off costs nothing to speak of."""
    assert NO_SPANS.step("part", number=1) is NO_SPANS.work("commit", upload_id="u-1")
