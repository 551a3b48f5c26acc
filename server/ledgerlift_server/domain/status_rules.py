"""Which changes of processing status are allowed."""

from __future__ import annotations

from ledgerlift_server.domain.models import ProcessingStatus as S
from ledgerlift_server.errors import InvalidStatusTransition

TRANSITIONS: dict[S, frozenset[S]] = {
    S.UPLOADED: frozenset({S.PROCESSING, S.FAILED}),
    S.PROCESSING: frozenset({S.COMPLETED, S.FAILED, S.RETRYING}),
    S.RETRYING: frozenset({S.PROCESSING, S.FAILED}),
    S.FAILED: frozenset({S.RETRYING}),
    S.COMPLETED: frozenset(),
}
"""From each status, where it may go. A status missing on the right is final."""


def check_transition(current: S, wanted: S) -> None:
    """Raise InvalidStatusTransition, naming what is allowed, unless `current` may become `wanted`."""
    allowed = TRANSITIONS[current]
    if wanted not in allowed:
        choices = ", ".join(sorted(allowed)) or "nothing: it is final"
        raise InvalidStatusTransition(
            f"status {current} cannot become {wanted}; allowed: {choices}",
            metadata={"from_status": current, "to_status": wanted, "allowed": ",".join(sorted(allowed))},
        )
