"""`boto3.upload_file` with all its defaults, straight to the S3 server: no service between."""

from __future__ import annotations

import asyncio

import psutil

from benchmarks.upload.payload import Payload
from benchmarks.upload.peers.versitygw import S3Target

KEY = "sent-by-boto3"


class Boto3Direct:
    """Uploads the payload's file: 8 MiB parts on 10 threads, as s3transfer chooses."""

    name = "boto3.upload_file"
    durability = "acknowledged by the S3 server"
    server: psutil.Process | None = None

    def __init__(self, target: S3Target) -> None:
        self._client = target.client()
        self._bucket = target.bucket
        self._size = 0

    async def send(self, payload: Payload) -> None:
        """boto3 waits for the server's answer to the last call."""
        self._size = payload.size
        await asyncio.to_thread(self._client.upload_file, str(payload.path), self._bucket, KEY)

    async def tidy(self) -> None:
        """Look at the object's size (of the whole, boto3 sends no digest), and remove it."""
        stored = self._client.head_object(Bucket=self._bucket, Key=KEY)["ContentLength"]
        assert stored == self._size, f"{stored} of {self._size} bytes are in the bucket"
        self._client.delete_object(Bucket=self._bucket, Key=KEY)
