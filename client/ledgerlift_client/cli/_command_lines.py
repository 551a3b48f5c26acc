"""Commands for people to paste."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ledgerlift_client._channel import DEFAULT_TARGET
from ledgerlift_client.cli._session import Session


def command_line(session: Session, words: Sequence[str]) -> str:
    """`ledgerlift` with these words, for the server of this run."""
    target = ["--target", session.target] if session.target != DEFAULT_TARGET else []
    tls = ["--tls"] if session.tls.tls else []
    for name in ("ca", "cert", "key"):
        file = getattr(session.tls, name)
        tls += [] if file is None else [f"--{name}", file]
    return shlex.join(["ledgerlift", *target, *tls, *words])
