"""What each caller does, drawn from a seed: both contestants do the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

SMALLEST, LARGEST = 100, 96 * 1024
"""Bytes of a document."""


class Kind(StrEnum):
    """What an operation is."""

    UPLOAD = "upload"
    GET = "get"
    LIST = "list"
    DOWNLOAD = "download"
    STATUS = "status change"


WEIGHTS = {Kind.UPLOAD: 30, Kind.GET: 20, Kind.LIST: 15, Kind.DOWNLOAD: 20, Kind.STATUS: 15}
"""Of a hundred operations."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One of them. `seed` and `size` make the bytes of an upload; `pick` (0 to 1) chooses a document for the rest."""

    kind: Kind
    seed: int
    size: int
    pick: float


def operations(seed: int, caller: int, count: int) -> Iterator[Operation]:
    """Those of one caller."""
    random = Random(f"{seed}/{caller}")  # noqa: S311 - to be made again, not to be secret
    for kind in random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count):
        yield _operation(random, kind)


def first(seed: int, caller: int, count: int) -> Iterator[Operation]:
    """The uploads before them."""
    random = Random(f"{seed}/{caller}/first")  # noqa: S311 - to be made again, not to be secret
    for _ in range(count):
        yield _operation(random, Kind.UPLOAD)


def _operation(random: Random, kind: Kind) -> Operation:
    return Operation(kind, random.getrandbits(64), random.randint(SMALLEST, LARGEST), random.random())
