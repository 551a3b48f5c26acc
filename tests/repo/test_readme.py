"""What README and the guides tell a reader to type works."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from ledgerlift_client.cli import exit_codes

from tests.repo.readme import OWN_COMMANDS, SHELL, Block, blocks, commands, copied_checkout, links, perform, problems
from tests.support.programs import run
from tests.support.server import StartServer
from tests.support.tools import ROOT, tool

RUN = [ROOT / "README.md", ROOT / "docs" / "client.md"]
"""The pages that have blocks which are run."""
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUN_BY = {"./scripts/demo": "tests/integration/test_demo.py", "./scripts/test": ".ci/run"}
"""Commands that are not run as they stand there, and who runs them. Of each campaign of `./scripts/faults` a small
one is among the tests."""
NOT_RUN = "not run by a test"
"""What stands above a block, or in the first lines of a page of which it is true throughout."""
EXAMPLE = """\
# A page

Look at [the licence](LICENSE), [a section](docs/none.md#part) and [a site](https://example.org/).

```sh run
# a comment
KEY=value ./scripts/test tests/unit && ledgerlift \\
    list | grep pdf
cat > demo.txt <<'END'
nothing | in here
END
```

```console
$ ./scripts/nonesuch
some answer
$ frobnicate demo/documents/nonesuch.pdf
```

```python
print("not run")
```
"""


def test_blocks_are_found() -> None:
    """Blocks come with their language, their place, and whether they are to be run."""
    found = [(block.language, block.run, block.line) for block in blocks(EXAMPLE)]
    assert found == [("sh", True, 5), ("console", False, 14), ("python", False, 20)]


def test_commands_are_taken_apart() -> None:
    """Assignments, continued lines, pipes, prompts, answers and here-documents are understood."""
    first, second, _ = blocks(EXAMPLE)
    assert list(commands(first)) == [
        ["./scripts/test", "tests/unit"],
        ["ledgerlift", "list"],
        ["grep", "pdf"],
        ["cat", ">", "demo.txt"],
    ]
    assert list(commands(second)) == [["./scripts/nonesuch"], ["frobnicate", "demo/documents/nonesuch.pdf"]]


def test_what_does_not_exist_is_named() -> None:
    """A missing script, a missing file and an unknown program are each reported."""
    first, second, _ = blocks(EXAMPLE)
    assert list(problems(first, ROOT)) == []
    assert list(problems(second, ROOT)) == [
        "./scripts/nonesuch is not an executable file",
        "frobnicate is not a command that readers have",
        "demo/documents/nonesuch.pdf does not exist",
    ]


def test_links_are_found() -> None:
    """Links into the repository are found, links to sites are not."""
    assert links(EXAMPLE) == {"LICENSE", "docs/none.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_refers_to_what_exists(page: Path) -> None:
    """Every link leads to a file, and every command and file of a shell block is there."""
    text = page.read_text()
    found = [f"link to {target}" for target in sorted(links(text)) if not (page.parent / target).exists()]
    for block in blocks(text):
        if block.language in SHELL:
            found += [f"line {block.line}: {problem}" for problem in problems(block, ROOT)]
    assert found == []


def _run_elsewhere(block: Block) -> bool:
    if block.by:
        return (ROOT / block.by).exists()
    first, *rest = next(commands(block))
    if first == "./scripts/faults":
        return f'"{rest[0]}"' in (ROOT / "tests" / "faults" / "__main__.py").read_text()
    return first in RUN_BY and (ROOT / RUN_BY[first]).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_run_or_says_that_it_is_not(page: Path) -> None:
    """A reader knows of each block of code whether anybody has seen it work."""
    text = page.read_text()
    lines = text.splitlines()
    throughout = NOT_RUN in " ".join(text.partition("\n## ")[0].lower().split())
    unsaid = []
    for block in blocks(text):
        if block.run or throughout or block.language not in {*SHELL, "python"}:
            continue
        above = "\n".join(lines[: block.line - 1]).rstrip().rpartition("\n\n")[2]
        if NOT_RUN not in " ".join(above.lower().split()) and not _run_elsewhere(block):
            unsaid.append(f"line {block.line}: {block.text}")
    assert unsaid == []


def _own_commands(page: Path) -> list[tuple[str, ...]]:
    """Each `ledgerlift ...` of the page up to its first option: a command and its sub-commands."""
    found = set()
    for block in blocks(page.read_text()):
        if block.language in SHELL:
            for first, *rest in commands(block):
                if first in OWN_COMMANDS:
                    found.add((first, *[word for word in rest[:1] if re.fullmatch(r"[a-z-]+", word)]))
    return sorted(found)


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_every_sub_command_exists(page: Path) -> None:
    """Each sub-command of ours that the page shows can say how it is used."""
    for words in _own_commands(page):
        asked = run(*words, "--help")
        assert asked.returncode == 0, f"{' '.join(words)}: {asked.stderr}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Where README's blocks run."""
    return copied_checkout(tmp_path / "checkout")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
async def test_the_marked_blocks_run(page: Path, checkout: Path, start_server: StartServer) -> None:
    """Every block that is marked `run` ends well, in the order of the page, against one running server."""
    marked = [block for block in blocks(await asyncio.to_thread(page.read_text)) if block.run]
    assert marked
    if any(word == "grpcurl" for block in marked if block.language in SHELL for word, *_ in commands(block)):
        tool("grpcurl")
    server = await start_server()
    for block in marked:
        done = await asyncio.to_thread(perform, block, checkout, server.address)
        assert done.returncode == 0, f"{page.name} line {block.line}:\n{block.text}\n{done.stdout}"


def test_every_command_and_every_exit_code_is_in_the_guide() -> None:
    """What the program has, the page about it tells; codes in the same words as the module that defines them."""
    page = (ROOT / "docs" / "client.md").read_text()
    listed = run("ledgerlift", "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    commands_there = {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "}
    assert len(commands_there) > 10
    assert {name for name in commands_there if f"ledgerlift {name}" not in page} == set()
    codes = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes
