"""Reads the code blocks of a Markdown page, and what their commands refer to.

A block that begins with ```` ```sh run ```` or ```` ```python run ```` is run by the tests, in the order of the page;
a reader does not see the word `run`. They run in a copy of the repository, beside a server that stands at the address
that the page names as `ADDRESS`. ```` ```sh tests/some_test.py ```` names the test that runs it. In the other shell
blocks each command has to exist.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import environment, run
from tests.support.tools import ROOT, TOOLS, tool

ADDRESS = "127.0.0.1:50051"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
SHELL = {"sh", "bash", "shell", "console"}
HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)")
ASSIGNMENT = re.compile(r"\w+=")
CAPTURED = re.compile(r"^\w+=\$\((.*)\)$")
ENDS_COMMAND = {"|", "||", "&&", ";", "&"}

OWN_COMMANDS = {"ledgerlift", "ledgerlift-server"}
# What a reader may be expected to have, or is told to install.
KNOWN_COMMANDS = {
    *("base64", "bash", "cat", "cd", "cp", "curl", "docker", "echo", "export", "git", "grep", "head", "jq", "kill"),
    *("kubectl", "ls", "mkdir", "pip", "python", "python3", "sed", "sha256sum", "sleep", "source", "tail", "trap"),
    *("wait", "grpcurl", "grpc_health_probe", "toxiproxy-server", "versitygw", "kustomize", "pg_dump", "pg_restore"),
    "psql",
    *("set", ".", "tee"),
}
OWN_FOLDERS = ("scripts", "demo", "docs", "deploy", "protos", "tests", "benchmarks", ".ci")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, whether it is marked `run`, its text, and the line it begins at."""

    language: str
    run: bool
    text: str
    line: int
    by: str = ""
    """The test that runs it, where the block names one."""


def blocks(page: str) -> list[Block]:
    """The fenced code blocks of `page` that name a language."""
    return [
        Block(
            language=found.group(1),
            run="run" in found.group(2).split(),
            text=found.group(3),
            line=page.count("\n", 0, found.start()) + 1,
            by=next((word for word in found.group(2).split() if word.startswith("tests/")), ""),
        )
        for found in BLOCK.finditer(page)
    ]


def links(page: str) -> set[str]:
    """The files of the repository that `page` links to."""
    return set(LINK.findall(BLOCK.sub("", page)))


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a shell block, as words; without prompts, answers, comments and here-documents."""
    lines = iter(block.text.replace("\\\n", " ").replace(" 2>&1", "").splitlines())
    for line in lines:
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        if heredoc := HEREDOC.search(line):
            for inside in lines:
                if inside.strip() == heredoc.group(1):
                    break
            line = line[: heredoc.start()]
        line = CAPTURED.sub(r"\1", line)
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        for word in lexer:
            if word in ENDS_COMMAND:
                yield from [words] if words else []
                words = []
            elif words or not ASSIGNMENT.match(word):
                words.append(word)
        if words:
            yield words


def problems(block: Block, root: Path) -> Iterator[str]:
    """What is wrong with a shell block without running it: unknown commands, and files that are not there."""
    for first, *rest in commands(block):
        if first.startswith(("./", ".ci/")):
            path = root / first
            if not (path.is_file() and path.stat().st_mode & 0o100):
                yield f"{first} is not an executable file"
        elif first not in KNOWN_COMMANDS | OWN_COMMANDS:
            yield f"{first} is not a command that readers have"
        for word in rest:
            if (
                word.partition("/")[0].removeprefix("./") in OWN_FOLDERS
                and "/" in word
                and not (root / word).exists()
            ):
                yield f"{word} does not exist"


def copied_checkout(folder: Path) -> Path:
    """A copy of the repository in `folder`, for blocks to run in, so that nothing they leave lands in the repository.

    With a `report.pdf` in it: the file that the page's examples take for the reader's own.
    """
    listed = run(tool("git"), "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "demo/documents/energy-report.pdf", folder / "report.pdf")
    return folder


def perform(block: Block, folder: Path, address: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the block as pasted, but for the address, with `more` in its environment; all that it wrote."""
    interpreter = [sys.executable] if block.language == "python" else ["bash", "-euo", "pipefail"]
    return subprocess.run(
        [*interpreter, "-c", block.text.replace(ADDRESS, address)],
        cwd=folder,
        env=environment(**{"LEDGERLIFT_TARGET": address, "PATH": f"{TOOLS}:{environment()['PATH']}"} | more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
