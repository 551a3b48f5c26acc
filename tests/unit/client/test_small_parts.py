"""Wire format, digest, progress, options and the channel's settings."""

from __future__ import annotations

import hashlib

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift.v1.upload_service_pb2 import UploadRequest, UploadSpec
from ledgerlift_client import ClientOptions, _policies
from ledgerlift_client._channel import channel_options, normal_target
from ledgerlift_client._digest import RunningDigest
from ledgerlift_client._progress import Meter, Progress
from ledgerlift_client._wire import data_message

from tests.support.clock import ManualClock

MIB = 1 << 20


@given(offset=st.integers(0, 2**63 - 1), data=st.binary(max_size=300), finish=st.booleans())
def test_messages_are_what_protobuf_would_read(offset: int, data: bytes, finish: bool) -> None:
    """The hand-made message parses to the same fields as one made by protobuf."""
    head = UploadRequest(finish_write=finish, sha256="d" if finish else "", spec=UploadSpec(filename="a"))
    parsed = UploadRequest.FromString(data_message(offset, memoryview(data), head))
    assert parsed == UploadRequest(
        write_offset=offset,
        data=data,
        crc32c=crc32c(data),
        finish_write=finish,
        sha256=head.sha256,
        spec=UploadSpec(filename="a"),
    )


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, MIB, 3 * MIB + 1])
def test_messages_of_every_length(size: int) -> None:
    """Lengths of one to four bytes."""
    data = bytes(size)
    assert UploadRequest.FromString(data_message(7, data)).data == data


@given(data=st.binary(max_size=200), cuts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=8))
def test_bytes_that_pass_twice_are_hashed_once(data: bytes, cuts: list[tuple[int, int]]) -> None:
    """However a source is read again, the digest is that of its bytes in order."""
    digest = RunningDigest()
    reached = 0
    for start, length in cuts:
        start = min(start, reached)
        digest.feed(start, data[start : start + length])
        reached = max(reached, min(len(data), start + length))
    digest.feed(reached, data[reached:])
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


def test_a_hole_in_the_hashed_bytes_is_refused() -> None:
    """A digest over a hole would be wrong in silence."""
    digest = RunningDigest()
    digest.feed(0, b"abc")
    assert digest.needs(3) is None
    assert digest.needs(10) == 3
    with pytest.raises(ValueError, match="3 to 4"):
        digest.feed(4, b"e")


def test_a_given_digest_is_taken_as_it_is() -> None:
    """Nothing is computed where the caller knows the digest; the server compares."""
    digest = RunningDigest("ab" * 32)
    digest.feed(100, b"whatever")
    assert digest.needs(1000) is None
    assert digest.hexdigest() == "ab" * 32


def test_progress_tells_rate_and_time_to_go() -> None:
    """10 bytes per second over the window; 80 bytes left are 8 seconds."""
    clock = ManualClock()
    meter = Meter(100, clock=clock)
    clock.advance(2.0)
    meter.moved(20)
    now = meter.progress()
    assert (now.position, now.elapsed, now.rate, now.fraction, now.remaining) == (20, 2.0, 10.0, 0.2, 8.0)


def test_a_break_takes_the_position_back_but_never_what_is_durable() -> None:
    """After a break the bar falls back to the durable size; the bytes sent again count as speed."""
    clock = ManualClock()
    meter = Meter(100, clock=clock)
    meter.moved(60)
    meter.durable(40)
    meter.at(40)
    meter.durable(30)
    clock.advance(1.0)
    meter.moved(60)
    now = meter.progress()
    assert (now.position, now.durable, now.rate) == (60, 40, 80.0)


def test_the_rate_forgets_what_is_long_ago() -> None:
    """A transfer that stands has a rate of 0 and no time to go."""
    clock = ManualClock()
    meter = Meter(100, clock=clock)
    for _ in range(10):
        clock.advance(1.0)
        meter.moved(50)
        now = meter.progress()
    assert (now.rate, now.remaining) == (0.0, None)


def test_an_unknown_total_has_no_fraction_and_an_empty_document_is_all_there() -> None:
    """Nobody can tell how far a stream is; nothing of nothing is everything."""
    assert Progress(5, 0, None, 1.0, 5.0).fraction is None
    assert Progress(5, 0, None, 1.0, 5.0).remaining is None
    assert Progress(0, 0, 0, 1.0, 0.0).fraction == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("call_timeout", 0),
        ("segment_timeout", -1.0),
        ("patience", float("nan")),
        ("backoff_cap", float("inf")),
        ("max_attempts", 1.5),
        ("message_size", True),
        ("message_size", 65 * MIB),
        ("keepalive_time", "30"),
    ],
)
def test_impossible_options_are_refused_by_name(field: str, value: object) -> None:
    """A wrong option is told when the client is made, not when a transfer hangs."""
    with pytest.raises(ValueError, match=field):
        ClientOptions(**{field: value})  # type: ignore[arg-type]  # what a caller might do


def test_options_come_from_the_environment() -> None:
    """LEDGERLIFT_<OPTION>, numbers only, defaults where unset."""
    options = ClientOptions.from_env({"LEDGERLIFT_CALL_TIMEOUT": "2.5", "LEDGERLIFT_MAX_ATTEMPTS": "7"})
    assert (options.call_timeout, options.max_attempts) == (2.5, 7)
    assert options.patience == ClientOptions().patience


@pytest.mark.parametrize(("text", "what"), [("soon", "LEDGERLIFT_PATIENCE"), ("-1", "patience")])
def test_a_bad_variable_is_named(text: str, what: str) -> None:
    """The sentence says which variable is wrong."""
    with pytest.raises(ValueError, match=what):
        ClientOptions.from_env({"LEDGERLIFT_PATIENCE": text})


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("localhost:50051", "dns:///localhost:50051"),
        (" 127.0.0.1:1 ", "dns:///127.0.0.1:1"),
        ("[::1]:50051", "dns:///[::1]:50051"),
        ("dns:///a.example:443", "dns:///a.example:443"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
        ("ipv4:127.0.0.1:1", "ipv4:127.0.0.1:1"),
    ],
)
def test_targets_are_dns_names_unless_they_say_otherwise(target: str, normal: str) -> None:
    """A name is looked up again when connections break."""
    assert normal_target(target) == normal


@pytest.mark.parametrize("target", ["", "  ", "localhost", "a b:1", "http//x"])
def test_a_target_without_a_port_is_refused(target: str) -> None:
    """gRPC would take port 443 and fail much later."""
    with pytest.raises(ValueError, match="host:port"):
        normal_target(target)


def test_the_channel_has_one_retry_layer() -> None:
    """gRPC's own retries are off: two layers multiply."""
    told = dict(channel_options(ClientOptions()))
    assert told["grpc.enable_retries"] == 0
    assert "round_robin" in told["grpc.service_config"]
    assert told["grpc.keepalive_time_ms"] == 30_000


def test_deadlines_and_repeatability_come_from_the_protos() -> None:
    """Every method that the client calls declares both."""
    methods = [m for m in vars(_policies).values() if isinstance(m, _policies.Method)]
    assert len(methods) == 21
    assert all(m.default_timeout > 0 for m in methods)
    assert all(m.idempotent for m in methods)
    assert _policies.GET_UPLOAD.default_timeout == 10.0
    assert _policies.UPLOAD.path == "/ledgerlift.v1.UploadService/Upload"
