"""Resident memory of another process, as the kernel counts it: its high-water mark misses nothing (Linux)."""

from __future__ import annotations

from pathlib import Path

_RESET_HIGH_WATER = "5"  # proc(5), clear_refs


def resident(pid: int) -> int:
    """Bytes now."""
    return _value(pid, "VmRSS")


def high_water(pid: int) -> int:
    """Most bytes since the process began, or since `reset_high_water`."""
    return _value(pid, "VmHWM")


def reset_high_water(pid: int) -> None:
    """Count anew from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_HIGH_WATER)


def _value(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the kernel tells no {name} of process {pid}")
