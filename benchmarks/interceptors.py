"""What everything around a call costs: the server's chain of interceptors beside a bare grpc.aio servicer.

    python -m benchmarks.interceptors

Both answer GetLimits with the same message, each from a process of its own; the client, blocking, on one connection,
asks them in turn. The server is whole: request id, access log (JSON, to a file), metrics, errors, deadline, who and
whether, admission, breakers, retries. The goal is that the median of its calls is at most 1.5 times the bare one's.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift.v1 import upload_service_pb2_grpc
from ledgerlift_server.app import serving
from ledgerlift_server.observability import logs

from benchmarks.upload.stats import Spread, ratios
from tests.support.server import isolated_settings

ROUNDS, CALLS = 15, 1000
GOAL = 1.5
"""Most that a call through the chain may take, as a multiple of the bare one."""
TIMEOUT = 10.0


class Bare(upload_service_pb2_grpc.UploadServiceServicer):
    """Answers GetLimits with what it was given, and nothing around it."""

    def __init__(self, answer: pb.GetLimitsResponse) -> None:
        self._answer = answer

    async def GetLimits(self, request: pb.GetLimitsRequest, context: Any) -> pb.GetLimitsResponse:
        """The same message each time."""
        return pb.GetLimitsResponse.FromString(self._answer.SerializeToString())


async def _serve(what: str, folder: Path) -> None:
    """Until killed. The address is told on stdout, the log goes to stderr."""
    logs.configure("INFO", "json", sys.stderr)
    async with serving(isolated_settings(folder, metrics_address="127.0.0.1:0")) as whole:
        if what == "bare":
            async with grpc.aio.insecure_channel(whole.address) as channel:
                stub: Any = upload_service_pb2_grpc.UploadServiceStub(channel)
                answer = await stub.GetLimits(pb.GetLimitsRequest(), timeout=TIMEOUT)
        else:
            print(whole.address, flush=True)
            await asyncio.Event().wait()
    server = grpc.aio.server()
    upload_service_pb2_grpc.add_UploadServiceServicer_to_server(Bare(answer), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


@contextmanager
def _running(what: str, folder: Path) -> Iterator[Any]:
    """A stub to such a server."""
    with (folder / f"{what}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "--serve", what, "--folder", str(folder / what)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, (folder / f"{what}.log").read_text()
            with grpc.insecure_channel(address) as channel:
                yield upload_service_pb2_grpc.UploadServiceStub(channel)
        finally:
            process.kill()
            process.wait()


def _p50(stub: Any) -> float:
    """Of so many calls, in milliseconds."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        stub.GetLimits(pb.GetLimitsRequest(), timeout=TIMEOUT)
        times.append(time.perf_counter() - began)
    return median(times) * 1000


def _measure(folder: Path) -> bool:
    measured: dict[str, list[float]] = {"bare": [], "whole": []}
    with _running("bare", folder) as bare, _running("whole", folder) as whole:
        for count in range(ROUNDS + 1):
            for name, stub in (("bare", bare), ("whole", whole)):
                taken = _p50(stub)
                if count:  # the first warms
                    measured[name].append(taken)
    for name, times in measured.items():
        spread = Spread.of(times)
        print(f"{name:<8} p50 {spread.median:.3f} ms ({spread.low:.3f} - {spread.high:.3f})")
    ratio = ratios(measured["whole"], measured["bare"])
    met = ratio.median <= GOAL
    print(
        f"whole / bare {ratio.median:.2f} ({ratio.low:.2f} - {ratio.high:.2f}), {ROUNDS} rounds of {CALLS} calls; "
        f"goal at most {GOAL}: {'met' if met else 'NOT met'}"
    )
    return met


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", choices=("bare", "whole"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.serve is not None:
        asyncio.run(_serve(asked.serve, asked.folder))
    with TemporaryDirectory() as folder:
        return 0 if _measure(Path(folder)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
