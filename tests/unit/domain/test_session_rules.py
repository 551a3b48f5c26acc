"""`domain/session_rules.py`: what a state refuses, which requests are the same, what is left behind."""

from __future__ import annotations

from typing import Any

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.session_rules import check_same_request, leftovers, recorded_failure, refusal
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadState

from tests.support.domain_objects import DOCUMENT_ID, SHA_A, SHA_B, UPLOAD_ID, session, spec

NAME = session().object_name


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (UploadState.ACTIVE, errors.UploadSuperseded),
        (UploadState.COMMITTING, errors.UploadCommitting),
        (UploadState.COMMITTED, errors.UploadAlreadyCommitted),
        (UploadState.FAILED, errors.UploadFailed),
        (UploadState.CANCELLED, errors.UploadCancelled),
        (UploadState.EXPIRED, errors.UploadExpired),
    ],
)
def test_every_state_refuses_in_its_own_words(state: UploadState, expected: type[errors.LedgerLiftError]) -> None:
    """A write that finds no row is told by the session's state why, and which session it is."""
    refused = refusal(session(state=state, epoch=7, persisted_size=64), 6)
    assert type(refused) is expected
    assert refused.metadata["upload_id"] == UPLOAD_ID
    if state is not UploadState.FAILED:
        assert refused.metadata["persisted_size"] == "64"


def test_final_states_are_those_that_never_change() -> None:
    """Only ACTIVE and COMMITTING go anywhere."""
    assert {state for state in UploadState if not state.final} == {UploadState.ACTIVE, UploadState.COMMITTING}


@pytest.mark.parametrize(
    "kind",
    [
        errors.ChecksumMismatch,
        errors.SizeMismatch,
        errors.ContentTypeMismatch,
        errors.DocumentTooLarge,
        errors.StoredObjectCorrupt,
    ],
)
def test_a_recorded_failure_is_told_again_as_it_was(kind: type[errors.LedgerLiftError]) -> None:
    """A replay answers the same error as the first time, with its sentence."""
    failed = session(state=UploadState.FAILED, error_reason=kind.reason, error_message="what was wrong")
    again = recorded_failure(failed)
    assert (type(again), again.message) == (kind, "what was wrong")
    assert again.metadata == {"upload_id": UPLOAD_ID, "cause": kind.reason}


@pytest.mark.parametrize("kind", [errors.DuplicateDocument, errors.KeyTaken])
def test_a_recorded_conflict_still_names_the_document(kind: type[errors.LedgerLiftError]) -> None:
    """The document in the way is part of the answer, also the second time."""
    failed = session(
        state=UploadState.FAILED, error_reason=kind.reason, error_message="in the way", document_id=DOCUMENT_ID
    )
    again = recorded_failure(failed)
    assert type(again) is kind
    assert again.resource == errors.Resource("document", DOCUMENT_ID)


def test_a_failure_of_an_unknown_reason_is_still_a_failure() -> None:
    """A reason of another version of this program is not lost, and not an internal error."""
    failed = session(state=UploadState.FAILED, error_reason="OF_ANOTHER_VERSION", error_message="odd")
    again = recorded_failure(failed)
    assert type(again) is errors.UploadFailed
    assert (again.message, again.metadata["cause"]) == ("odd", "OF_ANOTHER_VERSION")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({}, {}),
        ({"size": 5}, {}),
        ({}, {"size": 5}),
        ({"sha256": SHA_A}, {}),
        ({}, {"sha256": SHA_A}),
        ({"size": 5, "sha256": SHA_A}, {"size": 5, "sha256": SHA_A}),
        ({"metadata": {"a": "1", "b": "2"}}, {"metadata": {"b": "2", "a": "1"}}),
    ],
)
def test_the_same_request_may_say_more_or_less_the_second_time(first: dict[str, Any], again: dict[str, Any]) -> None:
    """Size and digest may be learnt later; the order of labels means nothing."""
    check_same_request(session(spec=spec(request_id="r", **first)), spec(request_id="r", **again))


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"filename": "other.bin"}, "filename"),
        ({"content_type": "text/plain"}, "content_type"),
        ({"key": "other"}, "key"),
        ({"key": None}, "key"),
        ({"duplicate_policy": DuplicatePolicy.REJECT}, "duplicate_policy"),
        ({"metadata": {}}, "metadata"),
        ({"metadata": {"a": "2"}}, "metadata"),
        ({"size": 6}, "size"),
        ({"size": 0}, "size"),
        ({"sha256": SHA_B}, "sha256"),
        ({"size": 6, "filename": "x", "sha256": SHA_B}, "filename,size,sha256"),
    ],
)
def test_another_upload_under_the_same_id_is_refused(changes: dict[str, Any], differing: str) -> None:
    """The refusal names what differs and the session that has the id."""
    first = {"key": "k", "metadata": {"a": "1"}, "size": 5, "sha256": SHA_A, "request_id": "r"}
    with pytest.raises(errors.RequestIdReused) as refused:
        check_same_request(session(spec=spec(**first)), spec(**first | changes))
    assert refused.value.metadata["differing"] == differing
    assert refused.value.resource == errors.Resource("upload", UPLOAD_ID)


@pytest.mark.parametrize(
    ("final", "declared", "differing"),
    [
        ({"final_size": 5}, {"size": 6}, "size"),
        ({"final_size": 0}, {"size": 6}, "size"),
        ({"final_sha256": SHA_A}, {"sha256": SHA_B}, "sha256"),
    ],
)
def test_other_bytes_are_not_answered_with_a_committed_document(
    final: dict[str, Any], declared: dict[str, Any], differing: str
) -> None:
    """The first call declared nothing, but its bytes are known now: a replay for other bytes is refused."""
    committed = session(spec=spec(request_id="r"), state=UploadState.COMMITTED, **final)
    with pytest.raises(errors.RequestIdReused) as refused:
        check_same_request(committed, spec(request_id="r", **declared))
    assert refused.value.metadata["differing"] == differing


def test_a_session_of_parts_leaves_its_multipart() -> None:
    """Failed or given up: one entry, which stands for the parts and the object."""
    ended = session(multipart_id="m", epoch=5)
    assert list(leftovers(ended, None)) == [(NAME, "m")]


def test_a_published_multipart_leaves_nothing() -> None:
    """Its object is the document's."""
    assert list(leftovers(session(multipart_id="m", epoch=5), NAME)) == []


def test_a_duplicate_leaves_the_object_that_it_did_not_need() -> None:
    """The bytes that were sent once more are removed."""
    assert list(leftovers(session(multipart_id="m"), "objects/of/another")) == [(NAME, "m")]


def test_small_documents_leave_one_object_for_each_fenced_epoch() -> None:
    """Each holder wrote under a name of its own; all but the published one go (ADR 0001)."""
    published = session(epoch=3)
    assert list(leftovers(published, published.put_name(2))) == [(f"{NAME}.1", None), (f"{NAME}.3", None)]
    assert list(leftovers(published, None)) == [(f"{NAME}.{epoch}", None) for epoch in (1, 2, 3)]


def test_a_session_that_nobody_held_leaves_nothing() -> None:
    """Epoch 0: opened, never streamed to."""
    assert list(leftovers(session(epoch=0), None)) == []
