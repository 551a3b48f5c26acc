"""What callers of such a library want beside it: looking at a file before it is sent, names, sizes, digests.

Nothing here calls the server. `validate_file` applies what `client.limits()` answered, so that a file that would be
refused is refused before a byte is sent; the server decides all the same.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledgerlift_client._models import Limits
from ledgerlift_client._options import MIB
from ledgerlift_client._progress import Meter, Progress
from ledgerlift_client._upload_plan import UNKNOWN_TYPE
from ledgerlift_client.errors import DocumentTooLarge, FieldViolation, InvalidArgument

__all__ = ["FileFacts", "human_size", "sanitize_filename", "sha256_file", "validate_file"]

MOST_NAME_CHARACTERS = 255
MOST_NAME_BYTES = 1024
"""Of UTF-8; both bounds are those of `UploadSpec.filename`."""
_SUBSTITUTE = "_"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file would be uploaded as. `size` in bytes."""

    filename: str
    content_type: str
    size: int


def validate_file(
    path: str | os.PathLike[str], limits: Limits, *, filename: str | None = None, content_type: str | None = None
) -> FileFacts:
    """Whether the server would take this file, as far as name, type and size tell; `limits` from `client.limits()`.

    `filename` and `content_type` default as they do for `upload`. Raises OSError for what is no readable file,
    DocumentTooLarge (with `limit`), and InvalidArgument whose `violations` name every field that is wrong.
    """
    where = Path(path)
    name = filename or where.name
    kind = content_type or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE
    found = where.stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for its writer
        raise OSError(f"{where} is no regular file, so that its size is not known before it is read")
    where.open("rb", buffering=0).close()
    violations = []
    if sanitize_filename(name) != name:
        violations.append(FieldViolation("spec.filename", f"{name!r} is no name that the server takes"))
    if not is_allowed(kind, limits.allowed_content_types):
        allowed = ", ".join(limits.allowed_content_types)
        violations.append(FieldViolation("spec.content_type", f"{kind} is not among the allowed types: {allowed}"))
    if violations:
        raise InvalidArgument(
            f"{where}: {'; '.join(v.description for v in violations)}", reason="INVALID_FIELD", violations=violations
        )
    if found.st_size > limits.max_document_size:
        raise DocumentTooLarge(
            f"{where} has {human_size(found.st_size)}, the server takes {human_size(limits.max_document_size)}",
            reason="DOCUMENT_TOO_LARGE",
            metadata={"limit": str(limits.max_document_size)},
        )
    return FileFacts(name, kind, found.st_size)


def is_allowed(content_type: str, allowed: tuple[str, ...]) -> bool:
    """Whether a media type is one of `allowed`, among which `type/*` and `*/*` may stand. Parameters do not count."""
    kind = content_type.partition(";")[0].strip().lower()
    return any(one in ("*/*", kind) or (one.endswith("/*") and kind.startswith(one[:-1])) for one in allowed)


def sanitize_filename(name: str) -> str:
    """`name` as the server takes it: without folders, control characters and what else is refused. Never empty.

    A name that is fine is returned as it is. One that is too long loses its middle and keeps its ending (`.pdf`).
    """
    kept = "".join(_SUBSTITUTE if _is_refused(character) else character for character in name)
    if kept in (".", "..") or not kept.strip():
        return _SUBSTITUTE
    stem, ending = os.path.splitext(kept)
    if len(ending) > MOST_NAME_CHARACTERS // 4:
        stem, ending = kept, ""
    while len(stem) + len(ending) > MOST_NAME_CHARACTERS or len((stem + ending).encode()) > MOST_NAME_BYTES:
        stem = stem[:-1]
    return stem + ending


def _is_refused(character: str) -> bool:
    # Cs: half of a pair, as in names that are no UTF-8. U+202A..E and U+2066..9 turn the direction of what follows,
    # and make `gpj.exe` read as `exe.jpg`.
    return (
        character in "/\\"
        or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )


def human_size(size: float) -> str:
    """Bytes for people: `0 B`, `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def sha256_file(path: str | os.PathLike[str], *, progress: Callable[[Progress], None] | None = None) -> str:
    """The digest of a file in lower-case hex, as `upload(sha256=...)` takes it.

    `progress` is called after every MiB, and once for an empty file; what it raises ends the reading. Raises OSError.
    """
    found = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as file:
        meter = Meter(os.fstat(file.fileno()).st_size)
        position = 0
        while True:
            piece = file.read(MIB)
            found.update(piece)
            position += len(piece)
            meter.moved(position)
            meter.durable(position)
            if progress is not None and (piece or not position):
                progress(meter.progress())
            if not piece:
                return found.hexdigest()
