"""`domain/duplicates.py`: what becomes of bytes that the owner has already, and of a key that is taken."""

from __future__ import annotations

from itertools import product

import pytest
from ledgerlift_server.domain.duplicates import Resolution, Verdict, resolve, resolve_upfront
from ledgerlift_server.domain.models import Document
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadSpec
from ledgerlift_server.errors import Conflict, DuplicateDocument, KeyTaken, Resource

from tests.support.domain_objects import SHA_A, SHA_B, document, spec

RETURN_EXISTING, REJECT, CREATE_NEW = (
    DuplicatePolicy.RETURN_EXISTING,
    DuplicatePolicy.REJECT,
    DuplicatePolicy.CREATE_NEW,
)
SAME = document(sha256=SHA_A, document_id="same-bytes")
KEYED_SAME = document(sha256=SHA_A, key="k", document_id="same-bytes-same-key")
KEYED_OTHER = document(sha256=SHA_B, key="k", document_id="other-bytes-same-key")

STORE = Resolution(Verdict.STORE)


def outcome(
    spec: UploadSpec, sha256: str, key_holder: Document | None, digest_holder: Document | None
) -> Resolution | type[Conflict]:
    """The verdict, or the kind of the refusal."""
    try:
        return resolve(spec, sha256, key_holder=key_holder, digest_holder=digest_holder)
    except Conflict as conflict:
        return type(conflict)


@pytest.mark.parametrize(
    ("policy", "key_holder", "digest_holder", "expected"),
    [
        (RETURN_EXISTING, None, None, STORE),
        (REJECT, None, None, STORE),
        (CREATE_NEW, None, None, STORE),
        (RETURN_EXISTING, None, SAME, Resolution(Verdict.RETURN, SAME)),
        (REJECT, None, SAME, DuplicateDocument),
        (CREATE_NEW, None, SAME, Resolution(Verdict.SHARE, SAME)),
        (RETURN_EXISTING, KEYED_SAME, KEYED_SAME, Resolution(Verdict.RETURN, KEYED_SAME)),
        (REJECT, KEYED_SAME, KEYED_SAME, DuplicateDocument),
        (CREATE_NEW, KEYED_SAME, KEYED_SAME, KeyTaken),
        # The key is looked at before the digest: its holder is answered, not the older document of these bytes.
        (RETURN_EXISTING, KEYED_SAME, SAME, Resolution(Verdict.RETURN, KEYED_SAME)),
        (RETURN_EXISTING, KEYED_OTHER, None, KeyTaken),
        (REJECT, KEYED_OTHER, None, KeyTaken),
        (CREATE_NEW, KEYED_OTHER, None, KeyTaken),
        (RETURN_EXISTING, KEYED_OTHER, SAME, KeyTaken),
        (REJECT, KEYED_OTHER, SAME, KeyTaken),
        (CREATE_NEW, KEYED_OTHER, SAME, KeyTaken),
    ],
)
def test_decided_when_the_bytes_are_there(
    policy: DuplicatePolicy,
    key_holder: Document | None,
    digest_holder: Document | None,
    expected: Resolution | type[Conflict],
) -> None:
    """Every policy against every kind of holder."""
    assert outcome(spec(key="k", duplicate_policy=policy), SHA_A, key_holder, digest_holder) == expected


@pytest.mark.parametrize(
    ("policy", "key_holder", "digest_holder", "named"),
    [
        (REJECT, None, SAME, SAME),
        (REJECT, KEYED_SAME, SAME, KEYED_SAME),
        (CREATE_NEW, KEYED_SAME, SAME, KEYED_SAME),
        (RETURN_EXISTING, KEYED_OTHER, SAME, KEYED_OTHER),
    ],
)
def test_a_refusal_names_the_document_in_the_way(
    policy: DuplicatePolicy, key_holder: Document | None, digest_holder: Document | None, named: Document
) -> None:
    """The caller can look at what it is, and decide."""
    asked = spec(key="k", duplicate_policy=policy)
    with pytest.raises(Conflict) as refused:
        resolve(asked, SHA_A, key_holder=key_holder, digest_holder=digest_holder)
    assert refused.value.resource == Resource("document", named.document_id)


