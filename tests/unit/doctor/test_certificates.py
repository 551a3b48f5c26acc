"""What the doctor says of the TLS files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ledgerlift_server.doctor import Finding, State
from ledgerlift_server.doctor.certificates import look_at_tls
from ledgerlift_server.tls import TlsFiles

from tests.support.certificates import Authority, Pair, with_password

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs them all."""
    return Authority("LedgerLift's tests")


def look(pair: Pair, folder: Path) -> list[Finding]:
    """At this pair, written there."""
    return list(look_at_tls(TlsFiles(*pair.write(folder))))


def test_plaintext_is_said() -> None:
    """Nothing is to be looked at."""
    (found,) = look_at_tls(None)
    assert (found.state, found.figure) == (State.OK, "not used: calls come in plaintext")


def test_a_pair_that_goes_together_makes_a_handshake(authority: Authority, tmp_path: Path) -> None:
    """For which names, and until when."""
    files, certificate = look(authority.pair("server"), tmp_path)
    assert (files.state, certificate.state) == (State.OK, State.OK)
    assert "for 127.0.0.1" in files.figure
    assert "min from now" in certificate.figure


def test_a_key_of_another_certificate_is_said(authority: Authority, tmp_path: Path) -> None:
    """Both files are named, and nothing of what is in them."""
    mixed = Pair(authority.pair("server").certificate, authority.pair("other").key)
    (found,) = look(mixed, tmp_path)
    assert found.state is State.FAIL
    assert "tls.crt" in found.figure
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize("spoilt", ["missing", "encrypted", "empty"])
def test_files_that_cannot_be_used_are_said(authority: Authority, tmp_path: Path, spoilt: str) -> None:
    """Nobody is asked for a password, and nothing is waited for."""
    pair = authority.pair("server")
    certificate, key = pair.write(tmp_path)
    if spoilt == "missing":
        key.unlink()
    else:
        key.write_bytes(with_password(pair.key) if spoilt == "encrypted" else b"")
    (found,) = look_at_tls(TlsFiles(certificate, key))
    assert found.state is State.FAIL
    assert str(key) in found.figure


@pytest.mark.parametrize(
    ("begun", "left", "state", "said"),
    [
        (-HOUR, HOUR, State.OK, "valid until"),
        (-9 * HOUR, HOUR, State.WARN, "valid until"),
        (-10 * DAY, 80 * DAY, State.OK, "79 days from now"),
        (-350 * DAY, 13 * DAY, State.WARN, "12 days from now"),
        (-2 * DAY, -HOUR, State.FAIL, "it has expired"),
        (HOUR, 2 * HOUR, State.FAIL, "it is not valid yet"),
    ],
)
def test_a_certificate_that_is_late_to_be_renewed_is_told_before_it_ends(
    authority: Authority, tmp_path: Path, begun: timedelta, left: timedelta, state: State, said: str
) -> None:
    """Two weeks before, or a fifth of a short life; what has expired, or is not valid yet, fails."""
    now = datetime.now(UTC)
    *_, certificate = look(authority.pair("server", begin=now + begun, end=now + left), tmp_path)
    assert (certificate.what, certificate.state) == ("TLS certificate", state)
    assert said in certificate.figure


def test_a_certificate_without_a_name_is_told(authority: Authority, tmp_path: Path) -> None:
    """Clients refuse it, whatever its common name."""
    files, _ = look(authority.pair("server", named=False), tmp_path)
    assert (files.state, "subjectAltName" in files.advice) == (State.WARN, True)


def test_the_clients_authority_is_looked_at_as_well(authority: Authority, tmp_path: Path) -> None:
    """When it ends, no client gets in."""
    (bundle := tmp_path / "ca.crt").write_bytes(authority.certificate)
    pair = authority.pair("server").write(tmp_path)
    *_, found = look_at_tls(TlsFiles(*pair, client_ca=bundle))
    assert (found.what, found.state) == ("TLS client CA", State.OK)
