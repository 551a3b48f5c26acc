"""The command, with TLS: whom it trusts, who it says that it is, and what it says where that does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledgerlift_client.cli import exit_codes

from tests.support.certificates import Authority
from tests.support.command_line import SERVER, Cli
from tests.support.server_thread import server_in_thread

TRUSTED, UNKNOWN = Authority("trusted"), Authority("unknown")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with TLS. That it wants no certificate of clients makes a wrong one of theirs no obstacle."""
    folder = tmp_path_factory.mktemp("server")
    certificate, key = TRUSTED.pair("server").write(folder / "tls")
    with server_in_thread(folder, **SERVER, grpc_tls_cert=certificate, grpc_tls_key=key) as server:
        yield server.address


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that lets in only whom its authority knows."""
    folder = tmp_path_factory.mktemp("mutual")
    certificate, key = TRUSTED.pair("server").write(folder / "tls")
    (folder / "clients.pem").write_bytes(TRUSTED.certificate)
    asks = {"grpc_tls_cert": certificate, "grpc_tls_key": key, "grpc_tls_client_ca": folder / "clients.pem"}
    with server_in_thread(folder, **SERVER, **asks) as server:
        yield server.address


@pytest.fixture
def cli(cli: Cli) -> Cli:
    """With files for TLS in its folder."""
    cli.file("ca.pem", "# Größe\n".encode() + TRUSTED.certificate)  # around PEM there may be any text
    cli.file("unknown.pem", UNKNOWN.certificate)
    TRUSTED.pair("client").write(cli.folder / "known")
    UNKNOWN.pair("client").write(cli.folder / "stranger")
    return cli


def refused(cli: Cli, *arguments: str) -> str:
    """What it says when there is no connection."""
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (exit_codes.TRY_LATER, b""), done.stderr.decode()
    return done.stderr.decode()


def test_a_document_goes_there_and_back_over_tls(cli: Cli) -> None:
    """With `--ca` alone; in the environment it says the same."""
    content = cli.file("a.txt")
    (document,) = cli.lines("--ca", "ca.pem", "upload", "a.txt")
    cli.environment["LEDGERLIFT_CA"] = "ca.pem"
    cli.lines("download", document, "--output", "back.txt")
    assert (cli.folder / "back.txt").read_bytes() == content


def test_without_a_file_the_system_is_believed(cli: Cli) -> None:
    """`--tls`, with an authority that this system trusts and with none that it does."""
    cli.environment["SSL_CERT_FILE"] = str(cli.folder / "ca.pem")
    cli.lines("--tls", "limits")
    cli.environment["SSL_CERT_FILE"] = str(cli.folder / "unknown.pem")
    assert "the server's certificate is not trusted" in refused(cli, "--tls", "limits")


def test_a_certificate_is_shown_to_who_asks_for_one(cli: Cli, mutual: str) -> None:
    """Mutual TLS, by options and by the environment; without one, or with a stranger's, the words are about it."""
    known = ("--cert", "known/tls.crt", "--key", "known/tls.key")
    cli.lines("--target", mutual, "--ca", "ca.pem", *known, "limits")
    cli.environment |= {
        "LEDGERLIFT_TARGET": mutual,
        "LEDGERLIFT_CA": "ca.pem",
        "LEDGERLIFT_MAX_ATTEMPTS": "1",
    }
    for stranger in ((), ("--cert", "stranger/tls.crt", "--key", "stranger/tls.key")):
        said = refused(cli, *stranger, "limits")
        assert "a client certificate that the server does not accept" in said
        assert "Does the server want a client certificate that it knows? --cert and --key" in said
    cli.environment |= {"LEDGERLIFT_CERT": "known/tls.crt", "LEDGERLIFT_KEY": "known/tls.key"}
    cli.lines("limits")


def test_a_certificate_that_is_not_trusted_is_told_at_once(cli: Cli) -> None:
    """That it is the certificate, and which option is about it; trying again would not help."""
    said = refused(cli, "--ca", "unknown.pem", "limits")
    assert "the server's certificate is not trusted: unable to get local issuer certificate" in said
    assert "--ca or LEDGERLIFT_CA" in said
    assert "trying again" not in said


def test_a_certificate_for_another_name_is_told_at_once(cli: Cli, tmp_path: Path) -> None:
    """The target has to be a name that the certificate is for."""
    certificate, key = TRUSTED.pair("server", hosts=("elsewhere.example",)).write(tmp_path / "tls")
    with server_in_thread(tmp_path / "other", grpc_tls_cert=certificate, grpc_tls_key=key) as server:
        said = refused(cli, "--target", server.address, "--ca", "ca.pem", "limits")
    assert "the server's certificate is for other names than the target's" in said
    assert "--target or LEDGERLIFT_TARGET has to be a name that the certificate is for" in said
    assert "trying again" not in said


def test_plaintext_to_a_server_with_tls_asks_about_tls(cli: Cli) -> None:
    """gRPC says "Socket closed" of it."""
    cli.environment["LEDGERLIFT_MAX_ATTEMPTS"] = "1"
    said = refused(cli, "limits")
    assert "the connection was closed at once: TLS on one side only" in said
    assert "Does the server speak TLS? --tls, or --ca" in said


def test_tls_to_a_server_in_plaintext_says_so(cli: Cli, tmp_path: Path) -> None:
    """gRPC says WRONG_VERSION_NUMBER of it."""
    with server_in_thread(tmp_path / "plain") as server:
        said = refused(cli, "--target", server.address, "--tls", "limits")
    assert "this client speaks TLS, and what answers there does not" in said
    assert "Without --tls" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ca", "none.pem"), "--ca: none.pem cannot be read: No such file or directory"),
        (("--ca", "known/tls.key"), "--ca: known/tls.key holds no certificate in PEM"),
        (("--cert", "known/tls.crt"), "--cert needs --key as well"),
        (
            ("--cert", "known/tls.crt", "--key", "stranger/tls.key"),
            "--key: stranger/tls.key is not the key of --cert known/tls.crt",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_wrong_usage(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    """One line with the option, and nothing of Python's."""
    done = cli(*arguments, "limits")
    assert (done.returncode, done.stdout) == (exit_codes.USAGE, b"")
    assert done.stderr.decode() == f"Error: {said}\n"


def test_a_variable_is_called_by_its_name(cli: Cli) -> None:
    """Who set it there finds it; an option stands above it."""
    cli.environment["LEDGERLIFT_CA"] = "none.pem"
    done = cli("limits")
    assert (done.returncode, done.stderr.decode()) == (
        exit_codes.USAGE,
        "Error: LEDGERLIFT_CA: none.pem cannot be read: No such file or directory\n",
    )
    cli.lines("--ca", "ca.pem", "limits")
