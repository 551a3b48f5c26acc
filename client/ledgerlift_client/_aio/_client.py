"""The asyncio client, as its users see it: where it is made and closed. Its methods are in `_client_*`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType

import grpc

from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._aio._client_documents import DocumentMethods
from ledgerlift_client._aio._client_operations import OperationsMethods
from ledgerlift_client._aio._client_uploads import UploadMethods
from ledgerlift_client._breaker import CircuitBreakerStatus
from ledgerlift_client._channel import DEFAULT_TARGET, make_aio_channel, normal_target
from ledgerlift_client._core import ClientCore, Metadata
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._spans import Spans
from ledgerlift_client._tls import TlsFiles, credentials_from


class AsyncLedgerLiftClient(UploadMethods, DocumentMethods, OperationsMethods):
    """Uploads, downloads and looks after documents, for asyncio.

        async with AsyncLedgerLiftClient("127.0.0.1:50051") as client:
            result = await client.upload("report.pdf")
            await client.download(result.document.document_id, "copy.pdf")

    The methods, what they promise and what they raise are those of `LedgerLiftClient`; both decide in the same code.
    Here a transfer is ended by cancelling its task. One client is one channel and belongs to the event loop of its
    first call; share it between tasks.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        options: ClientOptions | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        metadata: Metadata = (),
        tracing: Spans | None = None,
    ) -> None:
        """`target` is `host:port`, or any name that gRPC knows. Without `credentials` the channel is in the clear.

        `metadata` goes with every call, such as `{"authorization": "Bearer ..."}`; what changes is an interceptor's.
        `tracing` is a `ledgerlift_client.tracing.Tracing`.
        No loop has to run yet.
        """
        self.target = target
        self.options = options or ClientOptions()
        where = normal_target(target)  # a wrong one is told here, not with the first call
        make = partial(make_aio_channel, where, self.options, credentials, interceptors)
        self._calls = Calls(make, ClientCore(target, self.options, metadata, tracing))

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        metadata: Metadata = (),
        tracing: Spans | None = None,
    ) -> AsyncLedgerLiftClient:
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

    async def close(self) -> None:
        """Close the channel. Calls that are running end."""
        await self._calls.close()

    def circuit_breaker_status(self) -> CircuitBreakerStatus:
        """This client's breaker: whether calls go through, and why not. Asks nobody."""
        return self._calls.core.breaker.status()

    async def __aenter__(self) -> AsyncLedgerLiftClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
