"""generated/ is what the protos say, and what the pinned libraries can load."""

from __future__ import annotations

import filecmp
import re
import subprocess
import sys
from pathlib import Path

from packaging.version import Version

from tests.repo.requirements import declared, pins
from tests.support.tools import ROOT

PROTOS = ROOT / "protos"
GENERATED = ROOT / "generated"


def test_it_regenerates_identically(tmp_path: Path) -> None:
    """Running the pinned compiler over the protos gives the committed files, byte for byte, and no others."""
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"),
            *(str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))),
        ],
        cwd=PROTOS,
        check=True,
    )
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.py*")}
    kept = {path.relative_to(GENERATED) for path in GENERATED.rglob("*.py*") if "__pycache__" not in path.parts}
    assert made == kept
    _, different, unreadable = filecmp.cmpfiles(tmp_path, GENERATED, [str(path) for path in made], shallow=False)
    assert (different, unreadable) == ([], [])


def test_every_install_can_load_it() -> None:
    """The oldest grpcio and protobuf that pyproject.toml allows, and those pinned, are new enough for the code."""
    text = "".join(path.read_text() for path in sorted(GENERATED.rglob("*.py")))
    needs = {
        "grpcio": {Version(found) for found in re.findall(r"^GRPC_GENERATED_VERSION = '(.+)'$", text, re.MULTILINE)},
        "protobuf": {
            Version(found) for found in re.findall(r"^# Protobuf Python Version: (.+)$", text, re.MULTILINE)
        },
    }
    lowest = {need.name: min(Version(bound.version) for bound in need.specifier) for need in declared([])}
    for name, versions in needs.items():
        assert len(versions) == 1, f"{name}: made by more than one version: {versions}"
        assert versions <= {lowest[name]}, f"pyproject.toml must ask for {name}>={max(versions)}"
        assert Version(pins("dev")[name]) >= max(versions)
