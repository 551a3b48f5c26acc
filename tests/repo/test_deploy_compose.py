"""The compose files, as far as they can be looked at without an engine: held against the settings, and run."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from ledgerlift_client import LedgerLiftClient
from ledgerlift_server.settings import InvalidSettings, Settings, load

from tests.repo.deployed import OWN_PORT, Replica, free_port, run_once
from tests.repo.dockerfile import stages
from tests.repo.env_files import settings_of
from tests.repo.memory_formula import in_bytes, needed
from tests.support.postgres import PostgresServer, postgres_program
from tests.support.server import IsolatedSettings
from tests.support.tools import ROOT, tool

DEVELOPMENT, PRODUCTION = "docker-compose.yml", "docker-compose.prod.yml"
SERVER = [sys.executable, "-m", "ledgerlift_server"]
ROLLED = 10
"""Seconds that a server gets beyond the times that are set, to close its pools and end its process."""


def compose(name: str) -> dict[str, Any]:
    """The file, its anchors followed."""
    read: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return read


def servers(name: str) -> dict[str, dict[str, Any]]:
    """The services that serve."""
    return {key: service for key, service in compose(name)["services"].items() if service.get("command") == ["serve"]}


def told(service: Mapping[str, Any]) -> dict[str, str]:
    """What a service of ours is told, the image's own included."""
    environment = stages(ROOT / "Dockerfile")[-1].environment | service.get("environment", {})
    for file in service.get("env_file", []):
        environment |= settings_of(ROOT / f"{file}.example")
    return {name: value for name, value in environment.items() if name != "PATH" and not name.startswith("PYTHON")}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`settings(service, **more)`: those of its process."""
    for field in Settings.model_fields:
        for name in (field.upper(), f"{field.upper()}_FILE"):
            monkeypatch.delenv(name, raising=False)

    def of(service: Mapping[str, Any], **more: str) -> Settings:
        for name, value in {**told(service), **more}.items():
            monkeypatch.setenv(name, value)
        return load()

    return of


@pytest.mark.parametrize("name", [DEVELOPMENT, PRODUCTION])
def test_every_variable_is_a_setting(name: str) -> None:
    """A misspelt one would be ignored, and nobody told."""
    known = {field.upper() for field in Settings.model_fields}
    for key, service in compose(name)["services"].items():
        if service.get("command") in (["serve"], ["migrate"]):
            assert {variable.removesuffix("_FILE") for variable in told(service)} - known == set(), key


@pytest.mark.parametrize("name", [DEVELOPMENT, PRODUCTION])
def test_nothing_starts_before_what_it_needs(name: str) -> None:
    """Servers wait for the schema, and whoever waits for health waits for somebody who is asked for it."""
    services = compose(name)["services"]
    assert services["migrate"]["restart"] == "no"
    for key, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{key} waits for {other}"
    for service in servers(name).values():
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    if name == DEVELOPMENT:
        assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert services["server"]["depends_on"]["s3"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", [DEVELOPMENT, PRODUCTION])
def test_it_is_stopped_only_after_it_has_drained(name: str) -> None:
    """SIGKILL comes when even the slowest calls and commits have had their time."""
    for service in servers(name).values():
        given = IsolatedSettings(
            shutdown_delay=told(service).get("SHUTDOWN_DELAY", 1),
            shutdown_grace=told(service).get("SHUTDOWN_GRACE", 30),
        )
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace >= given.shutdown_delay + 2 * given.shutdown_grace + ROLLED


@pytest.mark.parametrize("name", [DEVELOPMENT, PRODUCTION])
def test_ports_and_probes_mean_where_it_listens(name: str) -> None:
    """Published by default for this machine alone, each at a port of its own; health is asked as `readiness`."""
    published = []
    for service in servers(name).values():
        assert told(service)["GRPC_ADDRESS"].endswith(f":{OWN_PORT}")
        (port,) = service["ports"]
        outside, _, inside = port.rpartition(":")
        assert (inside, re.sub(r"\$\{\w+:-(.*)\}", r"\1", outside.rpartition(":")[0])) == (str(OWN_PORT), "127.0.0.1")
        published.append(outside)
        assert {f"-addr=127.0.0.1:{OWN_PORT}", "-service=readiness"} < set(service["healthcheck"]["test"])
    assert len(published) == len(set(published)) == (1 if name == DEVELOPMENT else 2)


@pytest.mark.parametrize("name", [DEVELOPMENT, PRODUCTION])
def test_it_runs_with_nothing_that_it_does_not_need(name: str) -> None:
    """A read-only file system, no capabilities, and no way to new ones."""
    for key, service in compose(name)["services"].items():
        if key == "migrate" or key.startswith("server"):
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_s3_server_is_the_one_of_the_tests() -> None:
    """One version of versitygw, here and in scripts/install-tools."""
    tools = re.findall(r"cmd/versitygw (v\S+)", (ROOT / "scripts/install-tools").read_text())
    assert [compose(DEVELOPMENT)["services"]["s3"]["image"].partition(":")[2]] == tools


def test_production_refuses_the_passwords_of_development(settings: Any) -> None:
    """Somebody may copy the file; then each is named."""
    (server,) = servers(DEVELOPMENT).values()
    with pytest.raises(InvalidSettings) as refused:
        settings(server, ENVIRONMENT="production", ALLOW_PLAINTEXT_IN_PRODUCTION="true")
    assert {problem.name for problem in refused.value.problems} == {"DATABASE_URL", "AWS_SECRET_ACCESS_KEY"}


def test_no_password_of_production_has_a_default() -> None:
    """Nothing stands in the file but where each is found, and the example of its environment names the same files."""
    text = (ROOT / PRODUCTION).read_text()
    assert re.findall(r"\$\{(\w+):?-", text.replace("${PUBLISH_ADDRESS:-127.0.0.1}", "")) == []
    read = compose(PRODUCTION)
    assert {key: secret["file"] for key, secret in read["secrets"].items()} == {
        key: f"secrets/{key}" for key in read["secrets"]
    }
    for service in read["services"].values():
        assert "environment" not in service
        used = {Path(value).name for value in told(service).values() if value.startswith("/run/secrets/")}
        assert used == set(service["secrets"]) == set(read["secrets"])


def test_replicas_of_production_differ_in_their_port_alone() -> None:
    """Both are one server, under one name."""
    first, second = (dict(service) for service in servers(PRODUCTION).values())
    assert first.pop("ports") != second.pop("ports")
    assert first == second
    assert first["networks"] == {"default": {"aliases": ["ledgerlift"]}}


def test_the_memory_limit_follows_from_the_formula() -> None:
    """It is never met by a server that works as it is told, nor far above what can be needed."""
    for service in servers(PRODUCTION).values():
        chosen = {
            name.lower(): value for name, value in told(service).items() if name.startswith(("MAX_", "UPLOAD_"))
        }
        memory = service["deploy"]["resources"]["limits"]["memory"]
        assert needed(IsolatedSettings(**chosen)) <= in_bytes(memory) <= 1.25 * needed(IsolatedSettings(**chosen))


@pytest.mark.timeout(300)
def test_what_development_says_runs(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Each service by its own command and environment, at other ports: healthy in order, and a document is stored."""
    services = compose(DEVELOPMENT)["services"]
    database = services["postgres"]["environment"]
    with ExitStack() as stack:
        postgres_server.execute(f"CREATE DATABASE {database['POSTGRES_DB']}")
        stack.callback(postgres_server.drop_database, database["POSTGRES_DB"])
        program, *arguments = services["postgres"]["healthcheck"]["test"][1:]
        asked = run_once([str(postgres_program(program)), f"--port={postgres_server.port}", *arguments], {})
        assert asked.returncode == 0, asked.stdout

        s3_port = start_s3(services["s3"], tmp_path, stack)
        elsewhere = {"postgres:5432": f"127.0.0.1:{postgres_server.port}", "s3:7070": f"127.0.0.1:{s3_port}"}
        environment = told(services["server"])
        for there, here in elsewhere.items():
            environment = {name: value.replace(there, here) for name, value in environment.items()}

        migrated = run_once([*SERVER, *services["migrate"]["command"]], environment)
        assert migrated.returncode == 0, migrated.stderr
        server = Replica(SERVER, environment, tmp_path / "log")
        stack.callback(server.kill)
        server.until_healthy(services["server"]["healthcheck"]["test"][1:])
        with LedgerLiftClient(server.address) as client:
            stored = client.upload(ROOT / "LICENSE", content_type="text/plain").document
            client.download(stored.document_id, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == (ROOT / "LICENSE").read_bytes()
        assert server.stop() == 0, server.output


def start_s3(service: Mapping[str, Any], folder: Path, stack: ExitStack) -> int:
    """versitygw as the service says, at another port, over other folders; the port, once it is healthy."""
    port = free_port()
    moved = {"0.0.0.0:7070": f"127.0.0.1:{port}"}
    for volume in service["volumes"]:
        name, _, mounted = volume.partition(":")
        (folder / name).mkdir()
        moved[mounted] = str(folder / name)
    process = subprocess.Popen(
        [str(tool("versitygw")), *(moved.get(word, word) for word in service["command"])],
        env=service["environment"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    program, *arguments = service["healthcheck"]["test"][1:]
    give_up_at = time.monotonic() + 30
    while run_once([str(tool(program)), *(word.replace(":7070", f":{port}") for word in arguments)], {}).returncode:
        assert process.poll() is None, "it ended"
        assert time.monotonic() < give_up_at, "it never was healthy"
        time.sleep(0.1)
    return port
