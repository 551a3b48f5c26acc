"""Exceptions become statuses here, and nowhere else; the table is `rpc/status.py`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc

from ledgerlift_server.errors import LedgerLiftError
from ledgerlift_server.interceptors.request_id import current_request_id
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.rpc.status import REQUEST_ID_TRAILER, RpcStatus, status_of

logger = logging.getLogger(__name__)


class ErrorMapping(CallInterceptor):
    """Answers every failure. What is not a LedgerLiftError is a defect: its text goes to the log only."""

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Never lets an exception of ours through to grpc, which would send its text to the caller."""
        try:
            return await self._answered(call, proceed)
        except grpc.aio.InternalError:
            # Nobody is there any more to answer, or nobody who reads: the last message had its time (`wrap.py`).
            # Left as it is, each such call is a traceback in grpc's log.
            raise asyncio.CancelledError from None

    async def _answered(self, call: Call, proceed: Proceed) -> Any:
        try:
            return await proceed()
        except (grpc.aio.AbortError, grpc.aio.InternalError):
            raise  # answered already, or see above
        except LedgerLiftError as refusal:
            answer = status_of(refusal, current_request_id.get())
        except Exception as defect:
            if call.context.done():
                raise
            answer = _answer_to(defect, call)
        # Not inside of the `except`: what abort raises there would keep the failure, and its frames, alive.
        return await call.context.abort_with_status(answer)


def _answer_to(defect: Exception, call: Call) -> RpcStatus:
    request_id = current_request_id.get()
    if isinstance(defect, NotImplementedError) and call.context.code() is grpc.StatusCode.UNIMPLEMENTED:
        # The generated default of a method that is declared and not written.
        sentence = f"{call.method.lstrip('/')} is not implemented by this server"
        return RpcStatus(grpc.StatusCode.UNIMPLEMENTED, sentence, ((REQUEST_ID_TRAILER, request_id),))
    logger.exception("defect")
    return status_of(defect, request_id)
