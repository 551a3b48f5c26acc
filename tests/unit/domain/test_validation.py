"""`domain/validation.py`: every bound on both sides of it, and every violation of a request at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift_server.domain.validation import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    Limits,
    Violations,
    check_event_type,
    page_size_of,
    validate_spec,
)
from ledgerlift_server.errors import DocumentTooLarge, InvalidRequest

from tests.support.domain_objects import SHA_A, spec

LIMITS = Limits(max_document_size=1000)


class Watched(str):
    """A text that tells whether it was walked through."""

    walked = False

    def __iter__(self) -> Any:
        """What every look at each character begins with."""
        self.walked = True
        return super().__iter__()


def fields_of(error: InvalidRequest) -> list[str]:
    """The fields that are named, each once, in order."""
    return list(dict.fromkeys(violation.field for violation in error.violations))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"filename": "x"},
        {"filename": "x" * 255},
        {"filename": "\U0001f4c4" * 255},  # 4 bytes each: 1020 bytes
        {"filename": "..."},
        {"filename": " leading and trailing "},
        {"filename": "übersicht 2026 (final).PDF"},
        {"filename": "مرحبا.txt"},
        {"size": 0},
        {"size": 1000},
        {"sha256": SHA_A},
        {"sha256": "0123456789abcdef" * 4},
        {"key": "k"},
        {"key": "k" * 512},
        {"key": "ключ/with/slashes\n"},
        {"metadata": {str(n): "" for n in range(64)}},
        {"metadata": {"k" * 128: "v" * 1024}},
        {"request_id": "r" * 128},
        {"content_type": "a/b"},
        {"content_type": f"{'a' * 127}/{'b' * 127}"},
        {"content_type": "application/vnd.ms-excel.sheet.macroEnabled.12"},
        {"content_type": "image/svg+xml"},
    ],
    ids=repr,
)
def test_what_lies_within_the_bounds_is_taken(changes: dict[str, Any]) -> None:
    """The last value that is allowed is allowed."""
    validate_spec(spec(**changes), LIMITS)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filename": ""}, "spec.filename"),
        ({"filename": "x" * 256}, "spec.filename"),
        ({"filename": "   "}, "spec.filename"),
        ({"filename": "\u00a0\u2003"}, "spec.filename"),
        ({"filename": "."}, "spec.filename"),
        ({"filename": ".."}, "spec.filename"),
        ({"filename": "a/b"}, "spec.filename"),
        ({"filename": "..\\b"}, "spec.filename"),
        ({"filename": "a\0b"}, "spec.filename"),
        ({"filename": "a\nb"}, "spec.filename"),
        ({"filename": "a\x7fb"}, "spec.filename"),
        ({"filename": "a\x85b"}, "spec.filename"),
        ({"filename": "a\u2028b"}, "spec.filename"),
        ({"filename": "a\u2029b"}, "spec.filename"),
        ({"filename": "photo\u202egpj.exe"}, "spec.filename"),
        ({"filename": "photo\u202agpj.exe"}, "spec.filename"),
        ({"filename": "photo\u2066gpj.exe"}, "spec.filename"),
        ({"filename": "photo\u2069gpj.exe"}, "spec.filename"),
        ({"content_type": ""}, "spec.content_type"),
        ({"content_type": "pdf"}, "spec.content_type"),
        ({"content_type": "/pdf"}, "spec.content_type"),
        ({"content_type": "application/"}, "spec.content_type"),
        ({"content_type": "application/pdf/x"}, "spec.content_type"),
        ({"content_type": "application/p df"}, "spec.content_type"),
        ({"content_type": "*/*"}, "spec.content_type"),
        ({"content_type": f"{'a' * 128}/b"}, "spec.content_type"),
        ({"content_type": "text/plain\n"}, None),  # white space around it is no matter
        ({"size": -1}, "spec.size"),
        ({"sha256": ""}, "spec.sha256"),
        ({"sha256": "a" * 63}, "spec.sha256"),
        ({"sha256": "a" * 65}, "spec.sha256"),
        ({"sha256": "A" * 64}, "spec.sha256"),
        ({"sha256": "g" * 64}, "spec.sha256"),
        ({"sha256": "a" * 64 + "\n"}, "spec.sha256"),
        ({"key": "k" * 513}, "spec.key"),
        ({"key": "k\0"}, "spec.key"),
        ({"metadata": {str(n): "" for n in range(65)}}, "spec.metadata"),
        ({"metadata": {"": "v"}}, "spec.metadata['']"),
        ({"metadata": {"k" * 129: "v"}}, f"spec.metadata['{'k' * 32}']"),
        ({"metadata": {"a\0": "v"}}, r"spec.metadata['a\x00']"),
        ({"metadata": {"a": "v" * 1025}}, "spec.metadata['a']"),
        ({"metadata": {"a": "\0"}}, "spec.metadata['a']"),
        ({"request_id": "r" * 129}, "spec.request_id"),
        ({"request_id": "\0"}, "spec.request_id"),
    ],
    ids=repr,
)
def test_what_lies_beyond_a_bound_is_refused_by_name(changes: dict[str, Any], field: str | None) -> None:
    """One wrong field is one InvalidRequest that names it and nothing else."""
    if field is None:
        validate_spec(spec(**changes), LIMITS)
        return
    with pytest.raises(InvalidRequest) as refused:
        validate_spec(spec(**changes), LIMITS)
    assert fields_of(refused.value) == [field]


def test_every_violation_is_told_at_once() -> None:
    """Nobody has to try ten times."""
    wrong = spec(
        filename="a/b\n",
        content_type="nonsense",
        size=-5,
        sha256="xyz",
        key="\0",
        metadata={"": "v" * 2000},
        request_id="r" * 500,
    )
    with pytest.raises(InvalidRequest) as refused:
        validate_spec(wrong, LIMITS)
    assert fields_of(refused.value) == [
        "spec.filename",
        "spec.content_type",
        "spec.size",
        "spec.sha256",
        "spec.key",
        "spec.metadata['']",
        "spec.request_id",
    ]
    assert len(refused.value.violations) == 9  # two about the name, two about the label
    assert refused.value.message == "spec.filename: must not contain `/` or `\\` (and 8 more)"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("Application/PDF", "application/pdf"),
        ("text/plain; charset=utf-8", "text/plain"),
        (" text/html ;x=y", "text/html"),
    ],
)
def test_the_media_type_comes_back_in_its_normal_form(given: str, normal: str) -> None:
    """Case and parameters make no other type."""
    assert validate_spec(spec(content_type=given), LIMITS) == spec(content_type=normal)


@pytest.mark.parametrize(
    ("allowed", "content_type", "taken"),
    [
        (("*/*",), "application/pdf", True),
        (("application/pdf",), "application/pdf", True),
        (("application/pdf",), "application/json", False),
        (("image/*",), "image/png", True),
        (("image/*",), "imagex/png", False),
        (("image/*", "text/plain"), "text/plain", True),
        ((), "text/plain", False),
    ],
)
def test_only_allowed_types_are_taken(allowed: tuple[str, ...], content_type: str, taken: bool) -> None:
    """The server's list holds whole types, `type/*`, or everything."""
    limits = Limits(1000, allowed)
    if taken:
        validate_spec(spec(content_type=content_type), limits)
    else:
        with pytest.raises(InvalidRequest, match="is not allowed"):
            validate_spec(spec(content_type=content_type), limits)


