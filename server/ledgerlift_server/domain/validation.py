"""Bounds on what a caller says, each field by its path. One InvalidRequest lists every violation at once.

A document's display name is kept as given and is never part of a path: objects are named for their
session (`upload_service.py`), so a name is refused, not rewritten, where it could mislead whoever saves
a download under it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ledgerlift_server.domain.upload_models import UploadSpec
from ledgerlift_server.errors import DocumentTooLarge, FieldViolation, InvalidRequest

MAX_FILENAME_CHARACTERS = 255  # at most 1020 bytes of UTF-8
MAX_KEY_CHARACTERS = 512
MAX_CONTENT_TYPE_CHARACTERS = 255  # what `_MEDIA_TYPE` below allows
MAX_METADATA_ENTRIES = 64
MAX_METADATA_KEY_CHARACTERS = 128
MAX_METADATA_VALUE_CHARACTERS = 1024
MAX_REQUEST_ID_CHARACTERS = 128
MAX_ERROR_MESSAGE_CHARACTERS = 2048
MAX_DIGESTS = 1000
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100

_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"  # RFC 6838 section 4.2, lower case
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EVENT_TYPE = re.compile(r"[a-z0-9._-]{1,64}")
_RESERVED_EVENTS = ("document.", "upload.")


@dataclass(frozen=True, slots=True)
class Limits:
    """What this server takes. `allowed_content_types` holds media types, `type/*`, or `*/*`."""

    max_document_size: int
    allowed_content_types: tuple[str, ...] = ("*/*",)


class Violations:
    """Collects what is wrong with a request, to be told all at once."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """`field` is wrong; `description` says what would be right."""
        self._found.append(FieldViolation(field, description))

    def require(self, holds: bool, field: str, description: str) -> None:
        """Add the violation unless `holds`."""
        if not holds:
            self.add(field, description)

    def raise_if_any(self) -> None:
        """Raise InvalidRequest with everything that was found."""
        if self._found:
            raise InvalidRequest(self._found)

    # Rules that several requests share.

    def uuid(self, field: str, value: str) -> None:
        """A required id that the server made."""
        self.require(bool(_UUID.fullmatch(value)), field, "must be a UUID in lower case, 36 characters")

    def sha256(self, field: str, value: str) -> None:
        """A digest."""
        self.require(bool(_SHA256.fullmatch(value)), field, "must be 64 lower-case hex digits")

    def text(self, field: str, value: str, most: int) -> None:
        """Free text without NUL (PostgreSQL cannot hold it), at most `most` characters."""
        self.require(len(value) <= most, field, f"must have at most {most} characters, has {len(value)}")
        self.require("\0" not in value, field, "must not contain NUL")

    def labels(self, field: str, labels: Mapping[str, str]) -> None:
        """A map of names to short texts."""
        count = len(labels)
        if count > MAX_METADATA_ENTRIES:
            self.add(field, f"must have at most {MAX_METADATA_ENTRIES} entries, has {count}")
            return
        for name, value in labels.items():
            shown = f"{field}[{name[:32]!r}]"
            size_fits = 1 <= len(name) <= MAX_METADATA_KEY_CHARACTERS
            self.require(size_fits, shown, f"the key must have 1 to {MAX_METADATA_KEY_CHARACTERS} characters")
            self.require("\0" not in name, shown, "the key must not contain NUL")
            self.text(shown, value, MAX_METADATA_VALUE_CHARACTERS)


def validate_spec(spec: UploadSpec, limits: Limits) -> UploadSpec:
    """`spec` with its media type in normal form.

    Raises InvalidRequest with every violation, or DocumentTooLarge where the declared size is all that is wrong.
    """
    content_type = spec.content_type.partition(";")[0].strip().lower()
    found = Violations()
    _check_filename(found, spec.filename)
    _check_content_type(found, content_type, limits.allowed_content_types)
    if spec.size is not None:
        found.require(spec.size >= 0, "spec.size", "must be 0 or more")
    if spec.sha256 is not None:
        found.sha256("spec.sha256", spec.sha256)
    if spec.key is not None:
        found.text("spec.key", spec.key, MAX_KEY_CHARACTERS)
    found.labels("spec.metadata", spec.metadata)
    if spec.request_id is not None:
        found.text("spec.request_id", spec.request_id, MAX_REQUEST_ID_CHARACTERS)
    found.raise_if_any()
    if spec.size is not None and spec.size > limits.max_document_size:
        raise DocumentTooLarge(
            f"spec.size is {spec.size} bytes, the limit is {limits.max_document_size}",
            metadata={"limit": str(limits.max_document_size), "field": "spec.size"},
        )
    return replace(spec, content_type=content_type)


def check_event_type(found: Violations, field: str, event_type: str) -> None:
    """A caller's own event: of a plain alphabet, and not one that the service itself records."""
    found.require(bool(_EVENT_TYPE.fullmatch(event_type)), field, "must be 1 to 64 characters of a-z 0-9 . _ -")
    found.require(not event_type.startswith(_RESERVED_EVENTS), field, "must not begin with `document.` or `upload.`")


def page_size_of(found: Violations, field: str, asked: int) -> int:
    """The number of entries that a page gets: 0 means the default, more than the most is cut (AIP-158)."""
    found.require(asked >= 0, field, "must be 0 or more")
    return min(asked, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def _check_filename(found: Violations, name: str) -> None:
    field = "spec.filename"
    if not name:
        found.add(field, "is required")
        return
    if len(name) > MAX_FILENAME_CHARACTERS:  # and no more of it is looked at: 4 MiB took a second of everybody's
        found.add(field, f"must have at most {MAX_FILENAME_CHARACTERS} characters, has {len(name)}")
        return
    found.require(not set(name) & {"/", "\\"}, field, "must not contain `/` or `\\`")
    found.require(name not in (".", ".."), field, "must not be `.` or `..`")
    found.require(not any(_is_control(c) for c in name), field, "must not contain control characters")
    found.require(bool(name.strip()), field, "must not be blank")


def _is_control(character: str) -> bool:
    # Cc: control; Zl, Zp: line and paragraph separators; U+202A..E and U+2066..9: overrides of direction, which
    # make `gpj.exe` read as `exe.jpg`.
    return (
        unicodedata.category(character) in ("Cc", "Zl", "Zp")
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )


def _check_content_type(found: Violations, content_type: str, allowed: tuple[str, ...]) -> None:
    field = "spec.content_type"
    if not _MEDIA_TYPE.fullmatch(content_type):
        found.add(field, "is required, and must be a media type such as `application/pdf`")
        return
    kind = content_type.partition("/")[0]
    if not {content_type, f"{kind}/*", "*/*"} & set(allowed):
        found.add(field, f"`{content_type[:64]}` is not allowed; allowed: {', '.join(allowed)[:512]}")
