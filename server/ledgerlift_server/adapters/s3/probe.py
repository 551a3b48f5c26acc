"""What a store really does, found out at start on an object of our own: documentation and checksums differ.

Stores that speak S3 differ where it hurts: some ignore checksums, some do not list them, some answer a repeated
Complete with success and some with NoSuchUpload. LedgerLift can live with most of it, and says what it found.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from crc32c import crc32c

from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.failures import AlreadyThere
from ledgerlift_server.adapters.s3.integrity import Integrity, encode
from ledgerlift_server.adapters.s3.multiparts import S3Multiparts
from ledgerlift_server.adapters.s3.objects import S3Objects
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.domain.store_port import (
    IntegrityRefused,
    InvalidPart,
    NoSuchMultipart,
    NoSuchObject,
    StoreAnswer,
)
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import DependencyUnavailable, LedgerLiftError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Checks = Literal["crc32c", "md5", "none"]
Repeated = Literal["accepted", "no such upload", "refused"]

_BODY = memoryview(b"LedgerLift looks at what this store does.")
_CRC32C = crc32c(_BODY)
_WRONG_CRC32C = _CRC32C ^ 1
"""Of bytes that differ from ours in a way that a network might cause."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What the store honours."""

    bucket_created: bool
    """There was no bucket, and now there is."""
    checks: Checks
    """The checksum that goes with every body and is refused when it is wrong."""
    lists_checksums: bool
    """ListParts tells the CRC-32C of each part; without it a part that was replaced by itself ends an upload."""
    compares_etags: bool
    """Complete with an ETag that is not the stored part's is InvalidPart."""
    repeated_complete: Repeated
    """What a Complete is told that comes a second time."""
    conditional_writes: bool
    """PutObject with `If-None-Match: *` is refused where an object is."""
    keeps_token: bool
    """Metadata comes back as it was given, of single puts and of multiparts."""
    reads_ranges: bool
    """A range is what was asked for."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What an operator should know, a sentence each; empty for a store that does all that is relied on."""
        return tuple(
            sentence
            for holds, sentence in (
                (self.keeps_token, "metadata is not kept: a repeated commit cannot be told from another object"),
                (self.reads_ranges, "ranges are not honoured: downloads will fail"),
                (self.checks != "none", "checksums are not verified: bytes damaged on the way would be stored"),
                (self.compares_etags, "ETags are not compared: a part replaced by a late writer would be published"),
                (
                    self.lists_checksums or not self.compares_etags,
                    "checksums of parts are not listed: an upload fails when a part was sent twice by two streams",
                ),
            )
            if not holds
        )


@dataclass(frozen=True, slots=True)
class _Single:
    conditional_writes: bool
    keeps_token: bool
    reads_ranges: bool


@dataclass(frozen=True, slots=True)
class _Several:
    lists_checksums: bool
    compares_etags: bool
    repeated_complete: Repeated
    keeps_token: bool


