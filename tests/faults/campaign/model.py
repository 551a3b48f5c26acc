"""What callers have been told, and what therefore must be: compared with every later answer, and in the end with the
stores. Whatever a caller was not told may have happened or not, but not by half and not twice.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from ledgerlift_client import DuplicatePolicy

MOST_SENTENCES = 50
"""About what is wrong: a server that answers nonsense does so very often."""


@dataclass(slots=True)
class Intent:
    """What one request id was used for. `finished`: somebody has said `finish_write`, or may have. `digests`: those
    that a document of it may have; more than one only where a stream was taken over by one of other bytes."""

    digests: set[str]
    finished: bool
    told: set[str] = field(default_factory=set)
    """Ids of the documents that it was answered with."""


@dataclass(frozen=True, slots=True)
class Told:
    """A document that somebody was told is durable. `seed` and `size` make its bytes; `who` changes its status."""

    document_id: str
    sha256: str
    seed: int
    size: int
    who: str
    request_id: str
    policy: DuplicatePolicy


class Model:
    """Used by all callers at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.intents: dict[str, Intent] = {}
        self.told: dict[str, Told] = {}
        """By document."""
        self.deleting: set[str] = set()
        """Documents that somebody has asked to delete."""
        self.deleted: set[str] = set()
        """Documents that somebody was told are gone."""
        self.statuses: dict[str, dict[str, bool]] = defaultdict(dict)
        """Whether a change to this status was acknowledged, by document."""
        self.cancelled: set[str] = set()
        """Sessions that somebody was told are cancelled."""
        self.durable: dict[str, int] = {}
        """Bytes of a session that somebody was told are durable, by session."""
        self._left: list[tuple[str, int, int]] = []
        self.wrong: list[str] = []

    def accuse(self, sentence: str) -> None:
        """Something is not as it has to be."""
        with self._lock:
            if len(self.wrong) < MOST_SENTENCES:
                self.wrong.append(sentence)

    def intend(self, request_id: str, sha256: str | None = None, *, finish: bool) -> None:
        """Somebody is about to use this id, for a document of this digest."""
        with self._lock:
            intent = self.intents.setdefault(request_id, Intent(set(), False))
            intent.digests |= {sha256} if sha256 is not None else set()
            intent.finished |= finish

    def leave(self, request_id: str, seed: int, size: int) -> None:
        """Somebody has left this upload in the middle: anybody may go on with it."""
        with self._lock:
            self._left.append((request_id, seed, size))

    def take_left(self, random: Random) -> tuple[str, int, int] | None:
        """One of those, for whoever asks first."""
        with self._lock:
            return self._left.pop(random.randrange(len(self._left))) if self._left else None

    def uploaded(self, told: Told) -> None:
        """An upload was answered with a document."""
        with self._lock:
            intent = self.intents[told.request_id]
            intent.told.add(told.document_id)
            self.told.setdefault(told.document_id, told)
            others = {one for one in intent.told if one not in self.deleting}
        if told.sha256 not in intent.digests:
            self.accuse(f"{told.who}: {told.request_id} of {intent.digests} became {told}")
        if len(others) > 1:
            self.accuse(f"{told.who}: {told.request_id} was answered with the documents {sorted(others)}")

    def delete(self, document_id: str, *, done: bool) -> None:
        """Somebody is about to delete it, or was told that it is gone."""
        with self._lock:
            (self.deleted if done else self.deleting).add(document_id)

    def change(self, document_id: str, status: str, *, done: bool) -> None:
        """Somebody is about to change a status, or was told that it is changed."""
        with self._lock:
            self.statuses[document_id][status] = done

    def cancel(self, upload_id: str) -> None:
        """Somebody was told that the session is cancelled."""
        with self._lock:
            self.cancelled.add(upload_id)

    def is_durable(self, upload_id: str, size: int) -> None:
        """Somebody was told that so many bytes are."""
        with self._lock:
            self.durable[upload_id] = max(size, self.durable.get(upload_id, 0))

    def told_durable(self) -> dict[str, int]:
        """What `is_durable` was told so far."""
        with self._lock:
            return dict(self.durable)

    def some_document(self, random: Random, who: str | None = None) -> Told | None:
        """Any that nobody has asked to delete; only those of `who`, where that is said."""
        with self._lock:
            there = [
                told
                for told in self.told.values()
                if told.document_id not in self.deleting and who in (None, told.who)
            ]
        return random.choice(there) if there else None

    def is_there(self, document_id: str) -> bool:
        """Nobody has asked to delete it, so that it cannot be gone."""
        with self._lock:
            return document_id not in self.deleting
