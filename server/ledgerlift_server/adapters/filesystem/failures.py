"""What the operating system refuses, in the words of the port."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ledgerlift_server.errors import DependencyUnavailable


@contextmanager
def os_errors() -> Iterator[None]:
    """For every call from outside: the disk is full, read-only or failing, and the file store with it."""
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "an unknown error")
        raise DependencyUnavailable(f"the file store failed with {name}", retry_after=5.0) from error
