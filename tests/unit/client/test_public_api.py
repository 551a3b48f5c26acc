"""The client's public face: what is exported, and that its types say what they are."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import ledgerlift_client
import pytest
from ledgerlift_client import LedgerLiftClient

from tests.support.tools import ROOT

mypy = pytest.importorskip("mypy.api")


def test_everything_exported_is_there_and_says_what_it_is() -> None:
    """`__all__` names nothing that is missing, and nothing without a docstring."""
    for name in ledgerlift_client.__all__:
        assert inspect.getdoc(getattr(ledgerlift_client, name)), name
    assert len(set(ledgerlift_client.__all__)) == len(ledgerlift_client.__all__)


def test_what_methods_return_is_exported() -> None:
    """No caller has to import from a private module to annotate a variable."""
    hints = " ".join(
        str(inspect.signature(method)) for name, method in inspect.getmembers(LedgerLiftClient, inspect.isfunction)
        if not name.startswith("_")
    )  # fmt: skip
    for name in ("UploadResult", "Upload", "Limits", "Document", "DocumentStats", "Event", "Progress"):
        assert name in hints
        assert name in ledgerlift_client.__all__


def _complaints(name: str) -> tuple[Path, dict[int, set[str]]]:
    """A file of `typing_cases/`, and the codes of what a strict mypy says about each of its lines."""
    program = Path(__file__).parent / "typing_cases" / name
    out, err, _ = mypy.run(
        ["--strict", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", str(program)]
    )
    assert not err
    found: dict[int, set[str]] = {}
    for path, line, code in re.findall(r"^([^:\n]+):(\d+): error: .*\[([\w-]+)\]$", out, re.MULTILINE):
        assert Path(path).name == name, out
        found.setdefault(int(line), set()).add(code)
    assert bool(found) == bool(out.strip()), out
    return program, found


def test_right_use_is_accepted_and_every_type_is_known() -> None:
    """`py.typed` is honoured: a strict mypy has nothing to say, and no result is Any."""
    program, found = _complaints("right_use.py")
    assert found == {}
    text = program.read_text()
    methods = {name for name, _ in inspect.getmembers(LedgerLiftClient, inspect.isfunction) if name[0] != "_"}
    assert {name for name in methods if f"client.{name}(" not in text} == {"close", "delete", "get_upload"}


def test_wrong_use_is_refused_line_by_line() -> None:
    """Each mistake is found where it is made, and nothing else is called one."""
    program, found = _complaints("wrong_use.py")
    expected = {
        number: set(why.group(1).split())
        for number, line in enumerate(program.read_text().splitlines(), 1)
        if (why := re.search(r"# error: ([\w -]+?)(?:\s+#|$)", line))
    }
    assert len(expected) > 10
    assert {line for line in found if line not in expected} == set()
    assert {line for line, codes in expected.items() if not codes & found.get(line, set())} == set()
