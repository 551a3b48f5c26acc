"""docs/failures.md: every reason once, with what all sides make of it, and every fault of the measured table."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from ledgerlift.v1 import policy_pb2
from ledgerlift_client._decode import BY_REASON
from ledgerlift_client.cli import exit_codes
from ledgerlift_server import errors
from ledgerlift_server.rpc.status import code_of

from tests.repo.test_protos import _methods
from tests.support.tools import ROOT

PAGE = (ROOT / "docs" / "failures.md").read_text()
FAULTS = r"^\| (database|storage) \| ([^|]+) \|"
OF_EVERY_METHOD = {
    *("INVALID_FIELD", "UNAUTHENTICATED", "PERMISSION_DENIED", "DEADLINE_EXCEEDED", "OVERLOADED"),
    *("DEPENDENCY_UNAVAILABLE", "CIRCUIT_OPEN"),
}
"""As the beginning of docs/api.md says."""


def _kinds(kind: type[errors.LedgerLiftError]) -> Iterator[type[errors.LedgerLiftError]]:
    for sub in kind.__subclasses__():
        if "reason" in vars(sub):
            yield sub
        yield from _kinds(sub)


KINDS = {kind.reason: kind for kind in _kinds(errors.LedgerLiftError)}


def _rows() -> dict[str, list[str]]:
    """The cells behind each reason of the first table."""
    table = PAGE.partition("## Reasons")[2].partition("Not of these")[0]
    found = re.findall(r"^\| `([A-Z_]+)` \|(.+)\|$", table, re.MULTILINE)
    assert len(found) == len({reason for reason, _ in found}), "a reason stands there twice"
    return {reason: [cell.strip() for cell in cells.split("|")] for reason, cells in found}


def test_every_reason_is_there_and_none_is_invented() -> None:
    """What the server can say is explained, and nothing else is."""
    assert len(KINDS) > 25
    assert set(_rows()) == set(KINDS)


@pytest.mark.parametrize("reason", sorted(KINDS))
def test_each_row_says_what_happens(reason: str) -> None:
    """Code and RetryInfo as the server sends them; the exception and the exit code of the client."""
    code, retry, _facts, raised, _by_itself, exit_code, advice = _rows()[reason]
    kind = KINDS[reason]
    assert code == code_of(kind.__new__(kind)).name
    assert (retry != "no") == issubclass(kind, errors.TryLater)
    assert raised.strip("`") == BY_REASON[reason].__name__
    assert int(exit_code) == exit_codes.of(BY_REASON[reason]("said"))
    assert advice


def test_reasons_of_methods_exist() -> None:
    """What a policy says a method refuses with is a reason, and each reason is some method's, or every one's."""
    claimed = set()
    for method in _methods():
        reasons = list(method.GetOptions().Extensions[policy_pb2.policy].reasons)
        assert reasons == sorted(set(reasons)), method.full_name
        claimed.update(reasons)
    assert claimed - set(KINDS) == set()
    assert set(KINDS) - claimed == OF_EVERY_METHOD


def test_every_fault_of_the_measured_table_is_explained() -> None:
    """What was done to the dependencies is there, in the same order and words."""
    measured = re.findall(FAULTS, (ROOT / "docs" / "RELIABILITY.md").read_text(), re.MULTILINE)
    assert len(measured) >= 18
    assert re.findall(FAULTS, PAGE, re.MULTILINE) == measured
