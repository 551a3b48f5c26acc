"""Who may import whom. The table itself stands in pyproject.toml; here it is run, and completed where it is blind."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.repo.requirements import declared
from tests.support.tools import ROOT

SERVER = ROOT / "server" / "ledgerlift_server"
ENVIRONMENT_READERS = {"settings.py", "settings_problems.py", "settings_rules.py", "__main__.py"}
MODULES_OF = {"googleapis-common-protos": "google", "protobuf": "google", "grpcio": "grpc"}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            yield str(node.module)


def test_the_contracts_hold() -> None:
    """import-linter finds no import against the layer table."""
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("layer", ["domain", "resilience"])
def test_the_inner_layers_need_only_the_standard_library(layer: str) -> None:
    """No library reaches the rules of the domain or of resilience."""
    files = sorted((SERVER / layer).rglob("*.py"))
    assert files
    for path in files:
        outside = {name for name in _imports(path) if name.partition(".")[0] not in sys.stdlib_module_names}
        assert {name for name in outside if not name.startswith("ledgerlift_server.")} <= {"ledgerlift_server"}, path


def test_only_the_settings_read_the_environment() -> None:
    """Every variable that changes what the server does is in one class; nothing else looks at `os.environ`."""
    readers = set()
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"}:
                readers.add(path.relative_to(SERVER).as_posix())
    assert readers <= ENVIRONMENT_READERS


def test_the_client_imports_with_nothing_but_the_bare_install() -> None:
    """With every library of the extras out of reach, `import ledgerlift_client` works and loads no server."""
    bare = {MODULES_OF.get(canonicalize_name(need.name), need.name) for need in declared([])}
    program = f"""
import sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        allowed = {bare | {"ledgerlift", "ledgerlift_client", "typing_extensions"}!r}
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"{{name}} is not in the bare install", name=name)

sys.meta_path.insert(0, Wall())
import ledgerlift_client
"""
    subprocess.run([sys.executable, "-I", "-c", program], cwd=ROOT, check=True)
