"""docker-compose.monitoring.yml and what it mounts, as far as it can be looked at without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ledgerlift_server.settings import load

from tests.repo.monitoring import DASHBOARD, RULES
from tests.repo.test_deploy_compose import DEVELOPMENT, compose, told
from tests.support.prometheus import promtool
from tests.support.tools import ROOT

MONITORING = "docker-compose.monitoring.yml"
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


def services() -> dict[str, dict[str, Any]]:
    """Those of both files together, as the engine lays one on the other."""
    below, above = compose(DEVELOPMENT)["services"], compose(MONITORING)["services"]
    merged = {name: dict(service) for name, service in (below | above).items()}
    for name in below.keys() & above.keys():
        environment = below[name]["environment"] | above[name]["environment"]
        merged[name] = below[name] | above[name] | {"environment": environment}
    return merged


def mounted(service: str) -> dict[str, Path]:
    """What of the repository it has, by where."""
    found = {}
    for volume in services()[service]["volumes"]:
        outside, inside, *_ = volume.split(":")
        if outside.startswith("./"):
            assert volume.endswith(":ro"), volume
            found[inside] = ROOT / outside
    return found


def provisioned(file: str) -> dict[str, Any]:
    """What Grafana is told at its start."""
    read: dict[str, Any] = yaml.safe_load((PROVISIONING / file).read_text())
    return read


def test_the_server_tells_its_metrics_where_they_are_scraped(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of its service and the port of its setting, under the job that the rules know."""
    for name, value in told(services()["server"]).items():
        monkeypatch.setenv(name, value)
    address = load().metrics_address
    assert address is not None
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert discovery["names"] == ["server"]
    assert address == f"0.0.0.0:{discovery['port']}"
    assert f'up{{job="{job["job_name"]}"}}' in RULES.read_text()


def test_prometheus_takes_its_configuration_as_it_is_mounted() -> None:
    """The rules that it names are there."""
    (inside,) = (word.partition("=")[2] for word in services()["prometheus"]["command"] if "config.file" in word)
    folder = mounted("prometheus")[str(Path(inside).parent)]
    checked = promtool("check", "config", Path(inside).name, folder=folder)
    assert checked.returncode == 0, checked.stdout
    assert "1 rule files found" in checked.stdout


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """Where the other containers have them."""
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    (port,) = services()["prometheus"]["ports"]
    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
    assert source["isDefault"] is True
    files = mounted("grafana")
    assert files["/etc/grafana/provisioning"] == PROVISIONING
    (where,) = (inside for inside, outside in files.items() if outside == DASHBOARD)
    (provider,) = provisioned("dashboards/ledgerlift.yml")["providers"]
    assert provider["options"]["path"] == str(Path(where).parent)
    assert services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == where


def test_nothing_starts_before_what_it_needs_and_nothing_is_reached_from_outside() -> None:
    """As in the files below it: fixed images, loopback, no capabilities, health that is asked for."""
    merged = services()
    for name in compose(MONITORING)["services"].keys() - {"server"}:
        service = merged[name]
        assert service["image"].partition(":")[2][0].isdigit() or service["image"].partition(":")[2][0] == "v"
        assert [port for port in service["ports"] if not port.startswith("127.0.0.1:")] == []
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        for other, how in service["depends_on"].items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in merged[other]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            known = source in compose(MONITORING)["volumes"] or (ROOT / source).exists()
            assert known, volume
