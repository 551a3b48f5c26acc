"""What `upload` is to store: which files, under which names and keys. Looks at folders, reads no file."""

from __future__ import annotations

import errno
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

STDIN = "-"
_FILES_OF_ONE_RUN = uuid.UUID("5f0c1f55-2f0e-5d0c-8a5e-6f2f5f9d7a10")
"""Namespace of the request ids that are derived; any other would do, but a changed one finds no upload again."""


@dataclass(frozen=True)
class Item:
    """One document to be: the path it is read from (`-` is stdin), its key, and its request id."""

    path: str
    key: str
    request_id: str


@dataclass(frozen=True)
class Plan:
    """What to upload, what to report instead, and what to mention."""

    items: Sequence[Item]
    failures: Sequence[OSError]
    notes: Sequence[str]


def make_plan(files: Sequence[str], *, recursive: bool, key_prefix: str | None, keys: bool, request_id: str) -> Plan:
    """The plan for what was typed.

    A file of a folder has a key: its path from the folder's own name on, behind `key_prefix`. A file that was
    named itself has one only where there is a `key_prefix`: that and its name.

    Of several files each has a request id of its own, derived from `request_id` and its path, so that the same
    command with the same `request_id` goes on with each of them.
    """
    found: list[tuple[str, str]] = []
    failures: list[OSError] = []
    notes: list[str] = []
    for file in files:
        if recursive and file != STDIN and os.path.isdir(file):
            name = "" if PurePath(file).name in ("", "..") else PurePath(file).name
            for path in _walk(file, failures, notes):
                inside = PurePath(name, PurePath(path).relative_to(file)).as_posix()
                found.append((path, f"{key_prefix or ''}{inside}"))
        else:
            found.append((file, f"{key_prefix}{PurePath(file).name}" if key_prefix and file != STDIN else ""))
    single = len(files) == 1 and [path for path, _ in found] == list(files)
    seen: Counter[str] = Counter()
    items = []
    for path, key in found:
        seen[path] += 1
        if not _is_unicode(path):
            failures.append(OSError(errno.EILSEQ, "its name is not UTF-8, as a document's has to be", path))
            continue
        derived = uuid.uuid5(_FILES_OF_ONE_RUN, f"{request_id}\0{path}\0{seen[path]}")
        items.append(Item(path, key if keys else "", request_id if single else str(derived)))
    return Plan(items, failures, notes)


def _walk(folder: str, failures: list[OSError], notes: list[str]) -> Iterator[str]:
    """The regular files below `folder`, in the order of their names.

    Links to files are files; links to folders are left out, because they may lead round in circles.
    """
    count = 0
    for root, folders, names in os.walk(folder, onerror=failures.append):
        folders.sort()
        notes += [
            f"{path}: left out, a link to a folder" for name in folders if os.path.islink(path := f"{root}/{name}")
        ]
        for name in sorted(names):
            path = os.path.join(root, name)
            if os.path.isfile(path):
                count += 1
                yield path
            elif os.path.lexists(path) and not os.path.exists(path):
                failures.append(FileNotFoundError(errno.ENOENT, "is a link to what is not there", path))
            else:
                notes.append(f"{path}: left out, neither a file nor a folder")
    if not count:
        notes.append(f"{folder}: no files in it")


def _is_unicode(path: str) -> bool:
    try:
        Path(path).name.encode()
    except UnicodeEncodeError:
        return False
    return True
