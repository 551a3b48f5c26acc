"""What pyproject.toml asks for, and what requirements/ pins."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.tools import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OWN_NAME: str = PYPROJECT["project"]["name"]


def declared(extras: list[str]) -> list[Requirement]:
    """The requirements of an install with `extras`; extras that name other extras are followed."""
    project = PYPROJECT["project"]
    lines: list[str] = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    found: list[Requirement] = []
    for requirement in map(Requirement, lines):
        if requirement.name == OWN_NAME:
            found += declared(sorted(requirement.extras))
        else:
            found.append(requirement)
    return found


def lock_text(lock: str) -> str:
    """The text of `requirements/<lock>.txt`."""
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pins(lock: str) -> dict[str, str]:
    """Name and version of everything that `requirements/<lock>.txt` pins."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock_text(lock), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}
