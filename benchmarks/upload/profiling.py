"""Where the server's processor seconds go while it takes uploads.

Two views that complete each other: exact seconds of every thread, from the kernel (gRPC's own threads included), and
py-spy's samples with native frames, which say what Python threads were doing. py-spy stops the server for each
sample: shares are right, absolute rates are not.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ledgerlift_client import LedgerLiftClient

from benchmarks.upload.harness import settle
from benchmarks.upload.ours import LedgerLiftUpload, Service, ledgerlift
from benchmarks.upload.payload import MIB, Payload
from benchmarks.upload.peers.versitygw import versitygw
from benchmarks.upload.processes import ROOT, Unavailable

PY_SPY = "py-spy==0.4.3"
FOLDER = ROOT / ".tools" / "py-spy"
SAMPLES_PER_SECOND = 200
ROWS = 30
"""Lines of the table of functions."""
START_TIME = 2.0
"""Seconds that py-spy gets to read the server's symbols before the first upload."""

Work = Callable[[], Awaitable[None]]

_THREAD = re.compile(r"thread \((\w+)\): ?(.*)")
_DUMPED = re.compile(r'^Thread (\d+) \(\w+\+?\w*\): "(.*)"$', re.MULTILINE)
_COUNTED = re.compile(r"[-_]?\d+$")


async def profile(store: str, size: int, rounds: int, parent: Path | None) -> str:
    """A report on `rounds` uploads of `size` bytes to `store` (`files` or `s3`), after one that is not counted."""
    program = await asyncio.to_thread(py_spy)
    with tempfile.TemporaryDirectory(prefix="ledgerlift-bench-", dir=parent) as folder, Payload(size) as payload:
        place = Path(folder)
        async with service(store, place) as there:
            with LedgerLiftClient(there.address) as client:
                upload = LedgerLiftUpload(there, client)
                plain, stacks = await of_uploads(program, there, upload, payload, rounds, place / "stacks")
    volume = size * rounds / 2**30
    head = f"{rounds} uploads of {size / MIB:.0f} MiB to {store}; seconds for each GiB"
    return "\n".join((head, "", *_thread_table(plain, volume), "", *_function_table(stacks, volume)))


@asynccontextmanager
async def service(store: str, place: Path) -> AsyncIterator[Service]:
    """A server on `files` or `s3`."""
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(versitygw(place / "store")) if store == "s3" else None
        yield await stack.enter_async_context(ledgerlift(place / "server", target))


async def of_uploads(
    program: Path, there: Service, upload: LedgerLiftUpload, payload: Payload, rounds: int, out: Path
) -> tuple[dict[tuple[str, str], float], Counter[tuple[str, ...]]]:
    """Seconds by thread, and samples, of `rounds` uploads each, after one that is not counted."""

    async def uploads() -> None:
        for _ in range(rounds):
            payload.stamp()
            await settle()
            await upload.send(payload)
            await upload.tidy()

    async def one() -> None:
        await upload.send(payload)

    async def fresh() -> AsyncIterator[Work]:
        for _ in range(rounds):
            payload.stamp()
            await settle()
            yield one
            await upload.tidy()

    payload.stamp()
    await upload.send(payload)
    await upload.tidy()
    plain = await threads_during(program, there.process.pid, fresh())
    return plain, await recorded(program, there.process.pid, uploads, out)


