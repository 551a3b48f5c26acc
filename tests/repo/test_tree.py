"""What no file of the repository may hold."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.tools import ROOT, tool

# Written in halves, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of one machine": re.compile("/" + r"(?:root|work|home/\w+|Users/\w+)/"),
    "the host of a package registry": re.compile("py" + r"pi\.org|python" + r"hosted\.org|proxy\.go" + r"lang\.org"),
    "an emoji": re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]"),
}


def _text_files() -> list[tuple[Path, str]]:
    listed = subprocess.run(
        [tool("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    found = []
    for path in (ROOT / name for name in listed if name):
        if path.is_file() and b"\0" not in (raw := path.read_bytes()):
            found.append((path, raw.decode(errors="replace")))
    return found


def test_nothing_ties_it_to_one_machine() -> None:
    """No machine's paths, no registry's host names, no emoji."""
    files = _text_files()
    assert len(files) > 50, "the tree was not listed"
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}: {match.group()}"
        for path, text in files
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(line))
    ]
    assert found == []
