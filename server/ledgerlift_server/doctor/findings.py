"""What was found: one row of the doctor's table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How bad it is. From `FAIL` on a server would not start, or not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. No field ever holds a secret."""

    what: str
    state: State
    figure: str
    """What was measured, with its unit."""
    advice: str = ""
    """What to do; empty where nothing is to be done."""

    def __post_init__(self) -> None:
        """A row that is not well and does not say what to do helps nobody."""
        assert self.advice or self.state is State.OK, self.what


def worst(findings: Iterable[Finding]) -> State:
    """The state of all of them together."""
    order = list(State)
    return max((found.state for found in findings), key=order.index, default=State.OK)
