"""Whether this process was forked from one in which gRPC was running.

gRPC's threads are not there after a fork. A call then hangs, and so does that of a client which the child makes
itself (measured with grpcio 1.85). With GRPC_ENABLE_FORK_SUPPORT=1, read by gRPC when it is imported, clients that
the child makes work.
https://github.com/grpc/grpc/blob/master/doc/fork_support.md
"""

from __future__ import annotations

import os

_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

ADVICE = (
    "fork before the first client is made, start processes with multiprocessing's `spawn`, "
    f"or set {_SUPPORT}=1 and make a client in each process"
)


class ForkWatch:
    """Knows of one process whether gRPC can run in it."""

    def __init__(self, *, supported: bool) -> None:
        """`supported`: gRPC looks after its own threads."""
        self._supported = supported
        self._used = False
        self._unusable = False

    def use(self) -> None:
        """A client is about to be made. Raises RuntimeError where its calls would hang."""
        if self._unusable:
            raise RuntimeError(f"gRPC was in use when this process was forked, and hangs in it: {ADVICE}")
        self._used = True

    def forked(self) -> None:
        """This is the child."""
        self._unusable = self._used and not self._supported


WATCH = ForkWatch(supported=os.environ.get(_SUPPORT, "").lower() in ("1", "true", "yes"))
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=WATCH.forked)
