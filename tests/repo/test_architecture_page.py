"""docs/architecture.md: its layers are those that are enforced, and nothing of the server is left out."""

from __future__ import annotations

import re

from tests.repo.requirements import PYPROJECT
from tests.support.tools import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
SERVER = ROOT / "server" / "ledgerlift_server"
RULES = 12
"""Of the upload protocol."""


def test_the_layers_are_those_that_are_enforced() -> None:
    """The table has the rows of import-linter's contract, in its order."""
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    table = PAGE.partition("| layer | holds |")[2].partition("\n\n")[0]
    shown = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert shown == [name for row in layers for name in row.split(" | ")]


def test_every_module_has_its_place() -> None:
    """What stands at the top of the server's package is in the table, or named beside it."""
    section = PAGE.partition("## Layers")[2].partition("\n## ")[0]
    modules = {path.stem for path in SERVER.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    unnamed = {name for name in modules - {"__init__"} if f"`{name}`" not in section}
    assert {name for name in unnamed if not name.startswith("settings_")} == set()


def test_every_rule_has_its_place() -> None:
    """Each rule of the upload protocol names a file of the server and a test; all pages' links are held to exist."""
    rows = re.findall(r"^\| (\d+)\. (.+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, RULES + 1))
    for _, row in rows:
        assert "(../server/ledgerlift_server/" in row
        assert "(../tests/" in row
