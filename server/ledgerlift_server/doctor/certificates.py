"""The TLS files: readable, of one pair, and valid for a while yet, as a client of theirs finds out.

The times of a certificate are read from a handshake with ourselves, in memory: the standard library tells them of a
peer whose certificate it has verified, and of nobody else.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.tls import TlsFiles, UnusableCertificate, server_credentials

RENEWED_BEFORE = 14 * 86400.0
"""Seconds before its end at which a certificate is late to be renewed: issuers that automate it do so sooner."""
RENEWED_SHARE = 0.2
"""Of its lifetime, for those that live for hours only."""
_EXPIRED, _NOT_YET_VALID = 10, 9
"""X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID."""


def look_at_tls(files: TlsFiles | None) -> Iterable[Finding]:
    """None: plaintext."""
    if files is None:
        yield Finding("TLS", State.OK, "not used: calls come in plaintext")
        return
    try:
        server_credentials(files)
        served = _handshake(files)
    except UnusableCertificate as refused:
        yield Finding("TLS files", State.FAIL, str(refused), "put a PEM certificate with its chain and its key there")
        return
    except ssl.SSLCertVerificationError as refused:
        yield _invalid(refused)
        return
    except ssl.SSLError as refused:
        advice = "make a certificate that clients of today take: they refuse small keys and SHA-1"
        yield Finding("TLS files", State.FAIL, f"no handshake works with them: {refused.reason}", advice)
        return
    yield _names(f"{files.certificate} and its key make a handshake", served)
    yield _expiry("TLS certificate", served, "GRPC_TLS_CERT: a running server takes a new one by itself")
    if files.client_ca is not None:
        for authority in _authorities(files):
            yield _expiry("TLS client CA", authority, "GRPC_TLS_CLIENT_CA")


def _handshake(files: TlsFiles) -> Mapping[str, Any]:
    """The certificate as a client sees it. Raises ssl.SSLError."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(files.certificate, files.key, password="")
    ours = ssl.create_default_context(cafile=str(files.certificate))
    # Who signed it is the clients' matter: what is served is trusted here for itself.
    ours.check_hostname = False
    ours.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_them, to_us = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = theirs.wrap_bio(to_them, to_us, server_side=True)
    client = ours.wrap_bio(to_us, to_them)
    for _ in range(10):  # a handshake takes two or three rounds
        if _shake(client) & _shake(server):
            break
    return client.getpeercert() or {}


def _shake(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _authorities(files: TlsFiles) -> Iterable[Mapping[str, Any]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(files.client_ca)
    return context.get_ca_certs()


def _invalid(refused: ssl.SSLCertVerificationError) -> Finding:
    if refused.verify_code == _EXPIRED:
        return Finding("TLS certificate", State.FAIL, "it has expired", "renew what GRPC_TLS_CERT names")
    if refused.verify_code == _NOT_YET_VALID:
        advice = "set the clock, or wait until it is valid"
        return Finding("TLS certificate", State.FAIL, "it is not valid yet", advice)
    advice = "make a certificate that clients of today take"
    return Finding("TLS certificate", State.FAIL, f"clients refuse it: {refused.verify_message}", advice)


def _expiry(what: str, certificate: Mapping[str, Any], where: str) -> Finding:
    begin, end = (ssl.cert_time_to_seconds(certificate[name]) for name in ("notBefore", "notAfter"))
    left = end - time.time()
    figure = f"valid until {certificate['notAfter']}, {_duration(left)} from now"
    if left <= 0:
        return Finding(what, State.FAIL, f"it has expired: {certificate['notAfter']}", f"renew what is in {where}")
    if left < min(RENEWED_BEFORE, RENEWED_SHARE * (end - begin)):
        return Finding(what, State.WARN, figure, f"renew what is in {where}")
    return Finding(what, State.OK, figure)


def _names(figure: str, certificate: Mapping[str, Any]) -> Finding:
    names = [name for _, name in certificate.get("subjectAltName", ())]
    if not names:
        advice = "make a certificate with the names that clients connect to (subjectAltName): they refuse one without"
        return Finding("TLS files", State.WARN, f"{figure}, for no name", advice)
    return Finding("TLS files", State.OK, f"{figure}, for {', '.join(names[:5])}")


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    return f"{days} days" if days else f"{rest // 3600} h {rest % 3600 // 60} min"
