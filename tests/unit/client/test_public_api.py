"""The client's public face: what is exported, and that its types say what they are."""

from __future__ import annotations

import inspect
import textwrap
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


USE = """
from ledgerlift_client import ClientOptions, Document, LedgerLiftClient, UploadResult, errors

with LedgerLiftClient("localhost:1", options=ClientOptions(call_timeout=5)) as client:
    result = client.upload(b"data", filename="a.txt", metadata={"a": "b"}, progress=lambda p: print(p.fraction))
    reveal_type(result)
    reveal_type(result.document.create_time)
    for document in client.list(key_prefix="a/"):
        reveal_type(document)
    reveal_type(client.check_digests(["ab"]))
    try:
        client.get("x")
    except errors.DuplicateDocument as error:
        reveal_type(error.document_id)
    client.upload(3)
    client.get(document_id=5)
"""


def test_types_reach_a_caller_under_strict_mypy(tmp_path: Path) -> None:
    """`py.typed` is honoured: right use is accepted, wrong use is not, and nothing is Any."""
    program = tmp_path / "use.py"
    program.write_text(textwrap.dedent(USE))
    out, _, _ = mypy.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), str(program)])
    revealed = [line.split("Revealed type is ")[1].strip('"') for line in out.splitlines() if "Revealed" in line]
    assert revealed == [
        "ledgerlift_client._models.UploadResult",
        "datetime.datetime",
        "ledgerlift_client._models.Document",
        "dict[str, ledgerlift_client._models.ExistingDigest]",
        "str | None",
    ], out
    refused = [line for line in out.splitlines() if "error:" in line]
    assert len(refused) == 2, out
    assert "incompatible type" in refused[0]
    assert "incompatible type" in refused[1]
