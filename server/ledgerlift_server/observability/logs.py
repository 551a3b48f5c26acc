"""Structured logs: an event's name and its fields, one entry a line, to stderr.

Code logs through the standard library, `logger.info("janitor_pass", extra={"removed": 3})`; structlog
renders it. What is bound to the request at hand (`bind`) stands in every entry made on its behalf, on
whatever thread or in whatever task. Never logged: payloads, file names, metadata, credentials.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

QUIET = ("asyncio", "grpc", "boto3", "botocore", "urllib3", "s3transfer", "alembic", "sqlalchemy", "opentelemetry")
"""Loggers of libraries whose chatter below WARNING helps nobody, and may hold URLs and parameters."""


def configure(level: str, style: Literal["json", "console"], stream: TextIO | None = None) -> None:
    """Route every logger of the process to `stream` (stderr), replacing what was configured before."""
    # Nothing here renders them, and to ask for the process took half of an entry's time (measured).
    logging.logProcesses = logging.logThreads = logging.logMultiprocessing = False
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(style, colors=stream.isatty()),
            ],
        )
    )
    handler.addFilter(_say_who_left)
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


def _say_who_left(record: logging.LogRecord) -> bool:
    """A client that leaves while its answer is on the way is an error with a traceback to grpc.aio, and none to us.

    Where a batch cannot even be begun, that is a defect, and its text another one.
    """
    error = record.exc_info[1] if record.name == "grpc._cython.cygrpc" and record.exc_info else None
    if type(error).__name__ != "ExecuteBatchError" or not str(error).startswith('Failed "execute_batch"'):
        return True
    record.msg, record.args, record.exc_info = "client_left_before_its_answer", None, None
    record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return logging.getLogger().isEnabledFor(logging.INFO)


def bind(**fields: Any) -> None:
    """Add `fields` to every entry made in this task from now on, and in tasks and threads that it starts."""
    structlog.contextvars.bind_contextvars(**fields)


def _renderers(style: Literal["json", "console"], *, colors: bool) -> list[Processor]:
    if style == "console":
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    # Tracebacks as text: structlog's structured ones hold local variables, and those hold payloads.
    return [structlog.processors.format_exc_info, _event_first, structlog.processors.JSONRenderer(default=str)]


def _event_first(_logger: Any, _name: str, entry: EventDict) -> EventDict:
    """Time, level and event lead the line, for whoever reads it raw."""
    first = {key: entry.pop(key) for key in ("timestamp", "level", "event") if key in entry}
    return {**first, **entry}
