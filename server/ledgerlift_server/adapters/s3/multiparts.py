"""Multipart uploads in a bucket."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.integrity import Integrity, decode
from ledgerlift_server.adapters.s3.lent_body import as_body
from ledgerlift_server.adapters.s3.objects import TOKEN_KEY
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.domain.store_port import InvalidPart, MultipartInfo
from ledgerlift_server.domain.upload_models import StoredPart


class S3Multiparts:
    """`BlockingMultiparts` on a bucket."""

    def __init__(self, calls: Calls, options: S3Options, integrity: Integrity) -> None:
        """The same `integrity` as the objects'."""
        self._calls = calls
        self._options = options
        self._integrity = integrity

    def create_multipart(self, name: str, token: str) -> str:
        """CreateMultipartUpload. One whose answer is lost is left to the janitor."""
        answer = self._calls.run(
            "CreateMultipartUpload",
            lambda client: client.create_multipart_upload(
                Bucket=self._options.bucket,
                Key=self._options.key(name),
                Metadata={TOKEN_KEY: token},
                **self._integrity.of_multipart(),
                **self._options.encryption,  # type: ignore[arg-type]  # the stub wants literals
            ),
        )
        return answer["UploadId"]

    def put_part(self, name: str, multipart_id: str, number: int, body: memoryview, crc32c: int) -> StoredPart:
        """UploadPart."""
        upload, proof = self._upload(name, multipart_id), self._integrity.of_body(body, crc32c)
        answer = self._calls.run(
            "UploadPart",
            lambda client: client.upload_part(**upload, PartNumber=number, Body=as_body(body), **proof),
        )
        return StoredPart(number, len(body), answer["ETag"].strip('"'), crc32c)

    def complete_multipart(self, name: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """CompleteMultipartUpload. A failure that comes with status 200 is a failure to botocore too."""
        if not parts:
            raise InvalidPart("no part is listed")
        upload = self._upload(name, multipart_id)
        listed: list[Any] = [
            {
                "PartNumber": part.number,
                "ETag": f'"{part.etag}"',
                **self._integrity.of_listed_part(part.crc32c),
            }
            for part in parts
        ]
        self._calls.run(
            "CompleteMultipartUpload",
            lambda client: client.complete_multipart_upload(**upload, MultipartUpload={"Parts": listed}),
            wait=self._options.complete_timeout,
        )

    def abort_multipart(self, name: str, multipart_id: str) -> None:
        """AbortMultipartUpload."""
        upload = self._upload(name, multipart_id)
        self._calls.run("AbortMultipartUpload", lambda client: client.abort_multipart_upload(**upload))

    def list_parts(self, name: str, multipart_id: str) -> list[StoredPart]:
        """ListParts, all pages."""
        upload = self._upload(name, multipart_id)
        found: list[StoredPart] = []
        marker = 0
        while True:
            page = self._calls.run(
                "ListParts",
                lambda client, marker=marker: client.list_parts(**upload, PartNumberMarker=marker),  # type: ignore[misc]  # the default binds the loop's value
            )
            found += [
                StoredPart(
                    part["PartNumber"], part["Size"], part["ETag"].strip('"'), decode(part.get("ChecksumCRC32C"))
                )
                for part in page.get("Parts", ())
            ]
            if not page["IsTruncated"]:
                return found
            marker = page["NextPartNumberMarker"]

    def list_multiparts(self, limit: int) -> list[MultipartInfo]:
        """ListMultipartUploads, all pages: they come in the order of keys, and the oldest are wanted."""
        return heapq.nsmallest(limit, self._all_multiparts(), key=lambda info: info.initiated)

    def _all_multiparts(self) -> Iterator[MultipartInfo]:
        markers: dict[str, str] = {}
        while True:
            page = self._calls.run(
                "ListMultipartUploads",
                lambda client, markers=markers: client.list_multipart_uploads(  # type: ignore[misc]  # as above
                    Bucket=self._options.bucket, Prefix=self._options.prefix, **markers
                ),
            )
            for upload in page.get("Uploads", ()):
                yield MultipartInfo(self._options.name(upload["Key"]), upload["UploadId"], upload["Initiated"])
            if not page["IsTruncated"]:
                return
            markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _upload(self, name: str, multipart_id: str) -> dict[str, Any]:
        return {"Bucket": self._options.bucket, "Key": self._options.key(name), "UploadId": multipart_id}
