"""The channel: where it goes and how it behaves. One retry layer, so grpc's own is off."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import grpc

from ledgerlift_client._options import MESSAGE_OVERHEAD, ClientOptions

DEFAULT_TARGET = "127.0.0.1:50051"

Interceptor: TypeAlias = (
    grpc.UnaryUnaryClientInterceptor | grpc.UnaryStreamClientInterceptor | grpc.StreamUnaryClientInterceptor
)
"""Of a stream of `Upload` an interceptor sees messages that are serialized already."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?!\d+$)")
_HOST_AND_PORT = re.compile(r"[^\s/]+:\d+")
_BALANCED: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
# https://github.com/grpc/proposal/blob/master/A17-client-side-health-checking.md; "" is the server as a whole. It
# works with round_robin only; nothing is sent to a backend before its first answer.
_HEALTH_CHECKED: dict[str, Any] = {"healthCheckConfig": {"serviceName": ""}}

# A server that restarts is back in a second; grpc would not look again for up to two minutes.
_FIRST_RECONNECT = 250  # ms
# Until grpc has connected again, a probe of the breaker fails here: this is what an outage lasts longer for us.
_LAST_RECONNECT = 2_000  # ms
_CONNECT_TIMEOUT = 5_000  # ms; grpc uses the least backoff as the time for one attempt
_PING_TIMEOUT = 10_000  # ms


def normal_target(target: str) -> str:
    """`host:port` as a DNS name that is looked up again when connections break; other schemes as they are."""
    text = target.strip()
    if _SCHEME.match(text):
        return text
    if not _HOST_AND_PORT.fullmatch(text):  # grpc would take port 443
        raise ValueError(f"the target must be host:port, not {target!r}")
    return f"dns:///{text}"


def channel_options(options: ClientOptions) -> list[tuple[str, Any]]:
    """What grpc is told."""
    service_config = _BALANCED | (_HEALTH_CHECKED if options.health_checking else {})
    return [
        ("grpc.enable_retries", 0),
        ("grpc.service_config", json.dumps(service_config)),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_TIMEOUT),
        ("grpc.max_reconnect_backoff_ms", _LAST_RECONNECT),
        ("grpc.keepalive_time_ms", int(options.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", options.max_message_size),
        ("grpc.max_send_message_length", max(options.max_message_size, options.message_size + MESSAGE_OVERHEAD)),
        ("grpc.primary_user_agent", f"ledgerlift-client/{_version()}"),
    ]


def make_channel(
    target: str,
    options: ClientOptions,
    credentials: grpc.ChannelCredentials | None,
    interceptors: Sequence[Interceptor],
) -> grpc.Channel:
    """A channel to `target`; in the clear where there are no credentials."""
    where, how = normal_target(target), channel_options(options)
    if credentials is None:
        channel = grpc.insecure_channel(where, how)
    else:
        channel = grpc.secure_channel(where, credentials, how)
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel


def make_aio_channel(
    target: str,
    options: ClientOptions,
    credentials: grpc.ChannelCredentials | None,
    interceptors: Sequence[grpc.aio.ClientInterceptor],
) -> grpc.aio.Channel:
    """The same for the asyncio client; to be called in the loop that is to use it."""
    where, how = normal_target(target), channel_options(options)
    if credentials is None:
        return grpc.aio.insecure_channel(where, how, interceptors=interceptors)
    return grpc.aio.secure_channel(where, credentials, how, interceptors=interceptors)


def _version() -> str:
    try:
        return version("ledgerlift")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