@pytest.mark.parametrize("policy", DuplicatePolicy)
@pytest.mark.parametrize(
    ("sha256", "size"),
    [
        (None, None),
        (None, 100),  # a size alone proves nothing
        (SHA_A, None),  # nor does a digest alone: the bytes are to be shown
        (SHA_A, 99),  # a digest with another size is somebody's mistake; the bytes will tell
    ],
)
def test_nothing_is_answered_on_trust(policy: DuplicatePolicy, sha256: str | None, size: int | None) -> None:
    """Without both digest and right size the bytes have to be sent."""
    asked = spec(sha256=sha256, size=size, duplicate_policy=policy)
    assert resolve_upfront(asked, key_holder=None, digest_holder=SAME) == STORE


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RETURN_EXISTING, Resolution(Verdict.RETURN, SAME)),
        (CREATE_NEW, Resolution(Verdict.SHARE, SAME)),
    ],
)
def test_digest_and_size_declared_are_answered_before_a_byte_is_sent(
    policy: DuplicatePolicy, expected: Resolution
) -> None:
    """What is there already need not be sent."""
    asked = spec(sha256=SHA_A, size=100, duplicate_policy=policy)
    assert resolve_upfront(asked, key_holder=None, digest_holder=SAME) == expected


def test_a_known_duplicate_is_rejected_before_a_byte_is_sent() -> None:
    """REJECT does not let a caller send a gigabyte first."""
    asked = spec(sha256=SHA_A, size=100, duplicate_policy=REJECT)
    with pytest.raises(DuplicateDocument):
        resolve_upfront(asked, key_holder=None, digest_holder=SAME)


@pytest.mark.parametrize("policy", DuplicatePolicy)
@pytest.mark.parametrize(("sha256", "size"), [(SHA_B, None), (None, 99), (SHA_B, 100), (SHA_A, 99)])
def test_a_key_taken_by_other_bytes_is_refused_up_front(
    policy: DuplicatePolicy, sha256: str | None, size: int | None
) -> None:
    """A declared digest or size that is not the holder's can only be other bytes."""
    asked = spec(key="k", sha256=sha256, size=size, duplicate_policy=policy)
    with pytest.raises(KeyTaken):
        resolve_upfront(asked, key_holder=KEYED_SAME, digest_holder=None)


@pytest.mark.parametrize(("sha256", "size"), [(None, None), (SHA_A, None), (None, 100), (SHA_A, 100), (SHA_B, 100)])
def test_create_new_under_a_taken_key_is_refused_up_front(sha256: str | None, size: int | None) -> None:
    """It would be refused whatever the bytes are, so nobody is made to send them (ADR 0003)."""
    asked = spec(key="k", sha256=sha256, size=size, duplicate_policy=CREATE_NEW)
    with pytest.raises(KeyTaken):
        resolve_upfront(asked, key_holder=KEYED_SAME, digest_holder=None)


def test_the_same_bytes_under_their_own_key_are_answered_up_front() -> None:
    """The key's holder is the existing document."""
    asked = spec(key="k", sha256=SHA_A, size=100)
    assert resolve_upfront(asked, key_holder=KEYED_SAME, digest_holder=SAME) == Resolution(Verdict.RETURN, KEYED_SAME)


@pytest.mark.parametrize(
    ("policy", "sha256", "size", "key_holder", "digest_holder"),
    list(
        product(
            DuplicatePolicy,
            (None, SHA_A, SHA_B),
            (None, 99, 100),
            (None, KEYED_SAME, KEYED_OTHER),
            (None, SAME),
        )
    ),
)
def test_up_front_and_at_the_end_never_contradict_each_other(
    policy: DuplicatePolicy,
    sha256: str | None,
    size: int | None,
    key_holder: Document | None,
    digest_holder: Document | None,
) -> None:
    """What is refused before the bytes would be refused after them, whatever bytes fit the declaration."""
    if digest_holder is not None and sha256 != SHA_A:
        digest_holder = None  # the ledger looks for the declared digest only
    asked = spec(key="k", sha256=sha256, size=size, duplicate_policy=policy)
    try:
        early: Resolution | None = resolve_upfront(asked, key_holder=key_holder, digest_holder=digest_holder)
    except Conflict:
        early = None
    holders = [d for d in (key_holder, digest_holder) if d is not None]
    # Bytes that fit what was declared: those of a holder (with its size), or others.
    fitting = [d.sha256 for d in holders if sha256 in (None, d.sha256) and size in (None, d.size)]
    if sha256 not in {d.sha256 for d in holders}:
        fitting.append(sha256 or "c" * 64)
    for arrived in fitting:
        known = next((d for d in holders if d.sha256 == arrived and size in (None, d.size)), None)
        late = outcome(asked, arrived, key_holder, known)
        if early is None:
            assert isinstance(late, type), f"refused up front, but {late} for {arrived}"
        elif early.verdict is not Verdict.STORE:
            assert late == early
