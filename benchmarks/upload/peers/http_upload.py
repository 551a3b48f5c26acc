"""The service of `http_app.py` under uvicorn, one process, as LedgerLift is one."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from benchmarks.upload.peers.versitygw import S3Target
from benchmarks.upload.processes import ROOT, Unavailable, free_port, fresh, running

VENV = ROOT / ".tools" / "http-venv"


@asynccontextmanager
async def http_upload(place: Path, target: S3Target, database_url: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Its URL and process. The table `stored` is there already."""
    program = VENV / "bin" / "uvicorn"
    if not program.exists():
        raise Unavailable("the HTTP upload is not installed: run ./benchmarks/upload/peers/install-http")
    port = free_port()
    env = {
        "S3_ENDPOINT": target.endpoint,
        "S3_BUCKET": target.bucket,
        "AWS_ACCESS_KEY_ID": target.access_key,
        "AWS_SECRET_ACCESS_KEY": target.secret_key,
        "AWS_DEFAULT_REGION": target.region,
        "DATABASE_URL": database_url,
    }
    here = Path(__file__).parent
    command = [
        program,
        "http_app:app",
        "--app-dir",
        here,
        "--port",
        port,
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    async with running(command, port=port, log=fresh(place) / "uvicorn.log", env=env) as process:
        yield f"http://127.0.0.1:{port}", process


def version() -> str:
    """Of what it is made of."""
    shown = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in "
    shown += "('fastapi', 'uvicorn', 'python-multipart', 'boto3')), sep=', ')"
    if not VENV.exists():
        return "not installed"
    done = subprocess.run([VENV / "bin" / "python", "-c", shown], capture_output=True, text=True)
    return done.stdout.strip() or "not installed"
