"""Sizes, numbers of clients and stores, beside what else takes documents: `python -m benchmarks.matrix --help`."""
