"""The caller of the request at hand. Set by the request-context interceptor, read by the servicers."""

from __future__ import annotations

from contextvars import ContextVar

from ledgerlift_server.domain.models import Caller

current_caller: ContextVar[Caller] = ContextVar("current_caller")
"""LookupError where no request is being served."""
