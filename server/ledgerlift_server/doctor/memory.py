"""Memory: what the settings allow a server to take, against what the machine or the container gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.domain.upload_options import MIB
from ledgerlift_server.settings import Settings

IDLE = 128 * MIB
"""The process with its packages, pools and threads; 118 MiB with S3 (docs/BENCHMARKS.md)."""
PER_DOWNLOAD = 7 * MIB
"""Measured: 200 downloads whose clients read nothing, each on a connection of its own."""
SLACK = 128 * MIB
"""What the allocator keeps before it returns it (64 MiB), and messages of unary calls and watches."""
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def needed(settings: Settings) -> int:
    """Bytes of one server, at the most: the formula of docs/operations.md, Sizing."""
    return IDLE + settings.upload_memory_budget + PER_DOWNLOAD * settings.max_concurrent_downloads + SLACK


def look_at_memory(settings: Settings, *, available: int | None = None) -> Iterable[Finding]:
    """`available` in bytes; None: what this machine and its control groups give."""
    limit = given() if available is None else available
    most, least = needed(settings), IDLE + settings.upload_memory_budget + SLACK
    figure = f"{most // MIB} MiB needed at the most, {limit // MIB} MiB given"
    if least > limit:
        yield Finding("memory", State.FAIL, figure, "lower UPLOAD_MEMORY_BUDGET, or give it more memory")
    elif most > limit:
        fitting = max(1, (limit - least) // PER_DOWNLOAD)
        advice = f"lower MAX_CONCURRENT_DOWNLOADS (to {fitting}) or UPLOAD_MEMORY_BUDGET, or give it more memory"
        yield Finding("memory", State.WARN, figure, advice)
    else:
        yield Finding("memory", State.OK, figure)


def given(membership: Path = MEMBERSHIP, root: Path = CGROUPS) -> int:
    """Bytes of memory: the machine's, or the least that a control group above this process allows."""
    return min([psutil.virtual_memory().total, *cgroup_limits(membership, root)])


def cgroup_limits(membership: Path = MEMBERSHIP, root: Path = CGROUPS) -> Iterator[int]:
    """The limits of this process's control groups, of version 2 and of version 1, up to their root."""
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _upwards(root, path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _upwards(root / "memory", path, "memory.limit_in_bytes")


def _upwards(root: Path, path: str, file: str) -> Iterator[int]:
    """In a container the path may be one of the host that is not seen here: then the root is the container's."""
    inside = Path(path.strip("/"))
    for group in (inside, *inside.parents):
        # "max" stands for none; version 1 says it by a number beyond any memory.
        with suppress(OSError, ValueError):
            yield int((root / group / file).read_text())
