"""Shows LedgerLift at work, against a server of its own that leaves nothing behind.

Uploads a few documents and one large file; kills the client of the large one half-way, with SIGKILL; lets another
client go on from what the server kept; downloads everything and compares it with the originals, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from ledgerlift_client import Document, LedgerLiftClient, LedgerLiftError, Progress, UploadResult
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, ProgressColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

DOCUMENTS = Path(__file__).resolve().parents[1] / "demo" / "documents"
MIB = 1024 * 1024
SMALLEST_MIB = 64
START_SECONDS = 30
SETTLE_SECONDS = 10
STOP_SECONDS = 30
STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The server of the demo is to use its temporary folder, whatever the environment would have it use.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")

console = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):
    """The demo did not go as it has to; the text says why."""


@dataclass(frozen=True)
class Stored:
    """A file here, and the document that it became."""

    path: Path
    sha256: str
    document: Document


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo. 0: everything came back as it was."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("files", nargs="*", type=Path, help="documents to upload; those of demo/documents by default")
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="size of the large file (default 256)")
    parser.add_argument("--die-at", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("--request-id", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.die_at is not None:
        upload_and_die(options.target, options.files[0], options.request_id, options.die_at)
    files: list[Path] = options.files or sorted(DOCUMENTS.iterdir())
    for path in files:
        if not path.is_file():
            parser.error(f"{path} is not a file")
    if options.size < SMALLEST_MIB:
        parser.error(f"--size must be at least {SMALLEST_MIB}: half of it has to be more than a stored part")

    for number in STOPPED_BY:
        signal.signal(number, _stop)
    try:
        with temporary_folder(options.size * MIB) as folder:
            demonstrate(folder, files, options.size * MIB)
    except KeyboardInterrupt:
        console.show_cursor(True)  # a client that was killed under its bar has hidden it
        console.print("\nstopped; nothing is left behind")
        return 130
    except (DemoFailed, LedgerLiftError) as error:
        console.print(f"\n[red]the demo failed:[/red] {escape(str(error))}")
        return 1
    return 0


def demonstrate(folder: Path, files: Sequence[Path], size: int) -> None:
    """The demo itself, with a server that lives as long as this runs."""
    with running_server(folder) as target, LedgerLiftClient(target) as client:
        console.print(f"server: {target}, data in {folder}\n")

        console.print("[bold]1. Documents go up[/bold]")
        stored = [upload(client, path) for path in files]

        console.print(f"\n[bold]2. A file of {size // MIB} MiB goes up, and its client is killed half-way[/bold]")
        large = make_large_file(folder / "large.bin", size)
        request_id = str(uuid.uuid4())
        kill_half_way(target, large, request_id, size // 2)
        kept = durable_size(client, request_id)
        console.print(f"   the client is dead; {kept // MIB} MiB are durable on the server")

        console.print("\n[bold]3. Another client goes on with it[/bold]")
        stored.append(resume(client, large, request_id))

        console.print("\n[bold]4. Everything comes back, and is compared with the original[/bold]")
        compare(client, stored, folder / "downloads")

        show_documents(client)
        show_events(client)
    console.print("\n[green]every byte is what it was[/green]; server stopped, temporary files removed")


# --- Going up -------------------------------------------------------------------------------------------------------


def upload(client: LedgerLiftClient, path: Path) -> Stored:
    """Upload one file under a bar."""
    try:
        with bar(path.name, path.stat().st_size) as report:
            result = client.upload(path, progress=report)
    except LedgerLiftError as error:
        raise DemoFailed(f"{path}: {error}") from error
    return Stored(path, sha256_of(path), result.document)


def kill_half_way(target: str, path: Path, request_id: str, half: int) -> None:
    """Upload by a process of its own that dies without a word once it has handed over `half` bytes."""
    arguments = ["--target", target, "--request-id", request_id, "--die-at", str(half), str(path)]
    with started([sys.executable, __file__, *arguments]) as client:
        code = client.wait()
    if code != -signal.SIGKILL:
        raise DemoFailed(f"the client was to be killed, and ended by itself with code {code}")


def durable_size(client: LedgerLiftClient, request_id: str) -> int:
    """What the server keeps of an upload, once it has stored the last part that reached it whole."""
    size = before = 0
    give_up = time.monotonic() + SETTLE_SECONDS
    while (not size or size != before) and time.monotonic() < give_up:
        time.sleep(0.3)
        before, size = size, next(client.list_uploads(request_id=request_id)).persisted_size
    return size


def upload_and_die(target: str, path: Path, request_id: str, half: int) -> NoReturn:
    """The client that is killed: no clean-up, no goodbye, exactly as in a crash."""
    with LedgerLiftClient(target) as client, bar(path.name, path.stat().st_size) as report:

        def die_in_the_middle(progress: Progress) -> None:
            report(progress)
            if progress.position >= half:
                report.finish()
                os.kill(os.getpid(), signal.SIGKILL)

        client.upload(path, request_id=request_id, progress=die_in_the_middle)
    sys.exit("the upload ended before its client was killed")


def resume(client: LedgerLiftClient, path: Path, request_id: str) -> Stored:
    """Upload the same file under the same request id: only what the server does not have is sent."""
    started_at: list[int] = []
    with bar(path.name, path.stat().st_size) as report:

        def noted(progress: Progress) -> None:
            if progress.durable:
                started_at.append(progress.durable)
            report(progress)

        result: UploadResult = client.upload(path, request_id=request_id, progress=noted)
    if not started_at or started_at[0] >= result.document.size:
        raise DemoFailed("nothing was kept of the upload that was cut: it began anew")
    sent = result.document.size - started_at[0]
    console.print(f"   went on at {started_at[0] / MIB:.0f} MiB and sent the other {sent / MIB:.0f} MiB")
    return Stored(path, sha256_of(path), result.document)


def make_large_file(path: Path, size: int) -> Path:
    """A file of random bytes: nothing on the way can leave them out or guess them."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


