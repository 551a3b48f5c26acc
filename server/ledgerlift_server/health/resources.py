"""What the machine has left: processors, memory, the data directory's disk, and what went over its network.

In a container these are the machine's figures, not the container's limits, save for the memory of the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

SHORTEST_LOOK = 5.0
"""Seconds of the processors' time below which their share says nothing: one start of a program fills it."""

HIGH_CPU, HIGH_MEMORY, HIGH_DISK = "high_cpu", "high_memory", "high_disk"


@dataclass(frozen=True, slots=True)
class SystemResources:
    """One measurement. Shares are 0 to 100; the network's bytes count from the start of the machine."""

    cpu_percent: float
    memory_percent: float
    disk_percent: float
    process_memory: int
    network_bytes_sent: int
    network_bytes_received: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares above which a resource is an issue; 100: never."""

    cpu_percent: float = 90.0
    memory_percent: float = 90.0
    disk_percent: float = 90.0

    def issues(self, resources: SystemResources) -> tuple[str, ...]:
        """Names of what is too high."""
        shares = (
            (HIGH_CPU, resources.cpu_percent, self.cpu_percent),
            (HIGH_MEMORY, resources.memory_percent, self.memory_percent),
            (HIGH_DISK, resources.disk_percent, self.disk_percent),
        )
        return tuple(name for name, share, threshold in shares if share > threshold)


class MachineResources:
    """Measures on one thread at a time. The processors' share is that of the time since it was last measured."""

    def __init__(self, data_dir: Path, *, shortest_look: float = SHORTEST_LOOK) -> None:
        """`data_dir` need not exist: it is the disk that counts on which it would be made.

        `shortest_look` in seconds: when measured again sooner, the processors' share stays as it was, at first 0.
        """
        self._shortest_look = shortest_look
        self._cpu_share = 0.0
        self._data_dir = data_dir.absolute()
        self._process = psutil.Process()
        self._times = psutil.cpu_times()

    def measure(self) -> SystemResources:
        """May block: a file system that hangs does not even say how full it is. Raises OSError."""
        network = psutil.net_io_counters()  # None on a machine without an interface
        return SystemResources(
            cpu_percent=self._cpu_percent(),
            memory_percent=psutil.virtual_memory().percent,
            disk_percent=psutil.disk_usage(str(self._existing())).percent,
            process_memory=self._process.memory_info().rss,
            network_bytes_sent=network.bytes_sent if network else 0,
            network_bytes_received=network.bytes_recv if network else 0,
        )

    def _cpu_percent(self) -> float:
        """Not psutil's own, which remembers the last time per thread, and is 0 on each thread's first call."""
        before, times = self._times, psutil.cpu_times()
        busy = _busy(times) - _busy(before)
        total = busy + _idle(times) - _idle(before)
        if total > 0 and total >= self._shortest_look * (psutil.cpu_count() or 1):
            self._times = times
            self._cpu_share = min(100.0, max(0.0, 100.0 * busy / total))
        return self._cpu_share

    def _existing(self) -> Path:
        return next(path for path in (self._data_dir, *self._data_dir.parents) if path.exists())


def _idle(times: psutil._pslinux.scputimes) -> float:
    return times.idle + getattr(times, "iowait", 0.0)


def _busy(times: psutil._pslinux.scputimes) -> float:
    # `guest` and `guest_nice` are in `user` and `nice` already.
    names = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
    return sum(getattr(times, name, 0.0) for name in names)
