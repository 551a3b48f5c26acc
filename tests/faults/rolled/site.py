"""The production example, filled in: PostgreSQL, an S3 server, mutual TLS, and one name for two replicas."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.faults.rolled.replica import Replica, environment_of
from tests.repo.env_files import settings_of
from tests.support.certificates import Authority
from tests.support.migrations import add_migration, everything_expanded
from tests.support.name_server import NameServer
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.stores import MIB, Stores, shared
from tests.support.tools import ROOT

NAME = "ledgerlift.test"
ADDRESSES = ("127.0.0.2", "127.0.0.3")
PART_SIZE = 8 * MIB
"""Of production: the default."""
ROLE, PASSWORD = "app", "Kx83hd0aPq"


@dataclass(frozen=True, slots=True)
class Site:
    """`target` is what clients are given. `stores` are for looking past the replicas."""

    replicas: tuple[Replica, ...]
    target: str
    credentials: grpc.ChannelCredentials
    stores: Stores
    environment: Mapping[str, str]
    folder: Path

    @classmethod
    @contextmanager
    def running(cls, folder: Path, **changes: str) -> Iterator[Site]:
        """With an empty database and no replica. `changes` are settings that are to be other than the example's."""
        with ExitStack() as stack:
            postgres = stack.enter_context(PostgresServer.temporary())
            (folder / "s3").mkdir()
            s3 = S3Server(folder / "s3")
            s3.start()
            stack.callback(s3.kill)
            postgres.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
            database = postgres.create_database()
            postgres.execute(f"ALTER DATABASE {database} OWNER TO {ROLE}")
            url = f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{postgres.port}/{database}"
            given = s3.environment()
            authority = Authority("rolled")
            environment = _production(folder / "secrets", url, given, authority) | changes
            client = authority.pair("client")
            credentials = grpc.ssl_channel_credentials(authority.certificate, client.key, client.certificate)
            port = _free_port()
            replicas = tuple(
                Replica(f"{address}:{port}", environment, credentials, folder / f"{address}.log")
                for address in ADDRESSES
            )
            for replica in replicas:
                stack.callback(replica.kill)
            names = stack.enter_context(NameServer.running(NAME, ADDRESSES))
            stores = shared(folder, url, given, part_size=PART_SIZE)
            yield cls(replicas, names.target(port), credentials, stores, environment, folder)

    def migrate(self, tree: Path | None) -> str:
        """With the code in `tree`; what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "ledgerlift_server", "migrate"],
            env=environment_of(self.environment, tree),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def next_version(self) -> Path:
        """This tree's server with one migration more, which adds something to every table."""
        tree = self.folder / "next"
        package = "server/ledgerlift_server"
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
        add_migration(tree / package / "adapters/sql/migrations", everything_expanded())
        return tree

    def version_at(self, commit: str) -> Path:
        """The code of an earlier commit."""
        tree = self.folder / "before"
        tree.mkdir()
        archive = ["git", "-C", str(ROOT), "archive", commit, "server", "generated", "client"]
        packed = subprocess.run(archive, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(tree)], input=packed, check=True)
        return tree


def _production(folder: Path, database_url: str, s3: Mapping[str, str], authority: Authority) -> dict[str, str]:
    """.env.prod.example, with secrets in files. Only the addresses are of this machine."""
    server = authority.pair("server", hosts=[NAME, *ADDRESSES])
    secrets = {
        "database_url": database_url,
        "aws_access_key_id": s3["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": s3["AWS_SECRET_ACCESS_KEY"],
        "tls.crt": server.certificate.decode(),
        "tls.key": server.key.decode(),
        "ca.crt": authority.certificate.decode(),
    }
    folder.mkdir()
    for name, content in secrets.items():
        (folder / name).write_text(content)
    example = {
        name: value.replace("/run/secrets/", f"{folder}/")
        for name, value in settings_of(ROOT / ".env.prod.example").items()
    }
    return {
        **example,
        "PATH": os.environ.get("PATH", ""),
        "S3_BUCKET": s3["S3_BUCKET"],
        "S3_ENDPOINT": s3["S3_ENDPOINT"],
        "S3_SSE": "",  # versitygw has none
        "GRPC_TLS_CLIENT_CA": f"{folder}/ca.crt",
        "METRICS_ADDRESS": "127.0.0.1:0",
    }


def _free_port() -> int:
    """That nobody uses on any of the addresses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in ADDRESSES]
        sockets[0].bind((ADDRESSES[0], 0))
        port = int(sockets[0].getsockname()[1])
        for address, other in zip(ADDRESSES[1:], sockets[1:], strict=True):
            other.bind((address, port))
        return port
