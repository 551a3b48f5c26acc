"""The image, as far as it can be looked at without an engine: its steps repeated here, and what they made run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from ledgerlift_client import LedgerLiftClient
from ledgerlift_server import __version__

from tests.repo.deployed import Replica, run_once
from tests.repo.dockerfile import Stage, ignored, replay, stages
from tests.repo.env_files import settings_of
from tests.support.certificates import Authority
from tests.support.s3 import S3Server
from tests.support.server import in_process_server
from tests.support.tools import ROOT, missing, tool

USER = 10001
OURS = Authority("ours")


def dockerfile() -> dict[str, Stage]:
    """By name; what runs is the last, and has none."""
    return {stage.name: stage for stage in stages(ROOT / "Dockerfile")}


def sent_to_the_builder() -> list[str]:
    """The files of the repository that .dockerignore leaves."""
    listed = subprocess.run(
        [tool("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return [name for name in listed if name and not ignored(name, ROOT / ".dockerignore") and (ROOT / name).is_file()]


def test_no_step_works_as_root_when_it_runs() -> None:
    """A user by number, nothing to start it with but the command, and a signal that drains."""
    final = dockerfile()[""]
    assert final.all("USER") == [f"{USER}:{USER}"]
    assert (final.words("ENTRYPOINT"), final.words("CMD")) == (["ledgerlift-server"], ["serve"])
    assert final.all("STOPSIGNAL") == ["SIGTERM"]
    metrics = settings_of(ROOT / ".env.prod.example")["METRICS_ADDRESS"]
    ports = [address.rpartition(":")[2] for address in (final.environment["GRPC_ADDRESS"], metrics)]
    assert final.all("EXPOSE") == [" ".join(ports)]


def test_the_probe_is_the_one_that_the_tests_use() -> None:
    """One version of grpc_health_probe, in the image and in scripts/install-tools."""
    (line,) = dockerfile()["probe"].all("RUN")
    version = re.findall(r"grpc-health-probe@(\S+)", line)
    tools = re.findall(r"grpc-health-probe (\S+)", (ROOT / "scripts/install-tools").read_text())
    assert version == tools
    assert len(version) == 1


def test_every_stage_has_a_base_of_one_version() -> None:
    """No `latest`, and the packages are run by the Python that they were installed with."""
    found = dockerfile()
    assert all(re.search(r":\d+\.\d+", stage.base) for stage in found.values())
    assert found["build"].base == found[""].base


def test_nothing_else_is_sent_to_the_builder() -> None:
    """Neither a secret of a working copy nor its history becomes part of a layer."""
    for name in (
        ".env",
        ".env.prod",
        "secrets/tls.key",
        ".git/config",
        "tests/conftest.py",
        "server/a/__pycache__/b.pyc",
    ):
        assert ignored(name, ROOT / ".dockerignore"), name
    assert {name.partition("/")[0] for name in sent_to_the_builder()} == {
        *("pyproject.toml", "README.md", "LICENSE", "requirements", "generated", "client", "server")
    }


@pytest.fixture
def image() -> Iterator[Path]:
    """What the build stage makes, in a folder that every user may look into, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="ledgerlift-image-"))
    folder.chmod(0o755)
    try:
        replay(dockerfile()["build"], ROOT, folder, sent_to_the_builder())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_the_image(image: Path) -> list[str]:
    """The entrypoint as the image's user, without what root may, all of `/` read-only. Needs root to do so."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("unshare") is None:
        missing("a root user with unshare and setpriv")
    user = f"setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    (command,) = dockerfile()[""].words("ENTRYPOINT")
    program = f"{image}/opt/ledgerlift/bin/{command}"
    return ["unshare", "--mount", "sh", "-c", f'mount -o remount,bind,ro / && exec {user} {program} "$@"', "sh"]


def production(folder: Path, database_url: str, s3: S3Server) -> dict[str, str]:
    """.env.prod.example filled in, its secrets in files that the image's user alone may read."""
    server = OURS.pair("server")
    given = s3.environment()
    secrets = {
        "database_url": database_url,
        "aws_access_key_id": given["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
        "tls.crt": server.certificate.decode(),
        "tls.key": server.key.decode(),
    }
    folder.mkdir()
    for name, content in secrets.items():
        (folder / name).write_text(f"{content}\n")
        (folder / name).chmod(0o400)
        os.chown(folder / name, USER, USER)
    os.chown(folder, USER, USER)
    filled_in = {"S3_BUCKET": given["S3_BUCKET"], "S3_ENDPOINT": given["S3_ENDPOINT"], "S3_SSE": ""}
    settings = {
        name: value.replace("/run/secrets/", f"{folder}/")
        for name, value in settings_of(ROOT / ".env.prod.example").items()
    }
    return {**dockerfile()[""].environment, **settings, **filled_in}


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "TLS"])
async def test_its_health_check_follows_the_settings(tmp_path: Path, tls: bool) -> None:
    """Whatever port and with or without TLS: an engine that restarts what is unhealthy would not let it live else."""
    files = OURS.pair("server").write(tmp_path / "tls")
    changes = {"grpc_tls_cert": files[0], "grpc_tls_key": files[1]} if tls else {}
    program, *words = dockerfile()[""].health
    words = [word.replace("timeout=3s", "timeout=20s") for word in words]
    environment = {"PATH": f"{tool('grpc_health_probe').parent}:/usr/bin:/bin"}
    if tls:
        environment["GRPC_TLS_CERT"] = str(files[0])
    async with in_process_server(tmp_path, **changes) as server:
        port = server.address.rpartition(":")[2]
        for address, expected in ((f"0.0.0.0:{port}", 0), ("0.0.0.0:1", 2)):
            asked = {**environment, "GRPC_ADDRESS": address}
            done = await asyncio.to_thread(run_once, [program, *words], asked)
            assert done.returncode == expected, done.stderr


@pytest.mark.timeout(900)
def test_it_serves_in_production_as_nobody_on_a_read_only_disk(
    image: Path, postgres_empty_url: str, s3_server: S3Server
) -> None:
    """Its packages, by the steps of the Dockerfile; the production example, filled in; then all its life:

    check-config, migrate, serve, healthy to HEALTHCHECK's own command, a document, SIGTERM, exit code 0.
    """
    program = in_the_image(image)
    environment = production(image / "secrets", postgres_empty_url, s3_server)
    environment["PATH"] = f"{image}/opt/ledgerlift/bin:/usr/bin:/bin"

    assert run_once([*program, "version"], {}).stdout.strip() == __version__
    shown = run_once([*program, "check-config"], environment)
    assert shown.returncode == 0, shown.stderr
    assert "ENVIRONMENT=production" in shown.stdout.splitlines()
    migrated = run_once([*program, "migrate"], environment)
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr

    replica = Replica(program, environment, image / "log")
    try:
        replica.until_healthy(dockerfile()[""].health)
        probe = ["grpc_health_probe", "-addr=127.0.0.1:50051", "-tls"]
        replica.until_healthy([*probe, "-tls-no-verify", "-service=readiness"])
        assert replica.healthy(probe).returncode != 0, "the probe trusts anybody"
        credentials = grpc.ssl_channel_credentials(OURS.certificate)
        with LedgerLiftClient(replica.address, credentials=credentials) as client:
            stored = client.upload(ROOT / "LICENSE", content_type="text/plain").document
            client.download(stored.document_id, image / "copy")
        assert (image / "copy").read_bytes() == (ROOT / "LICENSE").read_bytes()
        assert replica.stop() == 0, replica.output
    finally:
        replica.kill()
