"""`python -m tests.faults.uploading_program ADDRESS PATH`: a caller, as users would write it. It may be killed.

Prints what became of the upload as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import signal

from ledgerlift_client import LedgerLiftClient, Progress, Resumed, TransferEvent


def main() -> None:
    """Upload PATH."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("path")
    parser.add_argument("--state-file")
    parser.add_argument("--request-id")
    parser.add_argument("--halt-at", type=int, help="stand still with so many bytes handed over, to be killed there")
    options = parser.parse_args()
    resumed: list[int] = []

    def halt(now: Progress) -> None:
        if options.halt_at is not None and now.position >= options.halt_at:
            signal.pause()

    def hear(event: TransferEvent) -> None:
        if isinstance(event, Resumed):
            resumed.append(event.offset)

    with LedgerLiftClient(options.address) as client:
        result = client.upload(
            options.path,
            state_file=options.state_file,
            request_id=options.request_id,
            progress=halt,
            on_event=hear,
        )
    told = {
        "sha256": result.document.sha256,
        "resumed": resumed,
        "received": result.receipt.bytes_received,
        "skipped": result.receipt.bytes_skipped,
    }
    print(json.dumps(told))  # noqa: T201 - what the program is for


if __name__ == "__main__":
    main()
