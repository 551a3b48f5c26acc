"""The commands. Exit code 0: done; 1: something outside is not as it has to be; 2: wrong settings or usage."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import NoReturn

from ledgerlift_server import __version__
from ledgerlift_server.first_process import heed_sigterm

heed_sigterm()  # before what takes seconds to import
try:
    from ledgerlift_server import core, doctor
    from ledgerlift_server.allocator import keep_message_memory
    from ledgerlift_server.errors import LedgerLiftError
    from ledgerlift_server.observability import logs
    from ledgerlift_server.serve import serve
    from ledgerlift_server.settings import InvalidSettings, Settings, load
except ModuleNotFoundError as missing:
    # This command is on the PATH of those, too, who installed the client alone.
    sys.exit(
        f"ledgerlift-server: the server needs the package `{missing.name}`, which is not installed; "
        "install it with: pip install 'ledgerlift[server]'"
    )

OK, FAILED, WRONG_SETTINGS = 0, 1, 2


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    command = parsed.command
    if command == "version":
        print(__version__)  # noqa: T201 - what the command is for
        return OK
    try:
        settings = load()
    except InvalidSettings as invalid:
        return _complain(str(invalid), WRONG_SETTINGS)
    if command == "check-config":
        print("\n".join(f"{name.upper()}={_shown(value)}" for name, value in settings))  # noqa: T201 - as above
        return OK
    if command == "doctor":
        return _examine(settings, parsed)
    logs.configure(settings.log_level, settings.log_format)
    try:
        match command:
            case "serve":
                keep_message_memory()
                asyncio.run(serve(settings))
            case "migrate":
                asyncio.run(_migrate(settings))
            case "janitor":
                asyncio.run(_clean_up_once(settings))
    except (core.CannotStart, LedgerLiftError) as refused:
        return _complain(str(refused), FAILED)
    except Exception:
        logging.getLogger(__name__).exception("command_failed", extra={"command": command})
        return FAILED
    return OK


async def _migrate(settings: Settings) -> None:
    with ExitStack() as stack:
        said = await core.migrated(core.make_database(settings, stack), settings)
    print(said)  # noqa: T201 - a deployment's log is to say so


async def _clean_up_once(settings: Settings) -> None:
    """One pass of the janitor, drift included; what it did goes to stdout."""
    async with core.built(settings) as parts:
        await core.start(parts, settings)
        report = await parts.janitor.run_once()
        holder = await parts.janitor.lease_holder() if report is None else None
        await parts.janitor.close()
    done: dict[str, object] = {"lease": "held by another replica"} if report is None else asdict(report)
    if holder is not None:
        done |= {"holder": holder[0], "until": holder[1].isoformat(timespec="seconds")}
    print(json.dumps(done))  # noqa: T201 - what the command is for


def _examine(settings: Settings, asked: argparse.Namespace) -> int:
    """Its table is all that it says: what the adapters log on the way stands in it, in better words."""
    logging.disable(logging.CRITICAL)
    todo = doctor.checks(settings, replicas=asked.replicas, limit=asked.timeout)
    findings = doctor.examine(todo, limit=asked.timeout)
    print(doctor.as_json(findings) if asked.json else doctor.as_table(findings))  # noqa: T201 - what it is for
    return FAILED if any(found.state is doctor.State.FAIL for found in findings) else OK


def _shown(value: object) -> str:
    """As the variable would hold it; a secret as stars."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _complain(sentence: str, code: int) -> int:
    print(f"ledgerlift-server: {sentence}", file=sys.stderr)  # noqa: T201 - for whoever started the command
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledgerlift-server", description="Documents over gRPC.")
    parser.add_argument("--version", action="version", version=__version__, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve until SIGTERM, SIGINT or SIGHUP; a second one ends it at once")
    commands.add_parser("migrate", help="bring the database to this version's schema, as far as its servers allow")
    janitor = commands.add_parser("janitor", help="clean up what crashes and expiry left behind")
    janitor.add_argument("--once", action="store_true", required=True, help="one pass, then exit")
    examination = commands.add_parser(
        "doctor",
        help="look at database, store, clocks, disk, memory, ports and certificates, and say what to do",
        description="Exit code 0: a server can work with these settings; 1: something failed; 2: wrong settings.",
    )
    examination.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    examination.add_argument("--replicas", type=_count, default=1, help="servers that share the database (1)")
    examination.add_argument("--timeout", type=_seconds, default=30.0, help="seconds for all of it (30)")
    commands.add_parser("check-config", help="show the settings, secrets masked, or say what is wrong with them")
    commands.add_parser("version", help="print the version")
    return parser


def _count(word: str) -> int:
    if (number := int(word)) < 1:
        raise ValueError
    return number


def _seconds(word: str) -> float:
    if not 0.0 < (number := float(word)) < math.inf:
        raise ValueError
    return number


def main() -> NoReturn:
    """`run`, and the end of the process with it: a thread that hangs in a driver must not hold the exit up."""
    code = run()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
