"""Reads `.env.example` and `.env.prod.example`: what they set, and what they show as a default."""

from __future__ import annotations

import re
from pathlib import Path

_SET = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_DEFAULT = re.compile(r"#([A-Z][A-Z0-9_]*)=(.*)")


def settings_of(file: Path) -> dict[str, str]:
    """The variables that the file sets."""
    return _found(file, _SET)


def defaults_of(file: Path) -> dict[str, str]:
    """The variables that stand behind a `#`, with what the file says is their default."""
    return _found(file, _DEFAULT)


def unexplained(file: Path) -> list[str]:
    """Variables without a sentence above them. One sentence may stand for neighbours."""
    missing, explained = [], False
    for line in file.read_text().splitlines():
        if _SET.fullmatch(line) or _DEFAULT.fullmatch(line):
            if not explained:
                missing.append(line)
        else:
            explained = bool(re.fullmatch(r"# (?!----).*[.:].*|# .+", line))
    return missing


def _found(file: Path, form: re.Pattern[str]) -> dict[str, str]:
    matches = [match for line in file.read_text().splitlines() if (match := form.fullmatch(line))]
    names = [match[1] for match in matches]
    assert len(names) == len(set(names)), f"{file.name}: a variable stands there twice"
    return {match[1]: match[2] for match in matches}
