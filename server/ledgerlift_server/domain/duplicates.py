"""What to do with bytes that the owner already has (DESIGN section 4 rule 8). Pure decisions.

The key is looked at before the digest. A key taken by other bytes is refused under every policy. A
key names one document only, so CREATE_NEW under a key that is taken is refused as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ledgerlift_server.domain.models import Document
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadSpec
from ledgerlift_server.errors import DuplicateDocument, KeyTaken, Resource


class Verdict(Enum):
    """What the ledger is to do."""

    STORE = "take the bytes and make a document of its own"
    SHARE = "make a new document on the stored object of `existing`"
    RETURN = "answer `existing`"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The verdict; `existing` is set for SHARE and RETURN."""

    verdict: Verdict
    existing: Document | None = None


def resolve(
    spec: UploadSpec, sha256: str, *, key_holder: Document | None, digest_holder: Document | None
) -> Resolution:
    """Decide for bytes whose digest is known.

    `key_holder` is the owner's document under `spec.key`, `digest_holder` the owner's oldest document with
    `sha256`. Raises KeyTaken or DuplicateDocument, each naming the existing document.
    """
    if key_holder is not None:
        if key_holder.sha256 != sha256 or spec.duplicate_policy is DuplicatePolicy.CREATE_NEW:
            raise key_taken(key_holder)
        digest_holder = key_holder
    if digest_holder is None:
        return Resolution(Verdict.STORE)
    if spec.duplicate_policy is DuplicatePolicy.REJECT:
        raise DuplicateDocument(
            f"document {digest_holder.document_id} has the same bytes",
            resource=Resource("document", digest_holder.document_id),
        )
    if spec.duplicate_policy is DuplicatePolicy.CREATE_NEW:
        return Resolution(Verdict.SHARE, digest_holder)
    return Resolution(Verdict.RETURN, digest_holder)


def resolve_upfront(spec: UploadSpec, *, key_holder: Document | None, digest_holder: Document | None) -> Resolution:
    """Decide before a byte has been sent, from what was declared.

    Refused is what `resolve` would refuse for certain: under a taken key, other bytes by their declared digest
    or size, and CREATE_NEW whatever the bytes are. With a digest but no size, or another size than the
    existing document's, nothing is answered on trust: the bytes are to be sent, and `resolve` decides at the end.
    """
    if key_holder is not None:
        other_digest = spec.sha256 is not None and spec.sha256 != key_holder.sha256
        other_size = spec.size is not None and spec.size != key_holder.size
        if other_digest or other_size or spec.duplicate_policy is DuplicatePolicy.CREATE_NEW:
            raise key_taken(key_holder)
    holder = key_holder or digest_holder
    if spec.sha256 is None or holder is None or spec.size != holder.size:
        return Resolution(Verdict.STORE)
    return resolve(spec, spec.sha256, key_holder=key_holder, digest_holder=digest_holder)


def key_taken(holder: Document) -> KeyTaken:
    """The refusal that names the key's holder."""
    return KeyTaken(
        f"key {holder.key!r} belongs to document {holder.document_id}",
        resource=Resource("document", holder.document_id),
    )
