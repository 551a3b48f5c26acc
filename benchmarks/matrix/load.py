"""So many clients, each one call behind the other, for some seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from benchmarks.matrix.bodies import MIB


@dataclass(slots=True)
class Cell:
    """What came of it. Seconds, of the machine's clock and of processors."""

    size: int
    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    server_cpu: float | None = None
    client_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Documents a second."""
        return len(self.latencies) / self.seconds

    @property
    def mib(self) -> float:
        """MiB a second."""
        return self.rate * self.size / MIB

    @property
    def cpu_per_gib(self) -> float | None:
        """Server's processor seconds for each GiB."""
        if self.server_cpu is None:
            return None
        return self.server_cpu / (len(self.latencies) * self.size) * 1024 * MIB


def run(work: Callable[[], None], size: int, clients: int, seconds: float, server: psutil.Process | None) -> Cell:
    """Call `work` on `clients` threads until `seconds` are over, at least once on each. Raises what it raises."""
    cell, lock, failures = Cell(size, clients), threading.Lock(), list[BaseException]()
    ready = threading.Barrier(clients + 1)

    def client() -> None:
        done: list[float] = []
        ready.wait()
        try:
            while not done or time.perf_counter() < ends:
                begun = time.perf_counter()
                work()
                done.append(time.perf_counter() - begun)
        except BaseException as failure:  # raised below
            failures.append(failure)
        with lock:
            cell.latencies += done

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    before, mine = _cpu(server), _cpu(psutil.Process())
    begun = time.perf_counter()
    ends = begun + seconds
    ready.wait()
    for thread in threads:
        thread.join()
    cell.seconds = time.perf_counter() - begun
    after, later = _cpu(server), _cpu(psutil.Process())
    if failures:
        raise failures[0]
    assert mine is not None and later is not None
    cell.client_cpu = later - mine
    cell.server_cpu = None if before is None or after is None else after - before
    return cell


def _cpu(process: psutil.Process | None) -> float | None:
    if process is None:
        return None
    times = process.cpu_times()
    return float(times.user + times.system)
