"""A look at the store from outside, for the doctor: what a server finds out at start, and the clocks."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.clients import Clients
from ledgerlift_server.adapters.s3.failures import code_of
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.adapters.s3.probe import Probe, StoreReport
from ledgerlift_server.domain.store_port import StoreAnswer
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What was found. Times are in seconds."""

    round_trip: float
    clock_ahead: float | None
    """By how much the store's clock is ahead of ours, give or take a second; None where it does not tell the time."""
    report: StoreReport


def inspect_store(options: S3Options, *, limit: float) -> StoreFacts | None:
    """None where the bucket is not there, and a server would make it. Raises DependencyUnavailable, without secrets.

    Puts an object of its own and removes it. `limit` in seconds is for all of it.
    """
    with closing(Clients(options)) as clients, deadline_scope(Deadline.after(limit), detached=True):
        calls = Calls(clients, options)
        try:
            began = time.monotonic()
            # Not HeadBucket: its refusals have no body, and some stores answer 404 to a key that they do not know.
            listed = calls.run(
                "ListObjectsV2",
                lambda client: client.list_objects_v2(Bucket=options.bucket, Prefix=options.prefix, MaxKeys=1),
            )
            round_trip = time.monotonic() - began
            ahead = _ahead(listed, time.time() - round_trip / 2)
            return StoreFacts(round_trip, ahead, Probe(calls, options).run())
        except DependencyUnavailable as refused:
            if options.create_bucket and refused.__cause__ and code_of(refused.__cause__) == "NoSuchBucket":
                return None
            raise
        except StoreAnswer as strange:
            raise DependencyUnavailable(f"it answers what no store should: {strange}") from strange
        except DeadlineExceeded as error:
            raise DependencyUnavailable(f"no answer within {limit:g} s") from error


def _ahead(answer: object, answered: float) -> float | None:
    """By the header `Date`, which tells whole seconds: half of one is the best guess at the rest."""
    metadata = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
    try:
        told = parsedate_to_datetime(metadata.get("HTTPHeaders", {})["date"])
    except (KeyError, ValueError):
        return None
    return told.timestamp() + 0.5 - answered