# --- Coming back ----------------------------------------------------------------------------------------------------


def compare(client: LedgerLiftClient, stored: Sequence[Stored], folder: Path) -> None:
    """Download each document and hold it against the file that it was made of."""
    folder.mkdir()
    rows = []
    for number, item in enumerate(stored):
        copy = folder / f"{number}-{item.path.name}"
        client.download(item.document.document_id, copy)
        digest, size = sha256_of(copy), copy.stat().st_size
        same = digest == item.sha256 == item.document.sha256 and size == item.path.stat().st_size
        rows.append((item.path.name, f"{size:>13,}", digest, "match" if same else "DIFFERENT"))
        copy.unlink()
    print_table(("name", "        bytes", "sha256", ""), rows)
    if any(row[-1] != "match" for row in rows):
        raise DemoFailed("what came back is not what was sent")


def show_documents(client: LedgerLiftClient) -> None:
    """List what the server holds."""
    console.print("\n[bold]5. What the server has, newest first[/bold]")
    rows = [(item.document_id, item.filename, item.status.value, item.content_type) for item in client.list()]
    print_table(("document", "name", "status", "type"), rows)


def show_events(client: LedgerLiftClient) -> None:
    """List the audit trail."""
    console.print("\n[bold]6. The audit trail, oldest first[/bold]")
    rows = [
        (item.create_time.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC", item.type, item.document_id, item.actor)
        for item in client.events()
    ]
    print_table(("time", "event", "document", "by"), rows)


# --- What it takes --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def temporary_folder(size: int) -> Iterator[Path]:
    """A folder with room for the large file three times: here, on the server, and downloaded."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 3 * size + 64 * MIB:
        raise DemoFailed(
            f"{tempfile.gettempdir()} has {free // MIB} MiB free, {3 * size // MIB + 64} are needed: "
            "set TMPDIR to another folder, or give a smaller --size"
        )
    with tempfile.TemporaryDirectory(prefix="ledgerlift-demo-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """A server of its own, with its data in `folder`; the address it listens at."""
    log = folder / "server.log"
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"GRPC_ADDRESS": "127.0.0.1:0", "DATA_DIR": str(folder / "data"), "LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "ledgerlift_server", "serve"]
    with log.open("wb") as output, started(command, env=environment, cwd=folder, output=output) as server:
        try:
            yield _address(server, log)
        finally:
            # From here on a second Ctrl-C must not leave anything behind.
            for number in STOPPED_BY:
                signal.signal(number, signal.SIG_IGN)
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):  # then it is killed
                server.wait(STOP_SECONDS)


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone when this ends, into `output` or onto the terminal; Ctrl-C there does not reach it."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        with stops_held_back():
            running.append(
                subprocess.Popen(
                    command,
                    env=env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output and subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        yield running[0]
    finally:
        for process in running:
            process.kill()
            process.wait()


@contextlib.contextmanager
def stops_held_back() -> Iterator[None]:
    """A stop that comes meanwhile counts afterwards: a process that was just being started would be lost."""
    late: list[int] = []
    for number in STOPPED_BY:
        signal.signal(number, lambda number, _: late.append(number))
    try:
        yield
    finally:
        for number in STOPPED_BY:
            signal.signal(number, _stop)
    if late:
        raise KeyboardInterrupt


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the server's log names once it serves."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        ended = server.poll() is not None
        for line in log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "serving":
                    return str(entry["address"])
        if ended:
            break
        time.sleep(0.05)
    raise DemoFailed(f"the server did not start:\n{log.read_text(errors='replace')}")


class Report:
    """Draws one transfer's progress."""

    def __init__(self, bars: Bars, name: str, size: int) -> None:
        self._bars = bars
        self._task = bars.add_task(name, total=size)

    def __call__(self, progress: Progress) -> None:
        """Show where it stands."""
        self._bars.update(self._task, completed=progress.position)

    def finish(self) -> None:
        """Draw it as it stands, for good."""
        self._bars.stop()


@contextlib.contextmanager
def bar(name: str, size: int) -> Iterator[Report]:
    """A bar for one transfer of `size` bytes."""
    # No markup: a file may well be called `report [v2].pdf`.
    columns: list[ProgressColumn] = [TextColumn("   {task.description:<22}", markup=False), BarColumn(bar_width=30)]
    columns += [DownloadColumn(binary_units=True)]
    if size >= MIB:  # for less it says nothing
        columns += [TransferSpeedColumn()]
    with Bars(*columns, console=console) as bars:
        yield Report(bars, name, size)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need, for copying digests out of."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print("   " + "  ".join(cells).rstrip(), markup=False)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stop(signal_number: int, frame: FrameType | None) -> NoReturn:
    """End by the usual way out, so that everything is put away."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
