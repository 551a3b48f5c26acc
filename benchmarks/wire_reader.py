"""What the wire reader saves on the receive path of an Upload, against the generated parser.

    python -m benchmarks.wire_reader

"parse" is from the received bytes to `data`, as the stream gets it; "parse, CRC, copy" adds what happens to every
message after that: its CRC-32C and the copy into the part buffer. Each figure is the median of several runs, and
the two contestants take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from ledgerlift.v1.upload_service_pb2 import UploadRequest
from ledgerlift_server.adapters.digest import crc32c
from ledgerlift_server.rpc.wire_reader import read_upload_request

KIB = 1024
MIB = 1024 * KIB
SIZES = (4 * KIB, 64 * KIB, 256 * KIB, MIB, 3 * MIB)
RUNS = 15
BYTES_PER_RUN = 192 * MIB
MOST_MESSAGES_PER_RUN = 5000


def by_generated_parser(raw: bytes) -> tuple[memoryview, int]:
    """Data and CRC as a servicer with generated classes gets them."""
    message = UploadRequest.FromString(raw)
    return memoryview(message.data), message.crc32c


def by_reader(raw: bytes) -> tuple[memoryview, int]:
    """Data and CRC as this server gets them."""
    message = read_upload_request(raw)
    assert message.crc32c is not None
    return message.data, message.crc32c


Parser = Callable[[bytes], tuple[memoryview, int]]


def parse(parser: Parser, raw: bytes, _buffer: memoryview) -> None:
    """The parse alone."""
    parser(raw)


def receive(parser: Parser, raw: bytes, buffer: memoryview) -> None:
    """The parse, the check and the one copy that there is."""
    data, crc = parser(raw)
    assert crc32c(data) == crc
    buffer[: len(data)] = data


def seconds(work: Callable[[Parser, bytes, memoryview], None], parser: Parser, size: int) -> float:
    """Seconds for one message of `size`: the mean of one run."""
    data = bytes(range(256)) * (size // 256)
    message = UploadRequest(write_offset=5 * MIB, data=data, crc32c=crc32c(memoryview(data)))
    raw = message.SerializeToString()
    buffer = memoryview(bytearray(size))
    count = min(MOST_MESSAGES_PER_RUN, max(1, BYTES_PER_RUN // size))
    begin = time.perf_counter()
    for _ in range(count):
        work(parser, raw, buffer)
    return (time.perf_counter() - begin) / count


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    print(f"{'message':>9}  {'work':<17} {'generated':>11} {'reader':>11}  {'ratio':>7}   (median of {RUNS})")
    for work, title in ((parse, "parse"), (receive, "parse, CRC, copy")):
        for size in SIZES:
            runs = [(seconds(work, by_generated_parser, size), seconds(work, by_reader, size)) for _ in range(RUNS)]
            generated, reader = (statistics.median(column) for column in zip(*runs, strict=True))
            ratio = statistics.median(slow / fast for slow, fast in runs)
            times = f"{generated * 1e6:>8.1f} µs {reader * 1e6:>8.1f} µs"
            print(f"{size // KIB:>5} KiB  {title:<17} {times}  {ratio:>6.1f}x")


if __name__ == "__main__":
    main()
