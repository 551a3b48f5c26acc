"""What a campaign has measured beside what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("what", "measured", "promised", "")


@dataclass(frozen=True, slots=True)
class Claim:
    """One promise. `goal`: worth having and told, but no defect where a busy machine misses it."""

    what: str
    measured: str
    promised: str
    held: bool
    goal: bool = False

    @property
    def row(self) -> tuple[str, str, str, str]:
        """For the table."""
        word = "held" if self.held else "goal missed" if self.goal else "NOT HELD"
        return self.what, self.measured, self.promised, word


def broken(claims: Sequence[Claim]) -> list[str]:
    """A sentence for each promise that was not held."""
    return [f"{claim.what}: {claim.measured}, promised {claim.promised}" for claim in claims if not _fine(claim)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that `share` of them (0 to 1) do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _fine(claim: Claim) -> bool:
    return claim.held or claim.goal
