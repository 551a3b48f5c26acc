"""Where and with what it was measured: figures without it mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.upload.peers import buildgrid, versitygw
from benchmarks.upload.processes import ROOT, Unavailable

PACKAGES = ("grpcio", "protobuf", "boto3", "s3transfer", "sqlalchemy", "crc32c", "psutil")


def describe(place: Path) -> dict[str, str]:
    """One line for each thing that matters. `place` is where servers write."""
    load = os.getloadavg()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": f"{_processor()}, {os.cpu_count()} logical",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "files": f"{_file_system(place)}",
        "load before": f"{load:.2f}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "buildgrid": _or_absent(buildgrid.version),
        "versitygw": _or_absent(versitygw.version),
    }


def _commit() -> str:
    try:
        named = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return named.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(place: Path) -> str:
    resolved = str(place.resolve())
    mounts = [one for one in psutil.disk_partitions(all=True) if resolved.startswith(one.mountpoint)]
    return max(mounts, key=lambda one: len(one.mountpoint)).fstype if mounts else "unknown"


def _or_absent(ask: object) -> str:
    assert callable(ask)
    try:
        return str(ask())
    except (OSError, Unavailable):
        return "not installed"
