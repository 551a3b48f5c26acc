"""When a call has to be answered, so that the answer still reaches its client.

begin ───────────── takes messages ─────────────┬── stores what it has ──┬── answers ──> deadline
                                            to_stop()               to_answer()
                                                └──────────── margin ────────────────────┘
"""

from __future__ import annotations

from ledgerlift_server.resilience.deadline import current_deadline

LARGEST_SHARE = 0.2
"""Of a call's whole time, that the margin may take: a call of one second is not spent on its answer alone."""


class AnswerTime:
    """The last part of a call's time, kept for its answer. Made where the call begins."""

    def __init__(self, margin: float) -> None:
        """`margin` is in seconds; short calls get a shorter one."""
        self._deadline = current_deadline()
        self._margin = margin
        if self._deadline is not None:
            self._margin = min(margin, self._deadline.remaining() * LARGEST_SHARE)

    def to_stop(self) -> float | None:
        """Seconds until nothing new is to be begun; None where nobody sets a deadline."""
        return None if self._deadline is None else max(0.0, self._deadline.remaining() - self._margin)

    def to_answer(self) -> float | None:
        """Seconds until the answer is to be on its way, with what there is by then."""
        return None if self._deadline is None else max(0.0, self._deadline.remaining() - self._margin / 2)
