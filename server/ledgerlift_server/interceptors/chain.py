"""The order of everything that happens around a call, outermost first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import grpc

from ledgerlift_server.interceptors.access_log import AccessLog
from ledgerlift_server.interceptors.admission import Admission
from ledgerlift_server.interceptors.authentication import Authentication, Authenticator
from ledgerlift_server.interceptors.authorization import Authorization
from ledgerlift_server.interceptors.breaker import Breakers
from ledgerlift_server.interceptors.deadline import Deadlines
from ledgerlift_server.interceptors.decoding import Decoding
from ledgerlift_server.interceptors.error_mapping import ErrorMapping
from ledgerlift_server.interceptors.lifecycle import Lifecycle
from ledgerlift_server.interceptors.metrics import Metrics
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.request_id import RequestIds
from ledgerlift_server.interceptors.retry import Retries
from ledgerlift_server.interceptors.tracing import CallSpans, Tracing
from ledgerlift_server.observability.metrics.calls import CallMetrics


def build_chain(
    policies: Policies,
    *,
    authenticator: Authenticator,
    lifecycle: Lifecycle,
    admission: Admission,
    breakers: Breakers,
    retries: Retries,
    lowered_timeouts: Mapping[int, float],
    new_id: Callable[[], str],
    log_calls: bool,
    metrics: CallMetrics | None,
    tracing: CallSpans | None = None,
) -> Sequence[grpc.aio.ServerInterceptor]:
    """What stands above a line sees everything that happens below it."""
    return [
        RequestIds(new_id),  # first, so that every log entry has its id
        *([Tracing(policies, tracing)] if tracing is not None else []),  # and that of its trace
        *([AccessLog(policies)] if log_calls else []),  # sees the code that the caller sees
        *([Metrics(metrics)] if metrics is not None else []),  # counts the code that the caller sees
        ErrorMapping(),  # answers whatever anything below raises
        Deadlines(policies, lowered_timeouts),  # counts the time of everything below
        Authentication(policies, authenticator),
        Authorization(policies),
        lifecycle,
        admission,  # after who and whether: a caller without the role takes no slot from one with it
        breakers,  # looks and takes nothing, so a call that it refuses has its slot for no time
        retries,  # inside of all that refuses: a further attempt is no further call
        Decoding(),  # last: nobody's bytes are looked at before it is known that they may be
    ]
