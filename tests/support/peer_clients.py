"""How clients of an `UploadPeer` are set: small messages and segments, and next to no waits.

The clients themselves are made in each module of tests, whose `LedgerLiftClient` is replaced (`both_clients.py`).
"""

from __future__ import annotations

import os
from typing import Any

import grpc
from ledgerlift_client import ClientOptions

FAST: dict[str, Any] = {"backoff_base": 0.001, "backoff_cap": 0.002, "message_size": 50, "segment_size": 256}
OPTIONS = ClientOptions(
    message_size=50,
    segment_size=256,
    replay_buffer=128,
    backoff_base=0.001,
    backoff_cap=0.001,
    max_attempts=5,
    call_timeout=20.0,
    patience=20.0,
)
DATA = os.urandom(1000)
REFUSED, INTERNAL = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INTERNAL
