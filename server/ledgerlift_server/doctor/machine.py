"""What this process gets of the machine: file descriptors, the disk of the embedded stores, libraries."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from ledgerlift_server import __version__
from ledgerlift_server.adapters.digest import HashlibHashers, load_hashers
from ledgerlift_server.adapters.sql import DatabaseOptions, connections
from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.domain.upload_options import MIB
from ledgerlift_server.settings import Settings

OWN_FILES = 64
"""Descriptors of a server that does nothing: libraries, sockets that listen, its loop."""
LEAST_DISK = 1024 * MIB
"""Bytes below which the next upload may fill the disk."""


def look_at_versions() -> Iterable[Finding]:
    """What runs, and whether a digest survives a resume here (DESIGN section 4 rule 5)."""
    yield Finding("version", State.OK, f"ledgerlift {__version__}, Python {platform.python_version()}")
    if isinstance(load_hashers(), HashlibHashers):
        advice = "install OpenSSL's libcrypto 3: without it, resumed uploads are read back before they are published"
        yield Finding("SHA-256", State.WARN, "its state cannot be saved", advice)
    else:
        yield Finding("SHA-256", State.OK, "its state can be saved, so that a resumed upload is not read back")


def look_at_descriptors(settings: Settings, *, limit: int | None = None) -> Iterable[Finding]:
    """`limit` is the soft one; None: this process's. A connection takes one, to us and from us."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    options = DatabaseOptions(pool_size=settings.db_pool_size, max_overflow=settings.db_max_overflow)
    own = OWN_FILES + connections(settings.sqlalchemy_url, options)
    if settings.s3_bucket is not None:
        own += settings.s3_max_connections
    # Clients put many calls on one connection; those that move bytes have one each, as a rule.
    callers = settings.max_concurrent_uploads + settings.max_concurrent_downloads
    shown = "no limit" if soft == resource.RLIM_INFINITY else f"at most {soft}"
    figure = f"{shown}; {own} for itself, {callers} where each upload and download has a connection of its own"
    if soft == resource.RLIM_INFINITY or soft >= own + callers:
        yield Finding("file descriptors", State.OK, figure)
    else:
        state = State.FAIL if soft <= own else State.WARN
        advice = (
            f"raise it to {own + callers} (ulimit -n, LimitNOFILE=), or lower MAX_CONCURRENT_UPLOADS and _DOWNLOADS"
        )
        yield Finding("file descriptors", state, figure, advice)


def look_at_disk(settings: Settings) -> Iterable[Finding]:
    """Of DATA_DIR, where anything is kept in it."""
    if not settings.embedded_database and settings.s3_bucket is not None:
        yield Finding("disk", State.OK, "nothing is kept on it")
        return
    folder = _existing(settings.data_dir.absolute())
    yield from _look_at_writing(settings.data_dir, folder)
    usage = psutil.disk_usage(str(folder))
    figure = f"{usage.free // MIB} MiB free of {usage.total // MIB} MiB for DATA_DIR ({usage.percent:.0f} % in use)"
    if usage.free < LEAST_DISK:
        yield Finding("disk", State.FAIL, figure, "make room, or set DATA_DIR to another disk")
    elif usage.percent > settings.high_disk_percent:
        yield Finding("disk", State.WARN, figure, "make room: it is above HIGH_DISK_PERCENT")
    else:
        yield Finding("disk", State.OK, figure)
    files = os.statvfs(folder)
    if files.f_files and files.f_favail < files.f_files // 100:
        advice = "remove files, or make the file system with more inodes: each part is a file"
        yield Finding("inodes", State.WARN, f"{files.f_favail} free of {files.f_files}", advice)


def _look_at_writing(data_dir: Path, folder: Path) -> Iterator[Finding]:
    """A file without a name: what a crash leaves of it is nothing."""
    if not folder.is_dir():
        yield Finding("DATA_DIR", State.FAIL, f"{folder} is no folder", "set DATA_DIR to a folder")
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"LedgerLift")
            file.flush()
            os.fsync(file.fileno())
    except OSError as refused:
        advice = "let the user that runs the server write there, or set DATA_DIR to another folder"
        yield Finding("DATA_DIR", State.FAIL, f"{folder} cannot be written: {refused.strerror}", advice)
    else:
        made = "" if folder == data_dir.absolute() else f"; {data_dir} is made in it at start"
        yield Finding("DATA_DIR", State.OK, f"{folder} can be written and synced{made}")


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())
