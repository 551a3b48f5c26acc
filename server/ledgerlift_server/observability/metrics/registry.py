"""The registry of one server, with what every Python process can tell."""

from __future__ import annotations

import platform

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    ProcessCollector,
    disable_created_metrics,
)


def new_registry(version: str) -> CollectorRegistry:
    """Not the library's global one: two servers in one process, as in tests, do not share their numbers."""
    # One more series for each counter, which the process's start says as well.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    # Described when they are registered: two metrics of one name are an error at start, not at the first scrape.
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    build = Info(
        "ledgerlift_build", "The version of the server, and of the Python it runs on; always 1.", registry=registry
    )
    build.info({"version": version, "python": platform.python_version()})
    return registry
