"""Uploads: what runs, what came in, what became of it, and the memory that they share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.domain.upload_tally import CommitTally, OpeningTally, StreamTally


class Streams(Protocol):
    """The Upload calls of this process."""

    @property
    def running(self) -> int:
        """Streams that hold a session."""

    @property
    def tally(self) -> StreamTally:
        """Of all streams so far."""


class MemoryBudget(Protocol):
    """The memory of all uploads."""

    @property
    def used(self) -> int:
        """Bytes that are taken."""

    @property
    def waiting(self) -> int:
        """Streams that wait for a share."""


class UploadCollector(Collector):
    """Reads them at each scrape."""

    def __init__(
        self,
        streams: Streams,
        openings: OpeningTally,
        commits: CommitTally,
        budget: MemoryBudget,
        *,
        budget_limit: int,
    ) -> None:
        """`budget_limit` in bytes is all that `budget` has."""
        self._streams = streams
        self._openings = openings
        self._commits = commits
        self._budget = budget
        self._budget_limit = budget_limit

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield GaugeMetricFamily(
            "ledgerlift_uploads_running", "Upload calls that hold a session.", self._streams.running
        )
        ended = CounterMetricFamily(
            "ledgerlift_upload_streams", "Upload calls that have ended, by how.", labels=["outcome"]
        )
        for outcome, count in self._streams.tally.ended.items():
            ended.add_metric([outcome.value], count)
        yield ended
        yield CounterMetricFamily(
            "ledgerlift_upload_received_bytes",
            "Bytes of documents that have arrived, durable or not.",
            self._streams.tally.received_bytes,
        )
        yield CounterMetricFamily(
            "ledgerlift_documents_committed",
            "Documents committed here of bytes that were received.",
            self._commits.documents,
        )
        yield CounterMetricFamily(
            "ledgerlift_documents_committed_bytes", "Bytes of the documents committed here.", self._commits.size
        )
        hits = CounterMetricFamily(
            "ledgerlift_dedupe_hits",
            "Uploads of bytes that were there already, by when it was found.",
            labels=["found"],
        )
        hits.add_metric(["declared"], self._openings.deduplicated)
        hits.add_metric(["received"], self._commits.duplicates)
        yield hits
        yield GaugeMetricFamily(
            "ledgerlift_upload_memory_used_bytes", "Bytes of UPLOAD_MEMORY_BUDGET that are in use.", self._budget.used
        )
        yield GaugeMetricFamily(
            "ledgerlift_upload_memory_limit_bytes", "Bytes of UPLOAD_MEMORY_BUDGET.", self._budget_limit
        )
        yield GaugeMetricFamily(
            "ledgerlift_upload_memory_waiting_streams",
            "Upload calls that wait for a share of UPLOAD_MEMORY_BUDGET.",
            self._budget.waiting,
        )
