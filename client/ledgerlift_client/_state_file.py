"""Remembers, in a file of the caller's choice, under which request id an upload was begun: so that the next run of a
program that crashed goes on with it.

The file is written before the first byte is sent and taken away when the document is durable. It names the source, so
that another source, or the same file after a change, begins an upload of its own.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from ledgerlift_client._files import AtomicFile

_KIND = "ledgerlift-upload"
_MOST_BYTES = 64 * 1024  # such a file has some hundred; what is larger is something else


class StateFile:
    """One upload's memory."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def request_id(self, source: Mapping[str, object]) -> tuple[str, bool]:
        """The request id for what `source` describes, and whether an earlier run began with it.

        Raises OSError, and ValueError for a file that is no state file: it is not overwritten.
        """
        known = self._read()
        if known is not None and known[1] == dict(source):
            return known[0], True
        fresh = str(uuid.uuid4())
        text = json.dumps({"kind": _KIND, "request_id": fresh, "source": dict(source)}, indent=1)
        file = AtomicFile(self._path)
        try:
            rest = memoryview(text.encode())
            while rest:
                rest = rest[file.write(rest) :]
            file.commit()
        finally:
            file.abandon()
        return fresh, False

    def done(self) -> None:
        """The document is durable: there is nothing left to go on with."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[str, dict[str, object]] | None:
        try:
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None
        try:
            found = json.loads(text)
            if found["kind"] != _KIND:
                raise ValueError("of another kind")
            return str(found["request_id"]), dict(found["source"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self._path} is no state file of an upload, and is left as it is") from error
