"""A client that begins an upload and leaves in the middle: five ways, each without `finish_write`.

The module is loaded by processes that are killed, so it holds nothing but the client.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_uploads import content, messages, spec, uploads

RAISES, CANCEL, DEADLINE, CLOSE, SIGKILL = "iterator raises", "cancel", "deadline", "channel close", "SIGKILL"
WAYS = (RAISES, CANCEL, DEADLINE, CLOSE, SIGKILL)

PATIENCE = 60.0
"""Seconds after which a call that nothing ended is a failed test."""


class Raised(Exception):
    """By the request iterator."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One upload and where it is left. Sizes and positions in bytes, times in seconds."""

    way: str
    request_id: str
    seed: int
    size: int
    declared: bool
    """Size and digest are said up front."""
    accept_partial: bool
    message_size: int
    sent: int
    """What was handed to grpc before it was left; everything, at times, but for `finish_write`."""
    pause: float
    """Between the last message and the end, so that it catches the server at different work."""
    timeout: float
    """For the call; short where its end is what is planned."""

    @property
    def data(self) -> bytes:
        """The document."""
        return content(self.seed, self.size)

    @property
    def spec(self) -> pb.UploadSpec:
        """What was said of it."""
        if not self.declared:
            return spec(self.request_id)
        return spec(self.request_id, size=self.size, sha256=self.sha256)

    @property
    def sha256(self) -> str:
        """Of the whole document."""
        return hashlib.sha256(self.data).hexdigest()


def plans(random: Random, trials: int, part_size: int) -> list[Plan]:
    """So many for each way, in any order."""
    made = [_plan(random, way, part_size) for way in WAYS for _ in range(trials)]
    random.shuffle(made)
    return made


@dataclass(frozen=True, slots=True)
class Left:
    """What the client saw: the status of its call, and whether the server had told it of a session."""

    code: str
    begun: bool


def leave(address: str, plan: Plan) -> Left:
    """Upload as planned, and leave. Of a client that is killed nobody hears."""
    handed_over, over = threading.Event(), threading.Event()

    def requests() -> Iterator[pb.UploadRequest]:
        yield from messages(
            plan.data,
            stop=plan.sent,
            size=plan.message_size,
            spec=plan.spec,
            accept_partial=plan.accept_partial,
        )
        handed_over.set()
        if plan.way == RAISES:
            over.wait(plan.pause)
            raise Raised
        over.wait(PATIENCE)  # neither a further message nor the end of the stream

    channel = grpc.insecure_channel(address)
    call = uploads(channel).Upload.future(
        requests(),
        timeout=plan.timeout,
        metadata=(("x-request-id", plan.request_id),),
    )
    call.add_done_callback(lambda _: handed_over.set())  # a call that is over asks for no further message
    try:
        begun = bool(call.initial_metadata())  # waits until the server has the session, or the call is over
        handed_over.wait(PATIENCE)
        _end(plan, call, channel, over)
        return Left(call.code().name, begun)
    finally:
        over.set()
        channel.close()


def _end(plan: Plan, call: Any, channel: grpc.Channel, over: threading.Event) -> None:
    if plan.way in (CANCEL, CLOSE, SIGKILL):
        over.wait(plan.pause)
    match plan.way:
        case "cancel":
            call.cancel()
        case "channel close":
            channel.close()
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)


def _plan(random: Random, way: str, part_size: int) -> Plan:
    """A document of up to three parts, left anywhere: one in four after its last byte."""
    size = random.choice([random.randint(100, part_size - 1), random.randint(part_size, 3 * part_size), part_size])
    return Plan(
        way=way,
        request_id=f"left-{random.getrandbits(64):016x}",
        seed=random.getrandbits(32),
        size=size,
        declared=random.random() < 0.5,
        accept_partial=random.random() < 0.5,
        message_size=random.choice([part_size // 16, part_size // 3 + 1, part_size // 64 * 5]),
        sent=size if random.random() < 0.25 else random.randint(0, size),
        pause=random.choice([0.0, 0.001, 0.01, 0.05]) * random.random(),
        timeout=0.01 * 40 ** random.random() if way == DEADLINE else PATIENCE,
    )
