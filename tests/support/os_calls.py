"""Looks over the shoulder of code that changes files: every such call to the operating system, before it is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CHANGES = ("open", "write", "fdatasync", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir")

Watcher = Callable[[str, tuple[Any, ...], Any], None]


@contextmanager
def watched(*, before: Watcher | None = None, after: Watcher | None = None) -> Iterator[None]:
    """Let `before` and `after` see each call of `CHANGES`: its name, its arguments and, after it, its result."""
    originals = {name: getattr(os, name) for name in CHANGES}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                before(name, args, None)
            result = originals[name](*args, **kwargs)
            if after is not None:
                after(name, args, result)
            return result

        return call

    for name in CHANGES:
        setattr(os, name, wrapped(name))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
