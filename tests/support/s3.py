"""Real S3 servers of this test run's own: versitygw, which checks what it is sent, and moto, which does not.

`s3_server` and `moto_server` run for the whole session; every test takes buckets of its own from them. A test
that stops, kills or freezes its server starts one of its own: `own_s3_server`.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from ledgerlift_server.adapters.s3 import S3Options
from moto.server import ThreadedMotoServer

from tests.support.ports import lasting_port
from tests.support.tools import tool

START_TIMEOUT = 30.0
"""Seconds that a server gets to answer; a busy machine takes its time."""
ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"
REGION = "us-east-1"


class S3Endpoint(Protocol):
    """Somewhere to make buckets."""

    @property
    def endpoint(self) -> str:
        """URL."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate that signed itself, for 127.0.0.1."""

    public: Path
    private: Path


class S3Server:
    """One versitygw over a folder of its own, on a free port of the loopback address that it keeps."""

    def __init__(self, folder: Path, *, certificate: Certificate | None = None) -> None:
        """Not started. With a certificate it speaks https."""
        self._data = folder / "data"
        self._certificate = certificate
        self._log = folder / "server.log"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """URL, the same after a restart."""
        return self._url(self._port)

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """False as well when it has ended by itself."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Return when it answers."""
        self._data.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if self._port else 5):  # somebody may take a free port before the server does
            port = self._port or lasting_port()
            if self._started(port):
                self._port = port
                return
        raise AssertionError(f"versitygw did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again, on the same port."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Let it take connections (the kernel does) and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def bucket(self) -> str:
        """A new bucket, this test's own."""
        return make_bucket(self)

    def options(self, **changes: Any) -> S3Options:
        """For an `S3Store` on this server, with a new bucket unless one is named."""
        return store_options(self, **changes)

    def environment(self, **more: str) -> Mapping[str, str]:
        """What a server process has to be told, with a new bucket unless one is named."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_BUCKET": more.get("S3_BUCKET") or self.bucket(),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            **more,
        }

    def _url(self, port: int) -> str:
        return f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{port}"

    def _started(self, port: int) -> bool:
        listen = ["--port", f"127.0.0.1:{port}", "--health", "/health", "--keep-alive"]
        trusted: ssl.SSLContext | None = None
        if self._certificate is not None:
            listen += ["--cert", str(self._certificate.public), "--key", str(self._certificate.private)]
            trusted = ssl.create_default_context(cafile=self._certificate.public)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(tool("versitygw")), *listen, "posix", str(self._data)],
                env={"PATH": os.environ.get("PATH", os.defpath)}
                | {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        give_up_at = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < give_up_at:
            with (
                suppress(OSError),
                urllib.request.urlopen(f"{self._url(port)}/health", timeout=5, context=trusted) as answer,  # noqa: S310 -- ours
            ):
                return bool(answer.status == 200)
            time.sleep(0.02)
        self._end(signal.SIGKILL)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class MotoServer:
    """moto's S3 in a thread of this process. It takes any checksum and any credentials for right."""

    def __init__(self) -> None:
        """Not started."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    @property
    def endpoint(self) -> str:
        """URL."""
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    def start(self) -> None:
        """Return when it answers."""
        self._server.start()

    def stop(self) -> None:
        """End it."""
        self._server.stop()


def make_client(endpoint: str) -> Any:
    """A plain boto3 client, for what a test does past the store."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
    )


def make_bucket(server: S3Endpoint) -> str:
    """A new bucket."""
    name = f"test-{uuid.uuid4().hex}"
    client = make_client(server.endpoint)
    client.create_bucket(Bucket=name)
    client.close()
    return name


def store_options(server: S3Endpoint, **changes: Any) -> S3Options:
    """For an `S3Store` on this server, with a new bucket unless one is named."""
    bucket = changes.get("bucket") or make_bucket(server)
    return S3Options(**(credentials_at(server.endpoint) | changes | {"bucket": bucket}))


def credentials_at(endpoint: str) -> dict[str, Any]:
    """What `S3Options` need for whatever listens at `endpoint`; nobody is asked."""
    return {
        "bucket": "any-bucket",
        "endpoint": endpoint,
        "region": REGION,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """versitygw, for all tests that leave it running."""
    yield from _running(tmp_path_factory.mktemp("s3"))


@pytest.fixture
def own_s3_server(tmp_path: Path) -> Iterator[S3Server]:
    """versitygw, for one test that does not."""
    yield from _running(tmp_path / "s3")


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """One that is valid for an hour, and that nobody trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "LedgerLift's tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    files.public.write_bytes(made.public_bytes(Encoding.PEM))
    files.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@pytest.fixture
def https_s3_server(tmp_path: Path, certificate: Certificate) -> Iterator[S3Server]:
    """versitygw behind TLS."""
    yield from _running(tmp_path / "s3", certificate)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """moto's S3."""
    server = MotoServer()
    server.start()
    yield server
    server.stop()


def _running(folder: Path, certificate: Certificate | None = None) -> Iterator[S3Server]:
    folder.mkdir(exist_ok=True)
    server = S3Server(folder, certificate=certificate)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
