"""What kustomize makes of an overlay, and the parts that tests look at."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tests.support.tools import ROOT, tool

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("mesh", "tls")


@cache
def rendered(folder: str) -> str:
    """The text that `kubectl apply --kustomize` would send. Skips without kustomize."""
    done = subprocess.run(
        [str(tool("kustomize")), "build", str(KUBERNETES / folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Manifests:
    """The objects of one overlay."""

    objects: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: str) -> Manifests:
        """`overlays/tls` and the like."""
        return cls(list(yaml.safe_load_all(rendered(folder))))

    def one(self, kind: str) -> dict[str, Any]:
        """The only object of this kind."""
        (found,) = (item for item in self.objects if item["kind"] == kind)
        return found

    @property
    def pod(self) -> dict[str, Any]:
        """The specification of the server's pods."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def server(self) -> dict[str, Any]:
        """Its only container."""
        (container,) = self.pod["containers"]
        found: dict[str, Any] = container
        return found

    @property
    def pods(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every specification of pods, by the kind that makes them."""
        for kind in ("Deployment", "Job"):
            yield kind, self.one(kind)["spec"]["template"]["spec"]

    @property
    def told(self) -> Mapping[str, str]:
        """What the server finds in its environment."""
        config = self.one("ConfigMap")
        assert self.server["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
        data: dict[str, str] = config["data"]
        return data

    def probes(self) -> Mapping[str, dict[str, Any]]:
        """By `startup`, `liveness` and `readiness`."""
        return {name: self.server[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a selector of labels means an object with these."""
    return selector.items() <= labels.items()
