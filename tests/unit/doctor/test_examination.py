"""All checks at once, none of them waited for without end, and what comes of it in a table and in JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator

import pytest
from ledgerlift_server.doctor import Finding, State, as_json, as_table, examine
from ledgerlift_server.doctor.examination import Check

GOOD = Finding("one", State.OK, "3 ms")
BAD = Finding("another", State.FAIL, "0 of 9", "mend it")
LIMIT = 60.0
"""Seconds that no test here uses up."""


@pytest.fixture
def hanging() -> Iterator[Check]:
    """A check that does not come back before the test has ended."""
    over = threading.Event()

    def look() -> Iterable[Finding]:
        over.wait()
        return []

    yield Check("hanging", look, "end what hangs")
    over.set()


def test_rows_come_in_the_order_of_the_checks() -> None:
    """Whichever has answered first."""
    first_may_end = threading.Event()

    def slow() -> Iterable[Finding]:
        assert first_may_end.wait(LIMIT)
        return [GOOD]

    def quick() -> Iterable[Finding]:
        first_may_end.set()
        return [BAD]

    assert examine([Check("one", slow, ""), Check("another", quick, "")], limit=LIMIT) == [GOOD, BAD]


def test_what_hangs_is_a_row_and_holds_nothing_up(hanging: Check) -> None:
    """It says how long it was waited for and what to do; the others have their rows."""
    began = time.monotonic()
    found = examine([hanging, Check("one", lambda: [GOOD], "")], limit=0.2)
    assert time.monotonic() - began < LIMIT
    assert found == [Finding("hanging", State.FAIL, "no answer within 0.2 s", "end what hangs"), GOOD]


def test_a_check_that_breaks_is_a_row_without_what_it_said() -> None:
    """The text of an exception that nobody foresaw may hold anything, a password among others."""

    def broken() -> Iterable[Finding]:
        raise RuntimeError("postgresql://app:hunter2@db")

    (found,) = examine([Check("one", broken, "")], limit=LIMIT)
    assert (found.what, found.state, found.figure) == ("one", State.FAIL, "the check itself failed with RuntimeError")
    assert "hunter2" not in repr(found)


def test_the_table_says_what_to_do_below_what_it_is_about() -> None:
    """Columns are as wide as their content, and the last line counts."""
    assert as_table([GOOD, BAD]).splitlines() == [
        "WHAT     STATE  FIGURE, AND WHAT TO DO",
        "one      ok     3 ms",
        "another  fail   0 of 9",
        "                -> mend it",
        "1 failed, 0 to look at, 1 well",
    ]


def test_json_says_the_same_and_the_worst_of_it() -> None:
    """For a program that reads it."""
    told = json.loads(as_json([GOOD, BAD]))
    assert told["state"] == "fail"
    assert told["findings"][1] == {"what": "another", "state": "fail", "figure": "0 of 9", "advice": "mend it"}
    warned = Finding("two", State.WARN, "1", "look")
    assert json.loads(as_json([warned, GOOD]))["state"] == "warn"


def test_no_row_that_is_not_well_is_without_advice() -> None:
    """That is what the table is for."""
    with pytest.raises(AssertionError):
        Finding("one", State.WARN, "3 ms")
