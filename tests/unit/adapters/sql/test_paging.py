"""Page tokens: whatever goes in comes out, for the same list only."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift_server.adapters.sql.document_queries import after_prefix
from ledgerlift_server.adapters.sql.events import BEGINNING, decode_cursor, encode_cursor
from ledgerlift_server.adapters.sql.paging import PageTokens, three_numbers, time_and_id
from ledgerlift_server.adapters.sql.types import EPOCH, from_microseconds, to_microseconds
from ledgerlift_server.domain.models import DocumentFilter
from ledgerlift_server.errors import InvalidRequest

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.integers(0, 2**63 - 1)


@given(st.integers(0, 2**57), st.uuids())
def test_a_token_holds_its_position_exactly(microseconds: int, identity: object) -> None:
    """To the microsecond: a rounded one would repeat or skip documents."""
    tokens = PageTokens(time_and_id, "documents", "alice", DocumentFilter())
    position = tokens.decode(tokens.encode(microseconds, str(identity)))
    assert position == (EPOCH + timedelta(microseconds=microseconds), str(identity))
    assert to_microseconds(from_microseconds(microseconds)) == microseconds


@given(st.one_of(texts, st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_anything_else_is_refused(token: str) -> None:
    """Never a crash, whatever a client sends."""
    for tokens in (PageTokens(time_and_id, "documents"), PageTokens(three_numbers, "events")):
        if token:
            with pytest.raises(InvalidRequest):
                tokens.decode(token)
        else:
            assert tokens.decode(token) is None


@pytest.mark.parametrize(
    "position",
    [
        [],
        [1],
        ["1", "a"],
        [1, 2],
        [1, "a", 3],
        [2**70, "a"],
        [10**18, "a"],
        [1, "a\x00"],
        [None, "a"],
        [{}, "a"],
        [True],
    ],
)
def test_a_forged_position_is_refused(position: list[object]) -> None:
    """A right fingerprint is no right position."""
    tokens = PageTokens(time_and_id, "documents")
    (fingerprint,) = json.loads(base64.urlsafe_b64decode(tokens.encode() + "=="))
    forged = base64.urlsafe_b64encode(json.dumps([fingerprint, *position]).encode()).decode().rstrip("=")
    with pytest.raises(InvalidRequest):
        tokens.decode(forged)


def test_brackets_without_end_are_no_token() -> None:
    """JSON that is nested deeper than Python can read."""
    token = base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=")
    with pytest.raises(InvalidRequest):
        PageTokens(time_and_id, "documents").decode(token)


def test_a_token_belongs_to_its_list_its_owner_and_its_filters() -> None:
    """Any other refuses it."""
    token = PageTokens(time_and_id, "documents", "alice", DocumentFilter()).encode(1, "a")
    for scope in (
        ("uploads", "alice", DocumentFilter()),
        ("documents", "bob", DocumentFilter()),
        ("documents", "alice", DocumentFilter(key_prefix="")),
    ):
        with pytest.raises(InvalidRequest, match="other filters"):
            PageTokens(time_and_id, *scope).decode(token)


@given(st.tuples(st.integers(0, 2**31 - 1), numbers, numbers))
def test_a_cursor_holds_its_position(position: tuple[int, int, int]) -> None:
    """And the empty one is before everything."""
    assert decode_cursor(encode_cursor(position)) == position
    assert decode_cursor("") == BEGINNING < position


@given(texts, texts)
def test_the_end_of_a_prefix(prefix: str, rest: str) -> None:
    """By code point: above everything that begins with it, and not above anything that does not."""
    end = after_prefix(prefix)
    below = rest < end if end is not None else True
    assert (prefix <= rest and below) == rest.startswith(prefix)
    assert end is None or end.encode()
