"""What the doctor says of the addresses to listen on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ledgerlift_server.doctor import Finding, State
from ledgerlift_server.doctor.ports import look_at_port

from tests.repo.deployed import free_port


def look(address: str | None) -> Finding:
    """The one row."""
    (found,) = look_at_port("GRPC_ADDRESS", address)
    return found


def listener() -> tuple[subprocess.Popen[str], str]:
    """A process that listens, and where."""
    program = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
    process = subprocess.Popen(
        [sys.executable, "-c", program + " sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, f"127.0.0.1:{process.stdout.readline().strip()}"


@pytest.mark.parametrize(("address", "said"), [(None, "nothing listens"), ("127.0.0.1:0", "any free one")])
def test_what_is_not_fixed_is_well(address: str | None, said: str) -> None:
    """There is nothing to be taken by somebody else."""
    assert look(address).state is State.OK
    assert said in look(address).figure


def test_a_free_port_is_free_and_stays_so() -> None:
    """To look does not take it."""
    address = f"127.0.0.1:{free_port()}"
    assert [look(address).figure for _ in range(2)] == [f"{address} is free"] * 2


def test_who_holds_it_is_named() -> None:
    """By the name of the program and its pid."""
    process, address = listener()
    with process:
        found = look(address)
    assert found.state is State.FAIL
    assert f"(pid {process.pid})" in found.figure
    assert "GRPC_ADDRESS" in found.advice


@pytest.mark.parametrize(
    ("address", "said"),
    [("192.0.2.7:50051", "not of this machine"), ("a..b:50051", "is no address")],
)
def test_an_address_of_nobody_is_said(address: str, said: str) -> None:
    """One of another network, and what cannot be a name."""
    found = look(address)
    assert found.state is State.FAIL
    assert said in found.figure


def test_ipv6_is_read_as_it_is_written() -> None:
    """In brackets; one that is not of this machine, or of a machine without IPv6."""
    assert look("[2001:db8::7]:50051").state is State.FAIL
