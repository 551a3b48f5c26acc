"""The server's side of TLS: files that are read again when they change. A renewed certificate needs no restart.

gRPC asks for the certificate at every handshake, on a thread of its own. Connections that are up keep theirs.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

logger = logging.getLogger(__name__)


class UnusableCertificate(Exception):
    """The files cannot be used. The message says which and why, and nothing of what is in them."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca`, only clients with a certificate that it signed are let in."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """For a port that speaks TLS and nothing else. Raises UnusableCertificate."""
    source = _Certificates(files)
    return grpc.dynamic_ssl_server_credentials(
        source.configuration,
        source.changed,  # type: ignore[arg-type] # types-grpcio does not know that None is "go on with the last one"
        require_client_authentication=files.client_ca is not None,
    )


class _Certificates:
    """What the files held when they last went together."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._held = _read(files)
        self._refused: tuple[bytes, ...] | None = None

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        certificate, key, *client_ca = self._held
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca[0] if client_ca else None)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """None: go on with the last one. What cannot be used is told once, and costs no handshake."""
        try:
            held = _contents(self._files)
            if held in (self._held, self._refused):
                return None
            self._refused = held
            self._held = _read(self._files)
        except UnusableCertificate as refused:
            logger.error("certificate_refused", extra={"cause": str(refused)})
            return None
        logger.info("certificate_renewed")
        return self.configuration


def _read(files: TlsFiles) -> tuple[bytes, ...]:
    """Contents that go together, and that nobody replaced meanwhile."""
    held = _contents(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A password is asked for on the terminal unless one is given: an encrypted key is refused instead.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
        raise UnusableCertificate(
            f"{files.certificate} and {files.key} are not a certificate in PEM and its key, without a password"
        ) from wrong
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as wrong:
            raise UnusableCertificate(f"{files.client_ca} holds no certificate in PEM") from wrong
    if _contents(files) != held:
        raise UnusableCertificate(f"{files.certificate} or {files.key} is being replaced")
    return held


def _contents(files: TlsFiles) -> tuple[bytes, ...]:
    try:
        return tuple(
            path.read_bytes() for path in (files.certificate, files.key, files.client_ca) if path is not None
        )
    except OSError as unreadable:
        raise UnusableCertificate(f"{unreadable.filename} cannot be read: {unreadable.strerror}") from unreadable
