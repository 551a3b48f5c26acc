"""A real S3 server over a folder: versitygw. It never fsyncs, whoever sends."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from benchmarks.upload.processes import free_port, fresh, running, tool

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "documents"


@dataclass(frozen=True, slots=True)
class S3Target:
    """Where a bucket is and how to get in."""

    endpoint: str
    access_key: str = "benchmark"
    secret_key: str = "benchmark-secret"  # noqa: S105 - of a server that lives as long as the measurement
    region: str = "us-east-1"
    bucket: str = BUCKET

    def at(self, endpoint: str) -> S3Target:
        """The same bucket by another way."""
        return replace(self, endpoint=endpoint)

    def client(self, *, config: Config | None = None) -> S3Client:
        """A boto3 client as `boto3.client("s3")` makes it, but for what `config` says."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=config,
        )


@asynccontextmanager
async def versitygw(place: Path) -> AsyncIterator[S3Target]:
    """A server with an empty bucket. Its objects are in `place`.

    What it knows of them is beside them and not in their attributes, of which ext4 has 4 KiB: a document of more than
    some 800 parts could not be completed (https://github.com/versity/versitygw/issues/2424).
    """
    program = tool("versitygw")
    objects, sidecar = fresh(place / "objects"), fresh(place / "metadata")
    port = free_port()
    target = S3Target(f"http://127.0.0.1:{port}")
    env = {"ROOT_ACCESS_KEY_ID": target.access_key, "ROOT_SECRET_ACCESS_KEY": target.secret_key}
    listen = ["--quiet", "--port", f"127.0.0.1:{port}", "--region", target.region]
    command = [program, *listen, "posix", "--sidecar", sidecar, objects]
    async with running(command, port=port, log=place / "versitygw.log", env=env):
        target.client().create_bucket(Bucket=target.bucket)
        yield target


def version() -> str:
    """The module version that was built into the program; Go keeps it there."""
    done = subprocess.run(["go", "version", "-m", tool("versitygw")], capture_output=True, text=True)
    return next((line.split()[2] for line in done.stdout.splitlines() if line.split()[:1] == ["mod"]), "unknown")