class Probe:
    """Looks at one bucket. Everything is done under a name of its own and removed again."""

    def __init__(self, calls: Calls, options: S3Options) -> None:
        """Nothing is asked yet."""
        self._calls = calls
        self._options = options
        self._name = f"objects/probe/{uuid.uuid4().hex}"  # where the janitor finds what a crash leaves

    def run(self) -> StoreReport:
        """Raises DependencyUnavailable, with what to do about it, where the bucket cannot be used at all."""
        created = self._ensure_bucket()
        checks = self._find_checks()
        integrity = Integrity("md5" if checks == "md5" else "crc32c")
        objects = S3Objects(self._calls, self._options, integrity)
        multiparts = S3Multiparts(self._calls, self._options, integrity)
        try:
            single = self._look_at_objects(objects)
            several = self._look_at_multiparts(multiparts, objects)
        finally:
            with suppress(LedgerLiftError, StoreAnswer):
                objects.delete(self._name)
        self._look_at_absence(objects)
        return StoreReport(
            bucket_created=created,
            checks=checks,
            lists_checksums=several.lists_checksums,
            compares_etags=several.compares_etags,
            repeated_complete=several.repeated_complete,
            conditional_writes=single.conditional_writes,
            keeps_token=single.keeps_token and several.keeps_token,
            reads_ranges=single.reads_ranges,
        )

    def _ensure_bucket(self) -> bool:
        try:
            self._calls.run("HeadBucket", lambda client: client.head_bucket(Bucket=self._options.bucket))
        except NoSuchObject:
            if not self._options.create_bucket:
                raise DependencyUnavailable(
                    "the object store failed: the bucket does not exist: check S3_BUCKET, or set S3_CREATE_BUCKET"
                ) from None
        else:
            return False
        with suppress(AlreadyThere):  # another replica was faster
            self._calls.run("CreateBucket", self._create_bucket)
        return True

    def _create_bucket(self, client: S3Client) -> None:
        # The one region that must not be named as a constraint.
        elsewhere: Any = (
            {}
            if self._options.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": self._options.region}}
        )
        client.create_bucket(Bucket=self._options.bucket, **elsewhere)

    def _find_checks(self) -> Checks:
        self._put()  # what is refused from here on is refused for its checksum
        if self._refuses(ChecksumCRC32C=encode(_WRONG_CRC32C)):
            return "crc32c"
        if self._refuses(ContentMD5=b64encode(bytes(16)).decode()):
            return "md5"
        return "none"

    def _refuses(self, **proof: str) -> bool:
        try:
            self._put(**proof)
        except IntegrityRefused:
            return True
        except DependencyUnavailable:
            return False  # it does not know of such a thing
        return False

    def _put(self, **headers: str) -> None:
        key = self._options.key(self._name)
        self._calls.run(
            "PutObject",
            lambda client: client.put_object(
                Bucket=self._options.bucket,
                Key=key,
                Body=bytes(_BODY),
                **headers,  # type: ignore[arg-type]  # the stub wants a type for each
            ),
        )

    def _look_at_objects(self, objects: S3Objects) -> _Single:
        objects.put(self._name, _BODY, _CRC32C, self._name)
        try:
            self._put(IfNoneMatch="*")
            conditional = False
        except AlreadyThere:
            conditional = True
        except DependencyUnavailable:
            conditional = False
        objects.put(self._name, _BODY, _CRC32C, self._name)
        return _Single(
            conditional_writes=conditional,
            keeps_token=objects.stat(self._name).token == self._name,
            reads_ranges=objects.read(self._name, 3, 7) == bytes(_BODY[3:10])
            and objects.read(self._name, len(_BODY), 1) == b"",
        )

    def _look_at_multiparts(self, multiparts: S3Multiparts, objects: S3Objects) -> _Several:
        upload = multiparts.create_multipart(self._name, self._name[::-1])
        try:
            part = multiparts.put_part(self._name, upload, 1, _BODY, _CRC32C)
            listed = multiparts.list_parts(self._name, upload)
            compares = self._compares_etags(multiparts, upload, part)
            if compares:
                multiparts.complete_multipart(self._name, upload, [part])
            return _Several(
                lists_checksums=[found.crc32c for found in listed] == [_CRC32C],
                compares_etags=compares,
                repeated_complete=self._complete_again(multiparts, upload, part),
                keeps_token=objects.stat(self._name).token == self._name[::-1],
            )
        finally:
            with suppress(LedgerLiftError, StoreAnswer):
                multiparts.abort_multipart(self._name, upload)

    def _compares_etags(self, multiparts: S3Multiparts, upload: str, part: StoredPart) -> bool:
        try:
            multiparts.complete_multipart(self._name, upload, [replace(part, etag="0" * 32)])
        except InvalidPart:
            return True
        except DependencyUnavailable:
            return True  # refused, in other words
        return False

    def _complete_again(self, multiparts: S3Multiparts, upload: str, part: StoredPart) -> Repeated:
        try:
            multiparts.complete_multipart(self._name, upload, [part])
        except NoSuchMultipart:
            return "no such upload"
        except (InvalidPart, DependencyUnavailable):
            return "refused"
        return "accepted"

    def _look_at_absence(self, objects: S3Objects) -> None:
        try:
            objects.stat(self._name)
        except NoSuchObject:
            return
        except DependencyUnavailable as refused:
            raise DependencyUnavailable(
                "the object store does not say that an object is absent: these credentials need s3:ListBucket",
                retry_after=5.0,
            ) from refused
        raise DependencyUnavailable("the object store shows an object that was removed")