async def threads_during(program: Path, pid: int, works: AsyncIterable[Work]) -> dict[tuple[str, str], float]:
    """Seconds by thread name and `user` or `system` of each of `works`, and of nothing between them.

    A thread that has ended meanwhile is not in it.
    """
    each: dict[tuple[int, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    async for work in works:
        before = _thread_times(pid)
        await work()
        for thread, (user, system) in _thread_times(pid).items():
            earlier, sum_of = before.get(thread, (0.0, 0.0)), each[thread]
            each[thread] = sum_of[0] + user - earlier[0], sum_of[1] + system - earlier[1]
    names = await asyncio.to_thread(_python_names, program, pid)  # behind the work, which starts threads
    spent: dict[tuple[str, str], float] = defaultdict(float)
    for (number, native_name), (user, system) in each.items():
        name = names.get(number, f"{native_name} (not Python)")
        spent[name, "user"] += user
        spent[name, "system"] += system
    return spent


def _python_names(program: Path, pid: int) -> dict[int, str]:
    """Names of Python's threads by the kernel's id; before Python 3.14 the kernel does not know them."""
    done = subprocess.run([program, "dump", "--pid", str(pid)], capture_output=True, text=True, check=True)
    return {int(found[1]): _COUNTED.sub("", found[2]) for found in _DUMPED.finditer(done.stdout)}


def _thread_times(pid: int) -> dict[tuple[int, str], tuple[float, float]]:
    """User and system seconds by thread id and name; Linux only."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        head, _, tail = (folder / "stat").read_text().rpartition(")")
        fields = tail.split()
        name = head.split("(", 1)[1]
        found[int(folder.name), name] = (int(fields[11]) / tick, int(fields[12]) / tick)
    return found


async def recorded(program: Path, pid: int, work: Work, out: Path) -> Counter[tuple[str, ...]]:
    """Samples by stack while `work` runs, the outermost frame first; the first of all is the thread's name."""
    command: list[str | Path] = [
        program,
        "record",
        "--native",
        "--threads",
        "--format",
        "raw",
        "--rate",
        str(SAMPLES_PER_SECOND),
    ]
    command += ["--duration", "unlimited", "--pid", str(pid), "--output", out]
    spy = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    await asyncio.sleep(START_TIME)
    try:
        await work()
    finally:
        if spy.returncode is None:
            spy.send_signal(signal.SIGINT)
        _, errors = await spy.communicate()
    if spy.returncode:
        raise RuntimeError(f"py-spy recorded nothing:\n{errors.decode()[-2000:]}")
    return _read_stacks(out)


def _read_stacks(out: Path) -> Counter[tuple[str, ...]]:
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in out.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        thread = _THREAD.match(frames[0])
        name = _COUNTED.sub("", thread[2]) if thread else frames[0]
        stacks[name, *frames[1:]] += int(count)
    return stacks


def _thread_table(spent: dict[tuple[str, str], float], volume: float) -> list[str]:
    names = sorted({name for name, _ in spent}, key=lambda name: -spent[name, "user"] - spent[name, "system"])
    lines = ["Threads (from the kernel, without py-spy)", f"{'user':>8} {'system':>8}  name"]
    for name in names:
        user, system = spent[name, "user"] / volume, spent[name, "system"] / volume
        if user + system >= 0.005:
            lines.append(f"{user:8.3f} {system:8.3f}  {name}")
    total = sum(spent.values()) / volume
    return [*lines, f"{total:8.3f}           together"]


def _function_table(stacks: Counter[tuple[str, ...]], volume: float) -> list[str]:
    seconds: Counter[tuple[str, str, str]] = Counter()
    for frames, count in stacks.items():
        if not waits(frames):
            seconds[frames[0], _ours(frames[1:]), _leaf(frames[-1])] += count
    unit = SAMPLES_PER_SECOND * volume
    lines = [
        "Python threads by py-spy, without those that wait for work (a wait for the GIL or the disk is there)",
        f"{'seconds':>8}  thread | innermost function of the server | native or Python leaf",
    ]
    for (thread, ours, leaf), count in seconds.most_common(ROWS):
        lines.append(f"{count / unit:8.3f}  {thread} | {ours} | {leaf}")
    return lines


def waits(frames: tuple[str, ...]) -> bool:
    """Nothing to do: py-spy takes some of these for busy when it looks at native frames."""
    innermost = next((frame for frame in reversed(frames) if ".py:" in frame), "")
    for_work = innermost.startswith(("_worker (concurrent", "wait (threading", "Thread.run (threading"))
    return "epoll_wait" in frames[-1] or (for_work and "libc" in frames[-1])


def _ours(frames: tuple[str, ...]) -> str:
    """The innermost frame of the server's own code; of anything else, the last that has a Python file."""
    named = [frame for frame in frames if ".py:" in frame]
    own = [frame for frame in named if "ledgerlift" in frame]
    return (own or named or ["-"])[-1]


def _leaf(frame: str) -> str:
    """A frame without line number; without symbol, the library that it is in."""
    bare = re.sub(r"0x[0-9a-f]+", "?", frame)
    return re.sub(r":\d+\)$", ")", bare)


def py_spy() -> Path:
    """py-spy, installed on first use beside the other tools. Raises Unavailable."""
    program = FOLDER / "bin" / "py-spy"
    if not program.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*install, "--target", FOLDER, PY_SPY], capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"pip could not install {PY_SPY}: {done.stderr.strip()[-500:]}")
    return program
