"""A small steady load by callers that try nothing twice: what they are answered is what the server answered.

Each kind of call has a thread, or two, and a channel of its own: a call that hangs keeps nobody else from being
timed. grpc's synchronous client, because the other one turns early refusals into INTERNAL (grpc#36066).
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import document_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_uploads import messages, reason, spec, uploads

TIMEOUT = 60.0
"""Seconds that callers would wait; the server has promised to answer short calls within 30."""
PAUSE = 0.05
"""Seconds between two calls of a thread. Nobody heeds RetryInfo: that is the worst case."""
SMALL, LARGE = 20_000, 12 * 1024 * 1024
"""Bytes of a document in one message, and of one in three parts."""
UNARY = ("get", "list", "create", "liveness")
KINDS = (*UNARY, "upload", "multi-part", "download")


@dataclass(frozen=True, slots=True)
class Call:
    """One answer. Times as of `time.monotonic`."""

    kind: str
    began: float
    ended: float
    code: str
    reason: str

    @property
    def fine(self) -> bool:
        """Answered as asked."""
        return self.code == "OK"

    @property
    def seconds(self) -> float:
        """From question to answer."""
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A document that somebody was told is there."""

    document_id: str
    sha256: str


class Workload:
    """Runs until the end of its block; what it has seen stays."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._acknowledged: list[Acknowledged] = []
        self._over = threading.Event()

    @property
    def calls(self) -> list[Call]:
        """Those that have been answered, in the order of their answers."""
        with self._lock:
            return list(self._calls)

    @property
    def acknowledged(self) -> list[Acknowledged]:
        """So far."""
        with self._lock:
            return list(self._acknowledged)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The callers are at work in the block, and behind it everyone has had an answer."""
        work = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "liveness": self._liveness,
            "upload": lambda channel: self._upload(channel, SMALL),
            "multi-part": lambda channel: self._upload(channel, LARGE),
            "download": self._download,
        }
        # Enough of them that those who wait for one dependency are as many as it takes to open its breaker.
        kinds = [*work, "get", "upload", "upload", "download"]
        threads = [threading.Thread(target=self._repeat, args=(kind, work[kind]), daemon=True) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(2 * TIMEOUT)

    def _repeat(self, kind: str, work: Callable[[grpc.Channel], str]) -> None:
        # A server that is there is reached at once: only what it depends on is disturbed.
        with grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            while not self._over.is_set():
                if kind in ("get", "download") and not self.acknowledged:
                    self._over.wait(PAUSE)
                    continue
                began = time.monotonic()
                try:
                    code, why = work(channel), ""
                except grpc.RpcError as refused:
                    error: Any = refused
                    code, why = error.code().name, reason(error)
                call = Call(kind, began, time.monotonic(), code, why)
                with self._lock:
                    self._calls.append(call)
                self._over.wait(PAUSE if kind != "multi-part" else 10 * PAUSE)

    def _get(self, channel: grpc.Channel) -> str:
        wanted = random.choice(self.acknowledged)  # noqa: S311 - any will do
        request = documents_pb.GetDocumentRequest(document_id=wanted.document_id)
        found = _documents(channel).GetDocument(request, timeout=TIMEOUT).document
        return "OK" if found.sha256 == wanted.sha256 else "another document"

    def _list(self, channel: grpc.Channel) -> str:
        _documents(channel).ListDocuments(documents_pb.ListDocumentsRequest(page_size=10), timeout=TIMEOUT)
        return "OK"

    def _create(self, channel: grpc.Channel) -> str:
        uploads(channel).CreateUpload(pb.CreateUploadRequest(spec=spec(size=LARGE)), timeout=TIMEOUT)
        return "OK"

    def _liveness(self, channel: grpc.Channel) -> str:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=TIMEOUT)
        return "OK" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not SERVING"

    def _upload(self, channel: grpc.Channel, size: int) -> str:
        data = random.randbytes(SMALL) * -(-size // SMALL)  # noqa: S311 - not to be secret
        sent = messages(data, 0, size, finish=True, spec=spec(size=size))
        document = uploads(channel).Upload(sent, timeout=TIMEOUT).document
        if document.sha256 != hashlib.sha256(data[:size]).hexdigest():
            return "another digest"
        with self._lock:
            self._acknowledged.append(Acknowledged(document.document_id, document.sha256))
        return "OK"

    def _download(self, channel: grpc.Channel) -> str:
        wanted = random.choice(self.acknowledged)  # noqa: S311 - any will do
        return "OK" if downloaded(channel, wanted.document_id) == wanted.sha256 else "other bytes"


def downloaded(channel: grpc.Channel, document_id: str) -> str:
    """The SHA-256 of the bytes that a caller is given. Raises grpc.RpcError."""
    digest = hashlib.sha256()
    request = documents_pb.DownloadDocumentRequest(document_id=document_id)
    for answer in _documents(channel).DownloadDocument(request, timeout=TIMEOUT):
        digest.update(answer.chunk.data)
    return digest.hexdigest()


def _documents(channel: grpc.Channel) -> Any:
    return document_service_pb2_grpc.DocumentServiceStub(channel)
