"""How fast one upload is, beside others that take bytes over the same wire or into the same store.

`python -m benchmarks.upload --help`. What was measured last stands in `docs/BENCHMARKS.md`.
"""
