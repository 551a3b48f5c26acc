"""TLS as the environment or the command line asks for it: PEM files, looked into before there is a connection.

gRPC says of a file that it cannot use only that no handshaker could be made, once for each attempt to connect.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import grpc

from ledgerlift_client._options import SAID

_SYSTEM_BUNDLES = (  # where distributions keep them, for an OpenSSL that was built for another one
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_BEGIN = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What somebody asked for; each file implies TLS. None: nothing was said of it."""

    tls: bool | None = None
    ca: str | None = None
    """The authorities to trust, in place of the system's."""
    cert: str | None = None
    """What this client shows to a server that asks for a certificate."""
    key: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> TlsFiles:
        """From `LEDGERLIFT_TLS` (true or false), `LEDGERLIFT_CA`, `LEDGERLIFT_CERT` and `LEDGERLIFT_KEY`.

        ValueError names the variable.
        """
        found = {field.name: environ.get(variable(field.name), "").strip() or None for field in fields(cls)}
        said = found.pop("tls")
        if said is not None and said.lower() not in SAID:
            raise ValueError(f"{variable('tls')} must be true or false, not {said!r}")
        return cls(None if said is None else SAID[said.lower()], **found)


def variable(name: str) -> str:
    """The variable of the environment for a field."""
    return f"LEDGERLIFT_{name.upper()}"


def credentials_from(files: TlsFiles, called: Callable[[str], str] = variable) -> grpc.ChannelCredentials | None:
    """The credentials of a channel; None for one in the clear, where nothing asked for TLS.

    ValueError for files that cannot be used, by the names that `called` gives to the fields.
    """
    named = [name for name in ("ca", "cert", "key") if getattr(files, name) is not None]
    if not named and not files.tls:
        return None
    if files.tls is False:
        raise ValueError(f"{called(named[0])} is for TLS, and {variable('tls')} says that there shall be none")
    if (files.cert is None) != (files.key is None):
        one, other = ("cert", "key") if files.key is None else ("key", "cert")
        raise ValueError(f"{called(one)} needs {called(other)} as well")
    roots = _system_roots() if files.ca is None else _certificates(files.ca, called("ca"))
    if files.cert is None or files.key is None:
        return grpc.ssl_channel_credentials(roots)
    certificate = _certificates(files.cert, called("cert"))
    key = _read(files.key, called("key"))
    _fit(files.cert, files.key, called)
    return grpc.ssl_channel_credentials(roots, key, certificate)


def _certificates(file: str, name: str) -> bytes:
    content = _read(file, name)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
        raise ValueError(f"{name}: {file} holds no certificate in PEM") from wrong
    return content


def _fit(certificate: str, key: str, called: Callable[[str], str]) -> None:
    try:
        # A password is asked for on the terminal unless one is given: an encrypted key is refused instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as wrong:
        if getattr(wrong, "reason", "") == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{called('key')}: {key} is not the key of {called('cert')} {certificate}") from wrong
        raise ValueError(f"{called('key')}: {key} holds no private key in PEM without a password") from wrong


def _read(file: str, name: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as wrong:
        raise ValueError(f"{name}: {file} cannot be read: {wrong.strerror}") from wrong
    except ValueError as wrong:  # a name with a zero byte in it
        raise ValueError(f"{name}: {file!r} cannot be read: {wrong}") from wrong


def _system_roots() -> bytes | None:
    """What this system trusts (`SSL_CERT_FILE` included); None for the list that comes with gRPC.

    By itself gRPC prefers its own list, which knows nothing of the authority of a company.
    """
    for bundle in (ssl.get_default_verify_paths().cafile, *_SYSTEM_BUNDLES):
        with suppress(OSError):
            if bundle is not None and _BEGIN in (content := Path(bundle).read_bytes()):
                return content
    return None
