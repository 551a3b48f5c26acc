"""Kills, cuts and crashes against real server processes. `./scripts/faults` runs the same in full size."""
