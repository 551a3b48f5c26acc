"""Kills, cuts and crashes against real server processes. `./scripts/faults` runs the same in full size."""

import tests.support  # noqa: F401 - before anything imports grpc: what it sets is read then
