"""The Kubernetes manifests as kustomize renders them: against Kubernetes' schemas, the settings, and one another.

No cluster has seen them: that a kubelet does what they say is not tested here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from ledgerlift_server.grpc_server import SERVICES
from ledgerlift_server.health.board import HealthBoard
from ledgerlift_server.settings import InvalidSettings, Settings, load

from tests.repo.dockerfile import stages
from tests.repo.manifests import KUBERNETES, OVERLAYS, Manifests, matches, rendered
from tests.repo.memory_formula import in_bytes, needed
from tests.support.certificates import Authority
from tests.support.programs import run
from tests.support.server import in_process_server
from tests.support.tools import ROOT, tool

OLDEST, NEWEST = "1.30.0", "1.37.0"
"""Of Kubernetes: `preStop.sleep` is on from 1.30."""
CLOSING = 10
"""Seconds that a server gets beyond the times that are set, to close its pools and end its process."""
TUNNELS = (15008, 4143)
"""Where meshes bring callers' connections to: Istio's ambient mode, Linkerd."""
MAX_CONNECTIONS = 200
"""Of the database, as base/ledgerlift.env counts with it."""


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Of each overlay."""
    return Manifests.of(f"overlays/{request.param}")


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`settings_of(manifests)`: what the server makes of its environment, the Secret filled in."""
    for field in Settings.model_fields:
        for name in (field.upper(), f"{field.upper()}_FILE"):
            monkeypatch.delenv(name, raising=False)

    def of(manifests: Manifests) -> Settings:
        for name, value in manifests.told.items():
            if name.endswith("_FILE"):
                secret = "postgresql://app:Kx83hd0aPq@db/ledger" if "DATABASE" in name else "m4Zp0aQw91"
                (tmp_path / name).write_text(secret)
                value = str(tmp_path / name)
            monkeypatch.setenv(name, value)
        return load()

    return of


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_they_are_what_kubernetes_takes(overlay: str, version: str, tmp_path: Path) -> None:
    """Every object passes the schema of its kind, of the oldest and of the newest version, without unknown fields."""
    (file := tmp_path / "rendered.yaml").write_text(rendered(f"overlays/{overlay}"))
    done = run(tool("kubernetes-validate"), "--kubernetes-version", version, "--strict", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed for ") == len(Manifests.of(f"overlays/{overlay}").objects)


def test_the_server_takes_what_it_is_told(manifests: Manifests, settings_of: Any) -> None:
    """Each variable is a setting, and production has nothing against them."""
    known = {field.upper() for field in Settings.model_fields}
    assert {name.removesuffix("_FILE") for name in manifests.told} - known == set()
    assert settings_of(manifests).environment == "production"


def test_the_base_alone_lets_nobody_in(settings_of: Any) -> None:
    """Without an overlay that says how connections are encrypted, the server does not start."""
    with pytest.raises(InvalidSettings) as refused:
        settings_of(Manifests.of("base"))
    assert [problem.name for problem in refused.value.problems] == ["GRPC_TLS_CERT"]


def test_no_password_stands_there(manifests: Manifests) -> None:
    """Secrets are mounted by name; none is made here, and none is a variable."""
    assert all(item["kind"] != "Secret" for item in manifests.objects)
    mounts = {mount["name"]: mount["mountPath"] for mount in manifests.server["volumeMounts"]}
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in manifests.pod["volumes"]}
    assert mounts.keys() == secrets.keys()
    files = [value for value in manifests.told.values() if value.startswith("/run/secrets/")]
    assert {str(Path(file).parent) for file in files} == set(mounts.values())
    for name in ("DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert name not in manifests.told
    for _, pod in manifests.pods:
        assert all("env" not in container for container in pod["containers"])


def test_it_is_killed_only_after_it_has_drained(manifests: Manifests, settings_of: Any) -> None:
    """The grace of the pod holds preStop, the delay, and the grace of calls and of commits."""
    given, pre_stop = settings_of(manifests), manifests.server["lifecycle"]["preStop"]["sleep"]["seconds"]
    least = pre_stop + given.shutdown_delay + 2 * given.shutdown_grace + CLOSING
    assert least <= manifests.pod["terminationGracePeriodSeconds"] <= 1.5 * least


def test_memory_follows_from_the_formula(manifests: Manifests, settings_of: Any) -> None:
    """The limit is never met by a server that works as it is told, and the node has what it may use."""
    resources = manifests.server["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" not in resources["limits"]
    least = needed(settings_of(manifests))
    assert least <= in_bytes(resources["limits"]["memory"]) <= 1.25 * least


def test_the_database_has_room_for_all_pods(manifests: Manifests, settings_of: Any) -> None:
    """The autoscaler's most, and the one that is rolled in, fit into its connections, some left for operators."""
    given = settings_of(manifests)
    surge = manifests.one("Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    pods = manifests.one("HorizontalPodAutoscaler")["spec"]["maxReplicas"] + surge
    assert pods * (given.db_pool_size + given.db_max_overflow) <= 0.9 * MAX_CONNECTIONS


def test_probes_ask_for_names_that_the_server_knows(manifests: Manifests, settings_of: Any) -> None:
    """Restarted for `liveness` alone; named to clients by `readiness`; both begin when start-up is done."""
    asked = {name: health_name(probe, settings_of(manifests).port) for name, probe in manifests.probes().items()}
    assert asked == {"startup": "", "liveness": "liveness", "readiness": "readiness"}
    board = HealthBoard([service.full_name for service in SERVICES], ())
    assert set(asked.values()) <= set(board.statuses)


def health_name(probe: dict[str, Any], port: int) -> str:
    """What a probe asks for, in either form, of this port."""
    if "grpc" in probe:
        assert probe["grpc"]["port"] == port
        return str(probe["grpc"].get("service", ""))
    command = probe["exec"]["command"]
    assert command[:2] == ["grpc_health_probe", f"-addr=127.0.0.1:{port}"]
    return next((word.removeprefix("-service=") for word in command if word.startswith("-service=")), "")


def test_the_server_gives_up_before_the_kubelet_does(manifests: Manifests, settings_of: Any) -> None:
    """So that why it cannot start stands in its log: first the database gets its time, then the store."""
    probe = manifests.probes()["startup"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > 2 * settings_of(manifests).startup_timeout


async def test_the_probes_of_the_image_work_with_tls(tmp_path: Path) -> None:
    """Each command of the TLS overlay, as it stands, against a server with a certificate; they can also say no."""
    probes = Manifests.of("overlays/tls").probes().values()
    files = Authority("ours").pair("server").write(tmp_path / "tls")
    async with in_process_server(tmp_path, grpc_tls_cert=files[0], grpc_tls_key=files[1]) as server:
        for probe in probes:
            patient = (word.replace("timeout=2s", "timeout=20s") for word in probe["exec"]["command"])
            program, *words = (word.replace("127.0.0.1:50051", server.address) for word in patient)
            done = await asyncio.to_thread(run, tool(program), *words)
            assert done.returncode == 0, done.stderr
            unknown = await asyncio.to_thread(run, tool(program), *words, "-service=nonesuch")
            assert unknown.returncode != 0


def test_everything_means_the_same_pods(manifests: Manifests) -> None:
    """Deployment, Service, budget, autoscaler and policy select the pods that the template makes."""
    deployment = manifests.one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert matches(deployment["spec"]["selector"]["matchLabels"], labels)
    assert matches(manifests.one("Service")["spec"]["selector"], labels)
    assert matches(manifests.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels)
    target = manifests.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    job = manifests.one("Job")["spec"]["template"]["metadata"]["labels"]
    for selected in (labels, job):
        assert matches(manifests.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], selected)
    assert not matches(manifests.one("Service")["spec"]["selector"], job), "calls would go to a migration"
    for constraint in manifests.pod["topologySpreadConstraints"]:
        assert matches(constraint["labelSelector"]["matchLabels"], labels)


def test_ports_are_where_it_listens(manifests: Manifests, settings_of: Any) -> None:
    """Container, Service and policy let callers to GRPC_ADDRESS, and Prometheus to METRICS_ADDRESS."""
    given = settings_of(manifests)
    addresses = {"grpc": given.grpc_address, "metrics": given.metrics_address}
    ports = {name: int(address.removeprefix("0.0.0.0:")) for name, address in addresses.items()}
    service = manifests.one("Service")["spec"]
    assert {port["name"]: port["containerPort"] for port in manifests.server["ports"]} == ports
    assert {port["name"]: port["port"] for port in service["ports"]} == ports
    assert {port["name"]: port["targetPort"] for port in service["ports"]} == {name: name for name in ports}
    assert service["clusterIP"] == "None"
    allowed = [[port["port"] for port in rule["ports"]] for rule in manifests.one("NetworkPolicy")["spec"]["ingress"]]
    of_tls, of_mesh = [[ports["grpc"]], [ports["metrics"]]], [[ports["grpc"], *TUNNELS], [ports["metrics"]]]
    assert allowed in (of_tls, [*of_mesh, [ports["grpc"]]])


def test_a_mesh_is_let_through_and_lets_the_migration_end() -> None:
    """Its tunnels to callers, its proxies to their control plane; and no proxy outlives what the Job is for."""
    mesh, tls = Manifests.of("overlays/mesh"), Manifests.of("overlays/tls")
    callers, _, probes = mesh.one("NetworkPolicy")["spec"]["ingress"]
    assert probes["from"] == [{"ipBlock": {"cidr": "169.254.7.127/32"}}], "not for everybody"
    assert {port["port"] for port in callers["ports"]} > {*TUNNELS}
    assert callers["from"] == tls.one("NetworkPolicy")["spec"]["ingress"][0]["from"], "the label is the permission"
    *others, control_plane = mesh.one("NetworkPolicy")["spec"]["egress"]
    assert others == tls.one("NetworkPolicy")["spec"]["egress"]
    assert "ports" not in control_plane
    job, server = (mesh.one(kind)["spec"]["template"]["metadata"] for kind in ("Job", "Deployment"))
    assert matches({"sidecar.istio.io/inject": "false"}, job["labels"])
    assert job["annotations"] == {"linkerd.io/inject": "disabled"}
    assert not server.keys() & {"annotations"}
    assert "sidecar.istio.io/inject" not in server["labels"]


def test_the_service_monitor_means_the_service(manifests: Manifests) -> None:
    """The Prometheus operator finds the Service by its label, and the port by its name."""
    file = KUBERNETES / "components/prometheus-operator/servicemonitor.yaml"
    monitor = yaml.safe_load(file.read_text())["spec"]
    service = manifests.one("Service")
    assert matches(monitor["selector"]["matchLabels"], service["metadata"]["labels"])
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} < {
        port["name"] for port in service["spec"]["ports"]
    }


def test_pods_have_nothing_that_they_do_not_need(manifests: Manifests) -> None:
    """As the image's user, on a read-only file system, without capabilities and without the API's token."""
    user = int(stages(ROOT / "Dockerfile")[-1].all("USER")[0].partition(":")[0])
    for kind, pod in manifests.pods:
        assert pod["automountServiceAccountToken"] is False, kind
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_migration_is_of_the_same_version_and_settings(manifests: Manifests) -> None:
    """It cannot bring up another schema than the servers want, nor another database's."""
    (server,), (migration,) = ([*pod["containers"]] for _, pod in manifests.pods)
    assert server["image"] == migration["image"]
    assert ":latest" not in server["image"]
    assert server["envFrom"] == migration["envFrom"]
    assert (server["args"], migration["args"]) == (["serve"], ["migrate"])


def test_an_upgrade_takes_nothing_away(manifests: Manifests) -> None:
    """There are never fewer pods than before, whether they are rolled or a node is drained."""
    strategy = manifests.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert (strategy["maxSurge"], strategy["maxUnavailable"]) == (1, 0)
    assert "replicas" not in manifests.one("Deployment")["spec"]
    assert manifests.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
    assert manifests.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
