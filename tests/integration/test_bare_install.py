"""`pip install .` in an empty environment, as a service does that only wants the client."""

from __future__ import annotations

import json
import venv
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.repo.requirements import declared
from tests.support.programs import run
from tests.support.tools import ROOT, missing

PATIENCE = 300
"""Seconds for pip, which fetches what it does not have."""
HEAVY = {
    "alembic",
    "boto3",
    "botocore",
    "ledgerlift_server",
    "psycopg2",
    "pydantic",
    "rich",
    "sqlalchemy",
    "structlog",
}
IMPORT = """
import json, sys, time
began = time.perf_counter()
import ledgerlift_client
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@pytest.mark.timeout(PATIENCE + 60)
def test_the_bare_install_is_the_client_and_little_else(tmp_path: Path) -> None:
    """Nothing comes along that only the server or the command line needs, and importing it loads nothing heavy."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    installed = run(python, "-m", "pip", "install", "--quiet", str(ROOT), timeout=PATIENCE)
    if "Could not find a version" in installed.stderr:
        missing("an index of packages that pip can reach")
    assert installed.returncode == 0, installed.stderr

    listed = run(python, "-m", "pip", "list", "--format", "json")
    names = {canonicalize_name(item["name"]) for item in json.loads(listed.stdout)}
    wanted, others = (
        {canonicalize_name(need.name) for need in declared(extras)} for extras in ([], ["server", "cli"])
    )
    assert wanted <= names
    assert names & (others - wanted) == set()

    told = [json.loads(run(python, "-I", "-c", IMPORT).stdout) for _ in range(3)]
    seconds = min(one["seconds"] for one in told)
    print(f"import ledgerlift_client: {seconds:.2f} s at best, beside it {sorted(names)}")  # noqa: T201 - told, not judged
    assert HEAVY & set(told[0]["modules"]) == set()
