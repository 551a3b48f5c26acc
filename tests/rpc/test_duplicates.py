"""Bytes that the owner has already, and keys that are taken (DESIGN section 4 rule 8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import document_service_pb2
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.callers import ByHeader, named
from tests.support.invariants import tidied
from tests.support.raw_calls import begin, delete, digest, documents, fetch, store
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import Refusal, outcome, refused
from tests.support.stores import Stores, embedded

CALLERS = 20
RETURN_EXISTING = pb.DUPLICATE_POLICY_RETURN_EXISTING
REJECT = pb.DUPLICATE_POLICY_REJECT
CREATE_NEW = pb.DUPLICATE_POLICY_CREATE_NEW
POLICIES = (RETURN_EXISTING, REJECT, CREATE_NEW)
TAKEN = (grpc.StatusCode.ALREADY_EXISTS, "KEY_TAKEN")
DUPLICATE = (grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_DOCUMENT")

bodies = pytest.mark.parametrize("parts", [0, 1], ids=["one-message", "several-parts"])


def whole(data: bytes, policy: int = RETURN_EXISTING, **declared: Any) -> Any:
    """The messages that upload `data`."""
    return messages(data, finish=True, spec=spec(duplicate_policy=policy, **declared))


def opening(policy: int, data: bytes, *, size: bool = True, **declared: Any) -> pb.CreateUploadRequest:
    """A session for `data`, with its digest and, unless told otherwise, its size."""
    described = spec(duplicate_policy=policy, sha256=digest(data), **declared)
    if size:
        described.size = len(data)
    return pb.CreateUploadRequest(spec=described)


async def race(stores: Stores, policy: int, data: bytes) -> tuple[list[Any], list[Refusal]]:
    """Twenty uploads of the same bytes at once that declare nothing: the answers, and the refusals."""
    async with stores.channel() as channel:
        calls = (
            outcome(uploads(channel).Upload, whole(data, policy, metadata={"n": str(n)})) for n in range(CALLERS)
        )
        results = await asyncio.gather(*calls)
    refusals = [one for one in results if isinstance(one, Refusal)]
    return [one for one in results if one not in refusals], refusals


@bodies
async def test_twenty_uploads_of_the_same_bytes_are_one_document(stores: Stores, parts: int) -> None:
    """RETURN_EXISTING: all are answered with it, one of them as its maker, and what the others stored is gone."""
    data = content(parts, parts * stores.part_size + 1000)
    answers, refusals = await race(stores, RETURN_EXISTING, data)
    assert refusals == []
    assert Counter(answer.duplicate for answer in answers) == {False: 1, True: CALLERS - 1}
    assert len({answer.document.SerializeToString(deterministic=True) for answer in answers}) == 1
    (document,) = (found := await tidied(stores)).documents
    assert (document.document_id, document.sha256) == (answers[0].document.document_id, digest(data))
    assert found.objects == {document.object_name}


@bodies
async def test_nineteen_of_twenty_uploads_of_the_same_bytes_are_rejected(stores: Stores, parts: int) -> None:
    """REJECT: one document, and every refusal names it."""
    data = content(parts, parts * stores.part_size + 1000)
    (answer,), refusals = await race(stores, REJECT, data)
    assert not answer.duplicate
    assert [one.kind for one in refusals] == [DUPLICATE] * (CALLERS - 1)
    assert {one.resource for one in refusals} == {("document", answer.document.document_id)}
    (document,) = (found := await tidied(stores)).documents
    assert document.document_id == answer.document.document_id
    assert found.objects == {document.object_name}


@bodies
async def test_twenty_documents_share_one_object_until_the_last_is_deleted(stores: Stores, parts: int) -> None:
    """CREATE_NEW: each is a document of its own, and the bytes are stored once, for as long as anybody has them."""
    data = content(parts, parts * stores.part_size + 1000)
    answers, refusals = await race(stores, CREATE_NEW, data)
    assert refusals == []
    ids = [answer.document.document_id for answer in answers]
    assert len(set(ids)) == len({answer.document.metadata["n"] for answer in answers}) == CALLERS
    assert not any(answer.duplicate for answer in answers)
    found = await tidied(stores)
    assert {document.document_id for document in found.documents} == set(ids)
    assert len(found.objects) == 1

    async with stores.channel() as channel:
        await asyncio.gather(*(delete(channel, document_id) for document_id in ids[1:]))
        assert await fetch(channel, ids[0]) == data
    assert (await tidied(stores)).objects == found.objects
    async with stores.channel() as channel:
        await delete(channel, ids[0])
    found = await tidied(stores)
    assert (found.documents, found.objects, found.blobs) == ((), frozenset(), {})


async def test_after_the_last_document_the_bytes_are_stored_afresh(tmp_path: Path) -> None:
    """Zero is final: nobody comes to share an object that is about to be removed."""
    stores = embedded(tmp_path)
    data = content(1, 1000)
    async with stores.channel() as channel:
        first = (await store(channel, data)).document
        await delete(channel, first.document_id)
        again = await uploads(channel).CreateUpload(opening(CREATE_NEW, data))
        assert again.upload.state == pb.UPLOAD_STATE_ACTIVE
        second = await store(channel, data, duplicate_policy=CREATE_NEW)
        assert await fetch(channel, second.document.document_id) == data
    found = await tidied(stores)
    assert [document.document_id for document in found.documents] == [second.document.document_id]
    assert len(found.objects) == 1


async def test_twenty_uploads_of_different_bytes_under_one_key_are_one_document(stores: Stores) -> None:
    """Under every policy, KEY_TAKEN names the document that holds the key, and nothing of the others is left."""
    async with stores.channel() as channel:
        calls = [
            outcome(uploads(channel).Upload, whole(content(n, 1000), POLICIES[n % 3], key="k"))
            for n in range(CALLERS)
        ]
        results = await asyncio.gather(*calls)
    refusals = [one for one in results if isinstance(one, Refusal)]
    (answer,) = [one for one in results if one not in refusals]
    assert [one.kind for one in refusals] == [TAKEN] * (CALLERS - 1)
    assert {one.resource for one in refusals} == {("document", answer.document.document_id)}
    found = await tidied(stores)
    assert [document.document_id for document in found.documents] == [answer.document.document_id]
    assert len(found.objects) == 1


async def test_the_key_is_looked_at_before_the_digest(tmp_path: Path) -> None:
    """The same bytes under a taken key are its document, or are refused; under another key the digest decides."""
    data, other = content(1, 1000), content(2, 1000)
    expected = {RETURN_EXISTING: None, REJECT: DUPLICATE, CREATE_NEW: TAKEN}
    async with embedded(tmp_path).channel() as channel:
        # Sessions from before the key was taken, so that only the end of their bytes can decide.
        early = {
            policy: [await begin(channel, key="k", duplicate_policy=policy) for _ in "ab"] for policy in expected
        }
        oldest = (await store(channel, data)).document
        await store(channel, other)
        held = (await store(channel, data, key="k", duplicate_policy=CREATE_NEW)).document
        for policy, kind in expected.items():
            same, different = early[policy]
            for method, request in (
                (uploads(channel).Upload, messages(data, finish=True, upload_id=same)),
                (uploads(channel).Upload, whole(data, policy, key="k")),
                (uploads(channel).CreateUpload, opening(policy, data, key="k")),
            ):
                answer = await outcome(method, request)
                if kind is None:
                    assert (answer.document, answer.duplicate) == (held, True)
                else:
                    assert (answer.kind, answer.resource) == (kind, ("document", held.document_id))
            # Bytes that are there already, but under no key: the key comes first.
            for method, request in (
                (uploads(channel).Upload, messages(other, finish=True, upload_id=different)),
                (uploads(channel).CreateUpload, opening(policy, other, key="k")),
                (uploads(channel).CreateUpload, opening(policy, other, key="k", size=False)),
            ):
                refusal = await refused(method, request)
                assert (refusal.kind, refusal.resource) == (TAKEN, ("document", held.document_id))
        again = await store(channel, data, key="another")
        assert (again.document, again.duplicate) == (oldest, True)  # the new key is ignored


async def test_declared_bytes_are_answered_before_they_are_sent(tmp_path: Path) -> None:
    """With the right digest and size, CreateUpload and the first message of Upload are all it takes."""
    data = content(1, 100_000)
    declared: dict[str, Any] = {"size": len(data), "sha256": digest(data)}
    async with embedded(tmp_path).channel() as channel:
        held = (await store(channel, data)).document
        for policy in POLICIES:
            results = [
                await outcome(uploads(channel).CreateUpload, opening(policy, data)),
                await outcome(uploads(channel).Upload, messages(b"", spec=spec(duplicate_policy=policy, **declared))),
            ]
            for result in results:
                if policy == REJECT:
                    assert (result.kind, result.resource) == (DUPLICATE, ("document", held.document_id))
                else:
                    assert (result.document == held, result.duplicate) == ((policy == RETURN_EXISTING,) * 2)
                    assert result.document.sha256 == held.sha256
        for untrusted in (opening(RETURN_EXISTING, data, size=False), opening(REJECT, data, size=False)):
            answer = await uploads(channel).CreateUpload(untrusted)  # a digest alone is no proof of having the bytes
            assert answer.upload.state == pb.UPLOAD_STATE_ACTIVE
            assert not answer.HasField("document")


async def test_check_digests_tells_what_is_there(tmp_path: Path) -> None:
    """In the order of the request, each once, with the oldest document of the bytes and its size."""
    first, second, missing = content(1, 10), content(2, 20), content(3, 30)
    async with embedded(tmp_path).channel() as channel:
        ids = [(await store(channel, data)).document.document_id for data in (first, second)]
        await store(channel, first, duplicate_policy=CREATE_NEW)
        asked = [digest(data) for data in (missing, second, first, second)]
        answer = await uploads(channel).CheckDigests(pb.CheckDigestsRequest(sha256=asked))
    assert [(one.sha256, one.document_id, one.size) for one in answer.existing] == [
        (digest(second), ids[1], 20),
        (digest(first), ids[0], 10),
    ]


@pytest.mark.parametrize("policy", POLICIES)
async def test_another_owners_bytes_and_keys_are_not_seen(stores: Stores, policy: int) -> None:
    """Neither shared, nor refused, nor told of: each owner has a document and an object of its own."""
    data = content(1, 1000)
    found: dict[str, Any] = {}
    async with stores.channel(authenticator=ByHeader()) as channel:
        for owner in ("alice", "bob"):
            mine = named(owner)
            digests = pb.CheckDigestsRequest(sha256=[digest(data)])
            assert not (await uploads(channel).CheckDigests(digests, metadata=mine)).existing
            opened = await uploads(channel).CreateUpload(opening(policy, data, key="k"), metadata=mine)
            assert opened.upload.state == pb.UPLOAD_STATE_ACTIVE
            found[owner] = await uploads(channel).Upload(whole(data, policy, key="k"), metadata=mine)
            assert (found[owner].document.owner, found[owner].duplicate) == (owner, False)
        await delete(channel, found["alice"].document.document_id, metadata=named("alice"))
        theirs = document_service_pb2.DownloadDocumentRequest(document_id=found["bob"].document.document_id)
        refusal = await refused(documents(channel).DownloadDocument, theirs, metadata=named("alice"))
        assert refusal.kind == (grpc.StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND")
        assert await fetch(channel, found["bob"].document.document_id, metadata=named("bob")) == data
