"""TLS on the server's port: real handshakes, who gets a connection, and certificates that are renewed meanwhile."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift_client import AsyncLedgerLiftClient, LedgerLiftClient, errors
from ledgerlift_client._tls import TlsFiles, credentials_from
from ledgerlift_server.core import CannotStart

from tests.support.certificates import Authority, Pair, with_password
from tests.support.server import in_process_server

TRUSTED, UNKNOWN = Authority("trusted"), Authority("unknown")
SERVING = health_pb2.HealthCheckResponse.SERVING


async def check(address: str, *, roots: bytes | None, client: Pair | None = None) -> int:
    """Ask for health on a connection of its own; `roots` None: in plaintext. Raises AioRpcError."""
    channel = grpc.aio.insecure_channel(address)
    if roots is not None:
        pair = (None, None) if client is None else (client.key, client.certificate)
        # Otherwise the channels of one process share a connection, and with it its handshake.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots, *pair), options=alone)
    async with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        status: int = answer.status
        return status


def tls_settings(files: tuple[Path, Path], client_ca: Path | None = None) -> dict[str, Any]:
    """By the names of the settings."""
    return {"grpc_tls_cert": files[0], "grpc_tls_key": files[1], "grpc_tls_client_ca": client_ca}


async def test_who_trusts_the_certificate_gets_a_connection_and_nobody_else(tmp_path: Path) -> None:
    """With TLS set, a client with the right authority is served; a wrong authority and plaintext are not."""
    files = TRUSTED.pair("server").write(tmp_path / "tls")
    async with in_process_server(tmp_path, **tls_settings(files)) as server:
        assert await check(server.address, roots=TRUSTED.certificate) == SERVING
        for roots in (UNKNOWN.certificate, None):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await check(server.address, roots=roots)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_with_a_client_authority_a_certificate_is_asked_for(tmp_path: Path) -> None:
    """A client without a certificate, or with one that somebody else signed, gets no connection."""
    files = TRUSTED.pair("server").write(tmp_path / "tls")
    (client_ca := tmp_path / "clients.pem").write_bytes(TRUSTED.certificate)
    async with in_process_server(tmp_path, **tls_settings(files, client_ca)) as server:
        client = TRUSTED.pair("client")
        assert await check(server.address, roots=TRUSTED.certificate, client=client) == SERVING
        for other in (None, UNKNOWN.pair("client")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await check(server.address, roots=TRUSTED.certificate, client=other)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_counts_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """New connections get what the files hold now; what cannot be used leaves the last one in force, and is told."""
    files = TRUSTED.pair("server").write(tmp_path / "tls")
    async with in_process_server(tmp_path, **tls_settings(files)) as server:
        assert await check(server.address, roots=TRUSTED.certificate) == SERVING
        UNKNOWN.pair("server").write(tmp_path / "tls")
        assert await check(server.address, roots=UNKNOWN.certificate) == SERVING
        with pytest.raises(grpc.aio.AioRpcError):
            await check(server.address, roots=TRUSTED.certificate)
        with caplog.at_level(logging.ERROR):
            files[1].write_bytes(TRUSTED.pair("another's").key)
            for _ in range(2):
                assert await check(server.address, roots=UNKNOWN.certificate) == SERVING
        assert [record.message for record in caplog.records] == ["certificate_refused"]
        files[1].unlink()
        assert await check(server.address, roots=UNKNOWN.certificate) == SERVING


async def test_both_clients_find_their_files_by_the_environment(tmp_path: Path) -> None:
    """Mutual TLS by `from_env`, where given credentials come first; an untrusted server is TlsFailed, at once."""
    files = TRUSTED.pair("server").write(tmp_path / "tls")
    (authority := tmp_path / "authority.pem").write_bytes(TRUSTED.certificate)
    (unknown := tmp_path / "unknown.pem").write_bytes(UNKNOWN.certificate)
    certificate, key = TRUSTED.pair("client").write(tmp_path / "client")
    async with in_process_server(tmp_path, **tls_settings(files, authority)) as server:
        environ = {
            "LEDGERLIFT_TARGET": server.address,
            "LEDGERLIFT_CA": str(authority),
            "LEDGERLIFT_CERT": str(certificate),
            "LEDGERLIFT_KEY": str(key),
        }
        stranger = environ | {"LEDGERLIFT_CA": str(unknown)}
        given = credentials_from(TlsFiles.from_env(environ))

        def blocking(environ: dict[str, str], credentials: grpc.ChannelCredentials | None = None) -> int:
            with LedgerLiftClient.from_env(environ, credentials=credentials) as client:
                return client.limits().max_message_size

        async def on_loop(environ: dict[str, str], credentials: grpc.ChannelCredentials | None = None) -> int:
            async with AsyncLedgerLiftClient.from_env(environ, credentials=credentials) as client:
                return (await client.limits()).max_message_size

        assert await asyncio.to_thread(blocking, environ) == await on_loop(environ) > 0
        assert await asyncio.to_thread(blocking, stranger, given) == await on_loop(stranger, given) > 0
        with pytest.raises(errors.TlsFailed, match="not trusted") as refused:
            await asyncio.to_thread(blocking, stranger)
        assert refused.value.attempts == 1
        with pytest.raises(errors.TlsFailed, match="not trusted"):
            await on_loop(stranger)


@pytest.mark.parametrize("wrong", ["missing", "no PEM", "another's key", "a password", "authority"])
async def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, wrong: str) -> None:
    """The server does not start, and names the file; there is no plaintext in its place."""
    files = TRUSTED.pair("server").write(tmp_path / "tls")
    client_ca = None
    match wrong:
        case "missing":
            files[1].unlink()
        case "no PEM":
            files[0].write_text("not a certificate")
        case "another's key":
            files[1].write_bytes(TRUSTED.pair("another").key)
        case "a password":
            files[1].write_bytes(with_password(files[1].read_bytes()))
        case "authority":
            (client_ca := tmp_path / "tls" / "clients.pem").write_text("none")
    with pytest.raises(CannotStart, match="clients.pem" if client_ca else r"tls\.(key|crt)"):
        async with in_process_server(tmp_path, **tls_settings(files, client_ca)):
            pass
