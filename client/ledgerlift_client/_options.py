"""How a client behaves, in one frozen and validated place. Nothing here depends on the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * KIB

MESSAGE_OVERHEAD = 64 * KIB
"""Bytes of a message that are left to everything but `data` (GetLimits says so)."""

_SWITCHES = {"health_checking"}
SAID = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
"""What a switch in the environment may say: the words that click takes on the command line."""
_WHOLE = (
    "max_attempts",
    "message_size",
    "segment_size",
    "replay_buffer",
    "max_message_size",
    "breaker_failures",
    "retry_budget",
)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Times are seconds, sizes bytes. ValueError names the field that cannot be.

    A call of the client may be several attempts: each attempt has the deadline that the method's
    policy in the protos gives it, all of them together the deadline that stands here.
    """

    call_timeout: float = 30.0
    """For a short call with all its attempts. The server never takes longer to answer one of them."""
    segment_timeout: float = 120.0
    """For one Upload call (a segment of a large document) or one attempt of a download. When it passes, the
    transfer goes on from what is durable."""
    transfer_timeout: float | None = None
    """For a whole upload or download; None means as long as it moves."""
    patience: float = 120.0
    """How long a transfer that has begun goes on trying without any progress."""
    max_attempts: int = 6
    """Attempts of a short call, and of a transfer as long as this client has never been answered: with the waits
    between them some 4 s, so that a wrong target is told soon and a restart is outlived."""
    backoff_base: float = 0.25
    """The first wait is between 0 and this (full jitter), the next between 0 and twice this, and so on."""
    backoff_cap: float = 10.0
    """No wait of our own is longer. What the server asks for is waited for in addition."""
    message_size: int = 1 * MIB
    """Bytes of the document in one message of an upload."""
    segment_size: int = 64 * MIB
    """Most bytes in one Upload call; less where the server recommends less. Up to this a document is one call."""
    replay_buffer: int = 32 * MIB
    """Bytes kept of a source that cannot seek, so that they can be sent again. Its segments are as large as this,
    or one stored part where that is larger (5 MiB for ordinary documents)."""
    max_message_size: int = 16 * MIB
    """Largest message received."""
    keepalive_time: float = 30.0
    """Between pings while calls are running; the server allows no less than this many seconds."""
    health_checking: bool = False
    """Servers that say of themselves that they are not serving (they start, or drain) get no new calls. A server
    without the standard health service counts as serving. Off, because gRPC's own code (1.85) can end the whole
    process by a segmentation fault when a connection breaks right after it was made (docs/adr/0017); without it such
    a server refuses the call, and it is made again."""
    breaker_failures: int = 5
    """Calls in a row that nobody answers; then calls are refused on this side (`CircuitOpen`)."""
    breaker_recovery: float = 30.0
    """For this long at the most, and up to a fifth longer; then one call at a time finds out. Of an outage that is
    older than the grace, a tenth of its age: 3 s after half a minute, 30 s after five."""
    breaker_grace: float = 30.0
    """While an outage is younger than this, a call finds out every 250 ms and the others wait for that, within their
    deadlines: a server that restarts is back by then. As long as `call_timeout`, so that such a call is not refused
    for an outage that it would have outlasted. A transfer waits for its `patience`."""
    retry_budget: int = 100
    """Retries that all calls together may make without one success. Transfers that have begun are bounded by their
    `patience` instead."""
    progress_interval: float = 0.1
    """Least seconds between two `ProgressMade` events of one transfer; the first and the last always come."""

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name == "transfer_timeout":
                continue
            if field.name in _SWITCHES:
                if not isinstance(value, bool):
                    raise ValueError(f"{field.name} must be True or False, not {value!r}")
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{field.name} must be a number, not {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be more than 0 and finite, not {value!r}")
        for name in _WHOLE:
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name} must be a whole number, not {getattr(self, name)!r}")
        if self.message_size > self.segment_size:
            raise ValueError(f"message_size must be at most segment_size ({self.segment_size})")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ClientOptions:
        """Options from `LEDGERLIFT_CALL_TIMEOUT`, `LEDGERLIFT_SEGMENT_SIZE` and so on; the default where unset.

        ValueError names the variable.
        """
        found: dict[str, float | int | bool] = {}
        for field in fields(cls):
            variable = f"LEDGERLIFT_{field.name.upper()}"
            text = environ.get(variable, "").strip()
            if not text:
                continue
            if field.name in _SWITCHES:
                if text.lower() not in SAID:
                    raise ValueError(f"{variable} must be true or false, not {text!r}")
                found[field.name] = SAID[text.lower()]
                continue
            try:
                found[field.name] = int(text) if text.isdigit() else float(text)
            except ValueError:
                raise ValueError(f"{variable} must be a number, not {text!r}") from None
        try:
            return cls(**found)  # type: ignore[arg-type]  # __post_init__ checks which must be whole
        except ValueError as error:
            raise ValueError(f"LEDGERLIFT_* in the environment: {error}") from None
