"""BuildGrid's ByteStream.Write into its disk storage: the closest relative that is on the package index.

Both are Python servers on grpcio that verify a SHA-256 and publish a file. BuildGrid writes a temporary file,
copies it to a second one and links that into place; it never fsyncs.

The client is the cheapest there can be: messages joined by hand in wire format, the digest (which BuildGrid wants
before the first byte) computed outside of the measured time. What a real client adds is added to our side only.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil

from benchmarks.upload.payload import MESSAGE_SIZE, Payload
from benchmarks.upload.processes import ROOT, Unavailable, free_port, fresh, running

VENV = ROOT / ".tools" / "buildgrid-venv"

CONFIG = """\
description: LedgerLift's benchmark
server:
  - !channel
    address: "127.0.0.1:{port}"
    insecure-mode: true
grpc-server-options:
  grpc.so_reuseport: 0
authorization:
  method: none
storages:
  - !disk-storage &store
    path: {place}/store
instances:
  - name: ''
    services:
      - !cas
        storage: *store
      - !bytestream
        storage: *store
"""

# Tags of google.bytestream.WriteRequest: field number << 3 | wire type.
_RESOURCE_NAME = b"\x0a"
_WRITE_OFFSET = b"\x10"
_FINISH_WRITE = b"\x18\x01"
_DATA = b"\x52"
_COMMITTED_SIZE = b"\x08"


class BuildGrid:
    """Sends the payload in one Write call."""

    name = "BuildGrid ByteStream.Write"
    durability = "renamed into place, no fsync"

    def __init__(self, channel: grpc.aio.Channel, server: psutil.Process, store: Path) -> None:
        self.server: psutil.Process | None = server
        self._write: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(
            "/google.bytestream.ByteStream/Write"
        )
        self._store = store

    async def send(self, payload: Payload) -> None:
        """BuildGrid compares size and digest with the name, and answers the size."""
        answer = await self._write(_requests(payload))
        assert answer == _COMMITTED_SIZE + _varint(payload.size), f"BuildGrid answered {answer!r}"

    async def tidy(self) -> None:
        """Remove its objects. Its folders stay: it makes them only once."""
        for folder in (self._store / "cas" / "objects").iterdir():
            shutil.rmtree(folder)


@asynccontextmanager
async def buildgrid(place: Path) -> AsyncIterator[BuildGrid]:
    """BuildGrid's server and a client. `place` takes its store, its temporary files and its log."""
    if not (VENV / "bin" / "bgd").exists():
        raise Unavailable("BuildGrid is not installed: run ./benchmarks/upload/peers/install-buildgrid")
    port = free_port()
    config = fresh(place) / "buildgrid.yml"
    config.write_text(CONFIG.format(port=port, place=place))
    command = [VENV / "bin" / "bgd", "server", "start", config]
    async with (
        running(command, port=port, log=place / "buildgrid.log", env={"TMPDIR": str(place)}) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield BuildGrid(channel, server, place / "store")


def version() -> str:
    """Of the installed BuildGrid and of the grpcio under it."""
    shown = "import importlib.metadata as m; print(m.version('buildgrid'), 'on grpcio', m.version('grpcio'))"
    done = subprocess.run([VENV / "bin" / "python", "-c", shown], capture_output=True, text=True)
    return done.stdout.strip() or "not installed"


def _requests(payload: Payload) -> Iterator[bytes]:
    name = f"uploads/{uuid.uuid4()}/blobs/{payload.sha256}/{payload.size}".encode()
    head = _RESOURCE_NAME + _varint(len(name)) + name
    sent = 0
    for data in payload.messages():
        offset = _WRITE_OFFSET + _varint(sent)
        sent += len(data)
        finish = _FINISH_WRITE if sent == payload.size else b""
        yield b"".join((head, offset, finish, _DATA, _varint(len(data)), data))
        head = b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


assert MESSAGE_SIZE < 4_000_000, "BuildGrid's server takes messages up to gRPC's default of 4 MB"
