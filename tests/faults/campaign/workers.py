"""Threads that do one operation after the other until they are told to stop. Each operation is timed and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from tests.faults.campaign.model import Model
from tests.faults.campaign.tally import OK, Done, Tally

PACE, SLOWER = 0.1, 0.5
"""Seconds between the beginnings of two operations at least, and where the first one did not go well."""

Operation = Callable[[], str]
"""Does it, and says what became of it: OK, or a status."""


class Worker:
    """A thread of its own. What it does is drawn from `random`; how long that takes is not."""

    def __init__(
        self,
        name: str,
        random: Random,
        operations: Mapping[str, tuple[int, float, Operation]],
        model: Model,
        tally: Tally,
        ends: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`operations`: weight, the seconds that one may take, and what to do, by name. `ends`: called at the end."""
        self.name = name
        self._random = random
        self._operations = operations
        self._model = model
        self._tally = tally
        self._ends = ends
        self._over = threading.Event()
        self._now = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """After the operation that is under way."""
        self._over.set()

    def join(self, patience: float) -> None:
        """Wait for the end; not to come to it is wrong."""
        self._thread.join(patience)
        if self._thread.is_alive():
            self._model.accuse(f"{self.name}: {self._now} did not end within {patience:g} s")

    def _run(self) -> None:
        weights = [weight for weight, _, _ in self._operations.values()]
        while not self._over.is_set():
            (kind,) = self._random.choices(list(self._operations), weights)
            _, limit, work = self._operations[kind]
            self._now = kind
            began = time.monotonic()
            try:
                outcome = work()
            except Exception as error:  # a caller is told with the errors of its library, and with nothing else
                outcome = type(error).__name__
                self._model.accuse(f"{self.name}: {kind} raised {error!r}")
            ended = time.monotonic()
            self._tally.add(Done(kind, self.name, began, ended, outcome))
            if ended - began > limit:
                self._model.accuse(f"{self.name}: {kind} took {ended - began:.1f} s, {limit:g} at most ({outcome})")
            self._over.wait(max(0.0, began + (PACE if outcome == OK else SLOWER) - ended))
        for end in self._ends:
            end()
