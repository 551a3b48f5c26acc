"""Fixtures that all tests share; each stands in a module of its own."""

pytest_plugins = [
    "tests.support.captured_log",
    "tests.support.databases",
    "tests.support.postgres",
    "tests.support.property_tests",
    "tests.support.server",
]
