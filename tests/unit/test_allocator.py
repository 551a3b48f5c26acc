"""What malloc is told shows in page faults; where there is no glibc, nothing is told."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from ledgerlift_server import allocator

MIB = 1024 * 1024
PAGE = 4096

# What uploads do to memory: messages grow by reallocation, are copied, and some are there at the same time.
RECEIVE_200_MESSAGES = """
import resource, sys
from ledgerlift_server.allocator import keep_message_memory
if sys.argv[1] == "told":
    assert keep_message_memory()
frame = bytes(16384)
def receive():
    message = bytearray()
    for _ in range(64):
        message += frame
    return bytes(message)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    messages = [receive() for _ in range(4)]
    del messages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# Many messages at once, and one behind them that lives: nothing at the top of the heap is free.
LEAVE_100_MIB_FREE = """
import asyncio, psutil
from ledgerlift_server import allocator
assert allocator.keep_message_memory()
allocator.INTERVAL = 0.01
async def main():
    returning = asyncio.create_task(allocator.return_free_memory())
    await asyncio.sleep(0)
    messages = [b"x" * 2**20 for _ in range(100)]
    last = messages[-1]
    del messages
    resident = psutil.Process().memory_info().rss
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if psutil.Process().memory_info().rss < resident - 90 * 2**20:
            return print("returned")
asyncio.run(main())
"""


def _faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", RECEIVE_200_MESSAGES, mode], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc only")
def test_memory_of_a_message_is_kept_for_the_next() -> None:
    """200 messages of 1 MiB fault in less than a tenth of their pages; by default it is more than all of them."""
    assert _faults("told") < 200 * MIB // PAGE // 10


def test_another_libc_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl, macOS: no call is made, and it is said."""
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", None)
    assert allocator.keep_message_memory() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc only")
def test_what_many_messages_leave_behind_is_returned_to_the_system() -> None:
    """Free memory below one message that is still there: malloc alone would keep it for good."""
    done = subprocess.run([sys.executable, "-c", LEAVE_100_MIB_FREE], capture_output=True, text=True, check=True)
    assert done.stdout == "returned\n"
