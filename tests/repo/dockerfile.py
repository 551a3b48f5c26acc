"""Reads a Dockerfile, and repeats on this machine what it does to build.

Paths of the image are moved below a folder; the commands are otherwise run as they stand. That a base image has what
is expected of it is not seen here: there is no engine.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MOVED = ("/opt/", "/src")
"""Folders that the build writes to."""


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next: `base` and `name`, and the instructions with their texts."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The texts of every `instruction`, in order."""
        return [text for name, text in self.steps if name == instruction]

    def words(self, instruction: str) -> list[str]:
        """The words of the one `instruction` in its JSON form."""
        (text,) = self.all(instruction)
        words: list[str] = json.loads(text)
        return words

    @property
    def health(self) -> list[str]:
        """The command of HEALTHCHECK, in its shell form, as an engine starts it."""
        (text,) = self.all("HEALTHCHECK")
        return ["/bin/sh", "-c", text.partition(" CMD ")[2]]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV lines set."""
        return {name: value for text in self.all("ENV") for name, value in re.findall(r"(\w+)=(\S+)", text)}


def stages(dockerfile: Path) -> list[Stage]:
    """The stages, comments left out and continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, text = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = text.partition(" AS ")
            found.append(Stage(base, name))
        elif instruction:
            found[-1].steps.append((instruction, text))
    return found


def ignored(path: str, dockerignore: Path) -> bool:
    """Whether the builder does not get `path`: the last pattern that fits it, or a folder of it, counts."""
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    verdict = False
    for line in dockerignore.read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(_fits(name, pattern) for name in above):
            verdict = not line.startswith("!")
    return verdict


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(path.rpartition("/")[2], pattern.removeprefix("**/"))
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def replay(stage: Stage, context: Path, root: Path, files: list[str]) -> None:
    """Do below `root` what `stage` does to an image. `files` are those of `context` that the builder gets."""
    environment = _environment(root, stage.environment)
    folder = root
    for instruction, text in stage.steps:
        match instruction:
            case "WORKDIR":
                folder = Path(_moved(text, root))
                folder.mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = text.split()
                for source in sources:
                    _copy(source, target, context, folder, files)
            case "RUN":
                _run(_moved(text, root), folder, environment)
            case "ENV":
                pass
            case _:
                raise AssertionError(f"the build stage has a step that is not repeated here: {instruction} {text}")


def _environment(root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """The image's commands, beside the `python` that runs the tests; pip's own settings of this machine hold."""
    bin_folder = root / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(Path(sys.executable).resolve())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    kept |= {name: value for name, value in extra.items() if name != "PIP_NO_CACHE_DIR"}  # what is here need not come
    return {**kept, "PATH": f"{bin_folder}:/usr/bin:/bin"}


def _moved(text: str, root: Path) -> str:
    for path in MOVED:
        text = re.sub(rf"(?<![\w.]){path}", f"{root}{path}", text)
    return text


def _copy(source: str, target: str, context: Path, folder: Path, files: list[str]) -> None:
    found = [name for name in files if name == source or name.startswith(f"{source}/")]
    assert found, f"COPY {source}: .dockerignore leaves nothing of it"
    whole_folder = found != [source]
    for name in found:
        inside = name.removeprefix(f"{source}/") if whole_folder else Path(name).name
        to = folder / target / inside
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(context / name, to)


def _run(command: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
