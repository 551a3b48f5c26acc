"""TLS as the environment asks for it: what is taken together, and what cannot be used is named."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from ledgerlift_client import AsyncLedgerLiftClient, LedgerLiftClient
from ledgerlift_client._tls import TlsFiles, credentials_from

from tests.support.certificates import Authority, with_password

TRUSTED = Authority("trusted")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with files for a client and such that are wrong."""
    pair = TRUSTED.pair("client")
    pair.write(tmp_path)
    for name, content in {
        "ca.pem": "# Größe\n".encode() + TRUSTED.certificate,  # what is around PEM may be any text
        "nothing.pem": b"nothing",
        "torn.pem": TRUSTED.certificate[:200],
        "other.key": TRUSTED.pair("other").key,
        "locked.key": with_password(pair.key),
    }.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(**files: str) -> dict[str, str]:
    """An environment."""
    return {f"LEDGERLIFT_{name.upper()}": value for name, value in files.items()}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("environ", "encrypted"),
    [
        ({}, False),
        (asked(tls=" "), False),
        (asked(tls="false"), False),
        (asked(tls="Yes"), True),
        (asked(ca="ca.pem"), True),
        (asked(cert="tls.crt", key="tls.key"), True),
        (asked(tls="1", ca="ca.pem", cert="tls.crt", key="tls.key"), True),
    ],
)
def test_each_of_the_files_asks_for_tls(environ: dict[str, str], encrypted: bool) -> None:
    """Nobody who named one gets plaintext."""
    assert (credentials_from(TlsFiles.from_env(environ)) is not None) is encrypted


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (asked(tls="perhaps"), "LEDGERLIFT_TLS must be true or false, not 'perhaps'"),
        (asked(tls="no", ca="ca.pem"), "LEDGERLIFT_CA is for TLS, and LEDGERLIFT_TLS says that there shall be none"),
        (asked(cert="tls.crt"), "LEDGERLIFT_CERT needs LEDGERLIFT_KEY as well"),
        (asked(key="tls.key"), "LEDGERLIFT_KEY needs LEDGERLIFT_CERT as well"),
        (asked(ca="none.pem"), "LEDGERLIFT_CA: none.pem cannot be read: No such file or directory"),
        (asked(ca="."), "LEDGERLIFT_CA: . cannot be read: Is a directory"),
        (asked(ca="a\0b"), "LEDGERLIFT_CA: 'a\\x00b' cannot be read"),
        (asked(ca="nothing.pem"), "LEDGERLIFT_CA: nothing.pem holds no certificate in PEM"),
        (asked(ca="torn.pem"), "LEDGERLIFT_CA: torn.pem holds no certificate in PEM"),
        (asked(ca="tls.key"), "LEDGERLIFT_CA: tls.key holds no certificate in PEM"),
        (asked(cert="nothing.pem", key="tls.key"), "LEDGERLIFT_CERT: nothing.pem holds no certificate in PEM"),
        (asked(cert="tls.crt", key="none.key"), "LEDGERLIFT_KEY: none.key cannot be read: No such file or directory"),
        (asked(cert="tls.crt", key="tls.crt"), "LEDGERLIFT_KEY: tls.crt holds no private key in PEM"),
        (asked(cert="tls.crt", key="locked.key"), "LEDGERLIFT_KEY: locked.key holds no private key in PEM without a"),
        (
            asked(cert="tls.crt", key="other.key"),
            "LEDGERLIFT_KEY: other.key is not the key of LEDGERLIFT_CERT tls.crt",
        ),
    ],
)
def test_what_cannot_be_used_is_named_before_there_is_a_connection(environ: dict[str, str], said: str) -> None:
    """By both clients, with the variable and the file."""
    for client in (LedgerLiftClient, AsyncLedgerLiftClient):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared below
            client.from_env(environ)
        assert str(refused.value).startswith(said)


def test_without_an_authority_the_system_s_are_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not those that come with gRPC, which know no company's; without any of the system, those it is."""
    given: list[bytes | None] = []
    monkeypatch.setattr("grpc.ssl_channel_credentials", lambda roots, *_: given.append(roots))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    credentials_from(TlsFiles(tls=True))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "nothing.pem"))
    monkeypatch.setattr("ledgerlift_client._tls._SYSTEM_BUNDLES", (str(folder / "none.pem"),))
    credentials_from(TlsFiles(tls=True))
    assert given == [(folder / "ca.pem").read_bytes(), None]
    assert ssl.get_default_verify_paths().cafile == str(folder / "nothing.pem")
