"""The client, as its users see it: where it is made and closed. Its methods are in the `_client_*` modules."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType

import grpc

from ledgerlift_client._breaker import CircuitBreakerStatus
from ledgerlift_client._calls import Calls
from ledgerlift_client._channel import DEFAULT_TARGET, Interceptor, make_channel
from ledgerlift_client._client_documents import DocumentMethods
from ledgerlift_client._client_operations import OperationsMethods
from ledgerlift_client._client_uploads import UploadMethods
from ledgerlift_client._core import ClientCore, Metadata
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._spans import Spans
from ledgerlift_client._tls import TlsFiles, credentials_from


class LedgerLiftClient(UploadMethods, DocumentMethods, OperationsMethods):
    """Uploads, downloads and looks after documents.

        with LedgerLiftClient("127.0.0.1:50051") as client:
            result = client.upload("report.pdf")
            client.download(result.document.document_id, "copy.pdf")

    One client is one channel; make it once and share it between threads. Every method raises a
    LedgerLiftError of `errors.py`; every call has a deadline and is tried again where that is safe.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        options: ClientOptions | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[Interceptor] = (),
        metadata: Metadata = (),
        tracing: Spans | None = None,
    ) -> None:
        """`target` is `host:port`, or any name that gRPC knows. Without `credentials` the channel is in the clear.

        `metadata` goes with every call, such as `{"authorization": "Bearer ..."}`; what changes is an interceptor's.
        `tracing` is a `ledgerlift_client.tracing.Tracing`.
        """
        self.target = target
        self.options = options or ClientOptions()
        core = ClientCore(target, self.options, metadata, tracing)
        self._calls = Calls(make_channel(target, self.options, credentials, interceptors), core)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[Interceptor] = (),
        metadata: Metadata = (),
        tracing: Spans | None = None,
    ) -> LedgerLiftClient:
        """A client for `LEDGERLIFT_TARGET`, with options as `ClientOptions.from_env` reads them.

        `LEDGERLIFT_TLS`, `LEDGERLIFT_CA`, `LEDGERLIFT_CERT` and `LEDGERLIFT_KEY` ask for TLS; given `credentials`
        count in their place. ValueError names a variable that cannot be used.
        """
        return cls(
            environ.get("LEDGERLIFT_TARGET") or DEFAULT_TARGET,
            options=ClientOptions.from_env(environ),
            credentials=credentials or credentials_from(TlsFiles.from_env(environ)),
            interceptors=interceptors,
            metadata=metadata,
            tracing=tracing,
        )

    def close(self) -> None:
        """Close the channel. Calls that are running end."""
        self._calls.close()

    def circuit_breaker_status(self) -> CircuitBreakerStatus:
        """This client's breaker: whether calls go through, and why not. Asks nobody."""
        return self._calls.core.breaker.status()

    def __enter__(self) -> LedgerLiftClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