def test_too_large_is_its_own_refusal_with_the_limit() -> None:
    """A size that is well-formed but too large says how much would be taken."""
    with pytest.raises(DocumentTooLarge) as refused:
        validate_spec(spec(size=1001), LIMITS)
    assert refused.value.metadata["limit"] == "1000"


def test_too_large_does_not_hide_other_violations() -> None:
    """What is malformed is told first."""
    with pytest.raises(InvalidRequest):
        validate_spec(spec(size=1001, filename=""), LIMITS)


@given(st.text(max_size=300))
def test_no_name_that_is_taken_can_mislead_a_file_system(name: str) -> None:
    """Whatever is accepted is one path component of printable characters."""
    try:
        validate_spec(spec(filename=name), LIMITS)
    except InvalidRequest:
        return
    assert name not in ("", ".", "..")
    assert not set(name) & {"/", "\\", "\0", "\n", "\r"}
    assert 0 < len(name.encode()) <= 1024


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("01900000-0000-7000-8000-000000000001", True),
        ("01900000-0000-7000-8000-00000000000", False),
        ("01900000-0000-7000-8000-00000000000G", False),
        ("01900000-0000-7000-8000-00000000000A", False),
        ("0190000000007000800000000000000100000", False),
        ("", False),
        ("01900000-0000-7000-8000-000000000001\n", False),
    ],
)
def test_an_id_is_a_uuid_in_lower_case(value: str, valid: bool) -> None:
    """Anything else is malformed, not unknown."""
    found = Violations()
    found.uuid("upload_id", value)
    if valid:
        found.raise_if_any()
    else:
        with pytest.raises(InvalidRequest):
            found.raise_if_any()


@pytest.mark.parametrize(
    ("event_type", "valid"),
    [
        ("ocr.done", True),
        ("a", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("Upper", False),
        ("with space", False),
        ("document.created", False),
        ("document.anything", False),
        ("upload.failed", False),
        ("documented", True),
    ],
)
def test_a_callers_event_is_plain_and_not_one_of_ours(event_type: str, valid: bool) -> None:
    """Nobody can forge an entry that the service itself writes."""
    found = Violations()
    check_event_type(found, "type", event_type)
    if valid:
        found.raise_if_any()
    else:
        with pytest.raises(InvalidRequest):
            found.raise_if_any()


@pytest.mark.parametrize(
    ("asked", "given_"),
    [(0, DEFAULT_PAGE_SIZE), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE), (MAX_PAGE_SIZE + 1, MAX_PAGE_SIZE)],
)
def test_page_sizes_are_cut_not_refused(asked: int, given_: int) -> None:
    """0 means the default, more than the most means the most (AIP-158)."""
    found = Violations()
    assert page_size_of(found, "page_size", asked) == given_
    found.raise_if_any()


def test_a_negative_page_size_is_refused() -> None:
    """There is no page of less than nothing."""
    found = Violations()
    page_size_of(found, "page_size", -1)
    with pytest.raises(InvalidRequest, match="page_size"):
        found.raise_if_any()


def test_a_name_that_is_too_long_is_not_looked_at_any_further() -> None:
    """A message may hold millions of characters, and looking at each is done where every other call waits."""
    name = Watched("x" * 256)
    with pytest.raises(InvalidRequest) as refused:
        validate_spec(spec(filename=name), LIMITS)
    assert fields_of(refused.value) == ["spec.filename"]
    assert not name.walked
