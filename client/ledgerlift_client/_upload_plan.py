"""What is to be uploaded, and as what: from the caller's words to a spec.

Reads the source where its digest is wanted first, and the state file.

The same for both clients, which only differ in how they call.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import uuid
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ledgerlift_client._cancel import CancelToken
from ledgerlift_client._models import DuplicatePolicy, UploadResult, UploadSpec
from ledgerlift_client._options import MIB
from ledgerlift_client._sources import Source, SourceLike
from ledgerlift_client._state_file import StateFile

UNKNOWN_TYPE = "application/octet-stream"
ASK_FIRST_ABOVE = 5 * MIB
"""Of a document smaller than one stored part (5 MiB by default) nothing can be durable before all of it is."""

Dedupe: TypeAlias = Literal["send", "check"]
"""`send`: the digest is computed while the bytes are sent. `check`: first, and known bytes are not sent at all."""


@dataclass(frozen=True, slots=True)
class UploadItem:
    """One document for `upload_many`; the fields are those of `upload`."""

    source: SourceLike | AsyncIterable[bytes]
    """An async iterable is for the asyncio client."""
    filename: str | None = None
    content_type: str | None = None
    key: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    duplicate_policy: DuplicatePolicy = DuplicatePolicy.RETURN_EXISTING
    request_id: str | None = None
    sha256: str | None = None
    state_file: str | os.PathLike[str] | None = None


@dataclass(frozen=True, slots=True)
class UploadOutcome:
    """What became of one of many: `result`, or the `error` that `upload` would have raised; never both."""

    item: UploadItem
    result: UploadResult | None = None
    error: Exception | None = None


class UploadPlan:
    """One upload, described. `spec` and `ask_first` are what the course needs."""

    def __init__(self, item: UploadItem, source: Source, dedupe: Dedupe) -> None:
        """ValueError for what cannot be meant. Reads and writes the state file."""
        name = item.filename or source.name
        if not name:
            raise ValueError("filename is needed: the source has no name of its own")
        if dedupe not in ("send", "check"):
            raise ValueError(f"dedupe must be 'send' or 'check', not {dedupe!r}")
        if item.request_id and item.state_file:
            raise ValueError("give request_id or state_file: the file is there to remember the id")
        self.spec = UploadSpec(
            filename=name,
            content_type=item.content_type or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE,
            size=source.size,
            sha256=item.sha256 or "",
            key=item.key or "",
            metadata=dict(item.metadata),
            duplicate_policy=DuplicatePolicy(item.duplicate_policy),
            request_id=item.request_id or "",
        )
        # A source that cannot be read twice is either small enough to be kept as a whole, or unknown in size.
        self.check_first = dedupe == "check"
        if self.check_first and not item.sha256 and source.size is None:
            raise ValueError("dedupe='check' reads the source twice, which this one does not allow")
        self._state_file = None if item.state_file is None else StateFile(item.state_file)
        began_before = bool(item.request_id)
        if not item.request_id:
            request_id = str(uuid.uuid4())
            if self._state_file is not None:
                request_id, began_before = self._state_file.request_id(self._identity(source))
            self.spec = replace(self.spec, request_id=request_id)
        # A request id that was there before may be that of an upload which was begun before.
        self.ask_first = began_before and (source.size is None or source.size > ASK_FIRST_ABOVE)

    def digest(self, source: Source, piece: int, cancel: CancelToken | None) -> str:
        """The digest that `check_first` asks for: the given one, or that of the source, which is read for it."""
        if self.spec.sha256:
            return self.spec.sha256
        found = hashlib.sha256()
        source.seek(0)
        while data := source.read(piece):
            if cancel is not None:
                cancel.check()
            found.update(data)
        source.check()
        self.spec = replace(self.spec, sha256=found.hexdigest())
        return self.spec.sha256

    def known(self, size: int) -> None:
        """The owner has a document with this digest, of `size` bytes: CreateUpload will answer, by the policy."""
        if self.spec.size == size:
            self.ask_first = True

    def done(self) -> None:
        """The document is durable."""
        if self._state_file is not None:
            self._state_file.done()

    def _identity(self, source: Source) -> dict[str, object]:
        """What must be the same in the next run. The bytes themselves are compared by the server, at the end."""
        spec = self.spec
        return {
            "filename": spec.filename,
            "content_type": spec.content_type,
            "key": spec.key,
            "metadata": dict(spec.metadata),
            "duplicate_policy": spec.duplicate_policy.value,
            "size": spec.size,
            "sha256": spec.sha256,
            "stamp": source.stamp,
        }
