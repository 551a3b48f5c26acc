"""Visible objects in a bucket. The token is kept in the object's metadata."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.failures import RangeNotThere
from ledgerlift_server.adapters.s3.integrity import Integrity
from ledgerlift_server.adapters.s3.lent_body import as_body
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.domain.store_port import NoSuchObject, ObjectInfo, ObjectPage
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable
from ledgerlift_server.resilience.deadline import current_deadline

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TOKEN_KEY = "ledgerlift-token"  # noqa: S105 -- the name of a metadata entry, no secret
"""Of the metadata: where the token is kept."""
MAX_PAGE = 1000
"""Entries that S3 lists at most in one answer."""
_STEP = 256 * 1024
"""Bytes read between two looks at the deadline."""


class S3Objects:
    """`BlockingObjects` on a bucket."""

    def __init__(self, calls: Calls, options: S3Options, integrity: Integrity) -> None:
        """The same `integrity` as the multiparts'."""
        self._calls = calls
        self._options = options
        self._integrity = integrity

    def put(self, name: str, body: memoryview, crc32c: int, token: str) -> None:
        """PutObject."""
        key, proof = self._options.key(name), self._integrity.of_body(body, crc32c)
        self._calls.run(
            "PutObject",
            lambda client: client.put_object(
                Bucket=self._options.bucket,
                Key=key,
                Body=as_body(body),
                Metadata={TOKEN_KEY: token},
                **proof,
                **self._options.encryption,  # type: ignore[arg-type]  # the stub wants literals
            ),
        )

    def stat(self, name: str) -> ObjectInfo:
        """HeadObject. Its answers have no body, so a bucket that is gone looks like an object that is."""
        key = self._options.key(name)
        try:
            head = self._calls.run(
                "HeadObject", lambda client: client.head_object(Bucket=self._options.bucket, Key=key)
            )
        except NoSuchObject:
            self.check_bucket()
            raise
        return ObjectInfo(name, head["ContentLength"], head["Metadata"].get(TOKEN_KEY, ""), head["LastModified"])

    def read(self, name: str, offset: int, length: int) -> bytes:
        """GetObject of a range."""
        if length <= 0:
            self.stat(name)
            return b""
        try:
            return self._calls.run("GetObject", lambda client: self._read(client, name, offset, length))
        except RangeNotThere:
            return b""

    def delete(self, name: str) -> None:
        """DeleteObject."""
        key = self._options.key(name)
        self._calls.run("DeleteObject", lambda client: client.delete_object(Bucket=self._options.bucket, Key=key))

    def list_objects(self, after: str | None, limit: int) -> ObjectPage:
        """ListObjectsV2, one page."""
        page = self._calls.run(
            "ListObjectsV2",
            lambda client: client.list_objects_v2(
                Bucket=self._options.bucket,
                Prefix=self._options.prefix,
                StartAfter="" if after is None else self._options.key(after),
                MaxKeys=min(limit, MAX_PAGE),
            ),
        )
        names = tuple((self._options.name(entry["Key"]), entry["LastModified"]) for entry in page.get("Contents", ()))
        return ObjectPage(names, names[-1][0] if names and page["IsTruncated"] else None)

    def check_bucket(self) -> None:
        """HeadBucket. Raises DependencyUnavailable, with what to do about it."""
        try:
            self._calls.run("HeadBucket", lambda client: client.head_bucket(Bucket=self._options.bucket))
        except NoSuchObject as gone:
            raise DependencyUnavailable(
                "the object store failed: the bucket does not exist: check S3_BUCKET", retry_after=5.0, answered=True
            ) from gone

    def _read(self, client: S3Client, name: str, offset: int, length: int) -> bytes:
        answer = client.get_object(
            Bucket=self._options.bucket, Key=self._options.key(name), Range=f"bytes={offset}-{offset + length - 1}"
        )
        deadline = current_deadline()
        pieces: list[bytes] = []
        with closing(answer["Body"]) as body:
            if offset and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                raise DependencyUnavailable("the object store failed: it does not read ranges", answered=True)
            while length and (piece := body.read(min(length, _STEP))):
                pieces.append(piece)
                length -= len(piece)
                if length and deadline is not None and not deadline.remaining():
                    raise DeadlineExceeded("the object store did not send all bytes before the deadline")
        return b"".join(pieces)
