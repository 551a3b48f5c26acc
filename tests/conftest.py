"""Fixtures that all tests share; each stands in a module of its own."""

# One that imports another stands behind it: pytest has to rewrite its asserts first.
pytest_plugins = [
    "tests.support.both_clients",
    "tests.support.empty_environment",
    "tests.support.captured_log",
    "tests.support.databases",
    "tests.support.postgres",
    "tests.support.property_tests",
    "tests.support.s3",
    "tests.support.scripted_s3",
    "tests.support.skipped",
    "tests.support.object_stores",
    "tests.support.server",
    "tests.support.asyncio_clients",
    "tests.support.stores",
    "tests.support.traces",
]
