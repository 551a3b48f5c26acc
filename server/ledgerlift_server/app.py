"""The composition root of the server: hands each part its collaborators, once, and owns their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from ledgerlift.v1 import policy_pb2

from ledgerlift_server import allocator, background
from ledgerlift_server.adapters.content import SignatureInspector
from ledgerlift_server.adapters.digest import crc32c
from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.core import CannotStart, Core, built, start
from ledgerlift_server.domain.document_service import DocumentService
from ledgerlift_server.domain.download import Downloads
from ledgerlift_server.domain.event_feed import EventFeed
from ledgerlift_server.domain.part_buffers import BufferBudget
from ledgerlift_server.domain.pipeline_tools import PipelineTools
from ledgerlift_server.domain.session_pulses import SessionPulses
from ledgerlift_server.domain.steps import Checkpoint, no_checkpoint
from ledgerlift_server.domain.upload_entry import UploadEntry
from ledgerlift_server.domain.upload_options import MIB, part_size_for
from ledgerlift_server.domain.upload_service import UploadService
from ledgerlift_server.domain.upload_stream import StreamTools
from ledgerlift_server.domain.validation import Limits
from ledgerlift_server.grpc_server import SERVICES, add_services, add_side_services, make_server
from ledgerlift_server.health_setup import Health, build_health
from ledgerlift_server.interceptors.admission import Admission
from ledgerlift_server.interceptors.authentication import Anybody, Authenticator
from ledgerlift_server.interceptors.breaker import Breakers
from ledgerlift_server.interceptors.chain import build_chain
from ledgerlift_server.interceptors.lifecycle import Lifecycle
from ledgerlift_server.interceptors.policy import Policies, policies_of
from ledgerlift_server.interceptors.retry import Retries
from ledgerlift_server.metrics_setup import ServerMetrics
from ledgerlift_server.resilience.retry import RetryBudget, RetryPolicy
from ledgerlift_server.resilience.slots import Slots
from ledgerlift_server.rpc.document_servicer import DocumentServicer
from ledgerlift_server.rpc.health_servicer import HealthServicer
from ledgerlift_server.rpc.operations_servicer import OperationsServicer
from ledgerlift_server.rpc.upload_servicer import UploadServicer
from ledgerlift_server.running_server import RunningServer
from ledgerlift_server.settings import MESSAGE_HEADROOM, Settings
from ledgerlift_server.tls import UnusableCertificate, server_credentials
from ledgerlift_server.tracing_setup import ServerTracing, tracing_of

EVENT_FEED_INTERVAL = 1.0
"""Seconds by which an event of another replica may be told late."""
KEPT_BUFFERS = 8
"""Part buffers that are kept for reuse rather than given back to the system."""
MESSAGES_AT_HAND = 2 * MIB
"""Bytes of the message that a stream takes in and of the one that arrives, in the size that our client sends.
Measured, with a window of 256 KiB: 1.5 MiB for each of 200 streams, most of which wait, 3 MiB for each of 40."""
MAX_DOWNLOAD_CHUNK = MIB
"""Bytes of a document in one message of a download, where the message size allows it."""

CALL_RETRIES = RetryPolicy(first_pause=0.05, longest_pause=1.0, max_attempts=3, patience=10.0)
"""Of unary calls, for what no layer further in tries again."""
RETRY_TOKENS, RETRY_REFILL = 100.0, 0.1
"""Further attempts of calls that may be made in a row, and what each call that succeeds brings back."""


@asynccontextmanager
async def serving(
    settings: Settings,
    *,
    checkpoint: Checkpoint = no_checkpoint,
    authenticator: Authenticator | None = None,
    tracing: ServerTracing | None = None,
) -> AsyncIterator[RunningServer]:
    """A server that answers. At the end it drains, and running calls get the grace time. Raises CannotStart.

    `authenticator` None: the one that `auth_mode` names. `tracing` None: as the settings say.
    """
    async with AsyncExitStack() as stack:
        tracing = tracing or tracing_of(settings, stack)
        core = await stack.enter_async_context(built(settings, checkpoint=checkpoint, spans=tracing.steps))
        pulses = SessionPulses(core.ledger, interval=settings.upload_options.result_poll)
        health = build_health(settings, core, [service.full_name for service in SERVICES], stack)
        policies = policies_of(SERVICES)
        metrics = ServerMetrics(settings, core, policies)
        running = _server(settings, core, policies, health, pulses, authenticator or Anybody(), metrics, tracing)
        if settings.metrics_address is not None:  # before anything is waited for, and until everything has ended
            running.metrics_address = await metrics.serve(settings.metrics_address, stack)
        await running.listen(settings.port, _credentials(settings))
        stack.push_async_callback(running.stop, 0.0)
        await start(core, settings)
        await health.monitor.refresh()
        await stack.enter_async_context(background.running("health", health.monitor.run))
        await stack.enter_async_context(background.running("allocator", allocator.return_free_memory))
        await stack.enter_async_context(background.running("pulses", pulses.run))
        stack.push_async_callback(core.janitor.close)
        await stack.enter_async_context(background.running("janitor", core.janitor.run))
        stack.push_async_callback(running.stop, settings.shutdown_grace)  # first of all: calls need the above
        running.open()
        yield running


def _server(
    settings: Settings,
    core: Core,
    policies: Policies,
    health: Health,
    pulses: SessionPulses,
    authenticator: Authenticator,
    metrics: ServerMetrics,
    tracing: ServerTracing,
) -> RunningServer:
    options = settings.upload_options
    limits = Limits(options.max_document_size, settings.allowed_content_types)
    uploads = UploadService(
        core.ledger,
        core.documents,
        pulses,
        options,
        limits,
        new_id=new_id,
        on_removals=core.janitor.wake,
        checkpoint=core.checkpoint,
    )
    tools = _stream_tools(settings, core, pulses, tracing)
    entry = UploadEntry(uploads, tools)
    downloads = Downloads(
        core.documents,
        core.store,
        core.hashers,
        crc32c,
        core.compute,
        block_size=min(MAX_DOWNLOAD_CHUNK, settings.max_message_size - MESSAGE_HEADROOM),
    )
    lifecycle = Lifecycle(policies)
    admission, call_retries = _admission(settings, policies), RetryBudget(RETRY_TOKENS, RETRY_REFILL)
    metrics.watch(admission, call_retries, uploads, entry, tools.pipeline.budget, health.monitor)
    server = make_server(
        build_chain(
            policies,
            authenticator=authenticator,
            lifecycle=lifecycle,
            admission=admission,
            breakers=Breakers(policies, core.breakers),
            retries=Retries(policies, CALL_RETRIES, call_retries),
            lowered_timeouts={
                policy_pb2.BULKHEAD_QUERIES: settings.default_request_timeout,
                policy_pb2.BULKHEAD_OPERATIONS: settings.default_request_timeout,
                policy_pb2.BULKHEAD_UPLOADS: settings.upload_timeout,
            },
            new_id=new_id,
            log_calls=settings.enable_request_logging,
            metrics=None if settings.metrics_address is None else metrics.calls,
            tracing=tracing.calls,
        ),
        max_message_size=settings.max_message_size,
        window=settings.upload_window,
        connection_age=settings.grpc_max_connection_age,
        channelz=settings.enable_channelz,
    )
    add_services(
        server,
        UploadServicer(uploads, entry, options, limits, max_message_size=settings.max_message_size),
        DocumentServicer(
            DocumentService(core.documents, on_removals=core.janitor.wake, checkpoint=core.checkpoint),
            downloads,
            EventFeed(core.documents, interval=EVENT_FEED_INTERVAL),
        ),
        OperationsServicer(health.operations),
    )
    add_side_services(
        server,
        HealthServicer(health.board),
        with_reflection=settings.enable_reflection,
        with_channelz=settings.enable_channelz,
    )
    return RunningServer(server, health.board, lifecycle, entry, settings.host)


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """None for plaintext. Raises CannotStart."""
    try:
        return None if settings.tls_files is None else server_credentials(settings.tls_files)
    except UnusableCertificate as unusable:
        raise CannotStart(str(unusable)) from unusable


def _admission(settings: Settings, policies: Policies) -> Admission:
    return Admission(
        policies,
        {
            policy_pb2.BULKHEAD_UPLOADS: Slots("uploads", settings.max_concurrent_uploads),
            policy_pb2.BULKHEAD_DOWNLOADS: Slots("downloads", settings.max_concurrent_downloads),
            policy_pb2.BULKHEAD_WATCHES: Slots("watches", settings.max_concurrent_watches),
            policy_pb2.BULKHEAD_QUERIES: Slots("queries", settings.max_concurrent_queries),
        },
    )


def _stream_tools(settings: Settings, core: Core, pulses: SessionPulses, tracing: ServerTracing) -> StreamTools:
    options = settings.upload_options
    budget = BufferBudget(
        options.memory_budget,
        wait=options.budget_wait,
        keep=min(options.memory_budget, KEPT_BUFFERS * options.part_size),
        transit=settings.upload_window + MESSAGES_AT_HAND,
        largest=part_size_for(None, options),
    )
    return StreamTools(
        ledger=core.ledger,
        committer=core.committer,
        pulses=pulses,
        hashers=core.hashers,
        inspector=SignatureInspector(),
        pipeline=PipelineTools(
            store=core.store,
            ledger=core.ledger,
            budget=budget,
            offload=core.compute,
            crc32c=crc32c,
            parts_in_flight=options.parts_in_flight,
            part_timeout=options.part_timeout,
            checkpoint=core.checkpoint,
            spans=tracing.steps,
        ),
        options=options,
        on_removals=core.janitor.wake,
    )
