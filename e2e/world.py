"""A user's means: kubectl, kvctl, Envoy's admin port; and what a fault drill needs: signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kvdev.agent.process import kill_marked
from kvdev.gateway import observe
from kvdev.state import GATEWAY_PORT, ClusterState

REGIONS = {"eu-west": ("a", "b"), "us-east": ("a", "b")}
GOOD, BETTER, SLOW = "kvservice:1.0.0", "kvservice:1.1.0", "kvservice:1.2.0-slow"
KVCTL = str(Path(sys.executable).with_name("kvctl"))


class World:
    """The embedded cluster, as somebody at a terminal has it."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.environment = {**os.environ, "KUBECONFIG": str(state.kubeconfig)}

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self._run(str(self.state.programs / "kubectl"), *args, stdin=stdin)

    def kvctl(self, *args: str) -> str:
        return self._run(KVCTL, *args)

    def get(self, kind: str, namespace: str, *args: str) -> Any:
        return json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *args))

    def writes(self, namespace: str, *, since: datetime) -> list[dict[str, Any]]:
        """What the operator has written in a namespace since a moment, out of the API server's audit log."""
        lines = (self.state.logs / "audit.log").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [
            event
            for event in events
            if event["user"]["username"] == "system:serviceaccount:kvcluster-system:kvoperator"
            and event["verb"] not in ("get", "list", "watch")
            and event.get("objectRef", {}).get("namespace") == namespace
            and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since
        ]

    def kill_operator(self) -> None:
        """SIGKILL; the pod's restart policy brings it back."""
        assert self.kill_pods("kvcluster-system", "kvoperator")

    def kill_pods(self, namespace: str, prefix: str) -> list[int]:
        """SIGKILL every process of the pods whose names begin with `prefix`."""
        pods = [pod["metadata"] for pod in self.get("pods", namespace)["items"]]
        folders = [self.state.pods / pod["uid"] for pod in pods if pod["name"].startswith(prefix)]
        return [pid for folder in folders for pid in kill_marked(folder)]

    def _run(self, *command: str, stdin: str | None = None) -> str:
        """Its output. Raises CalledProcessError, with what it said as a note."""
        done = subprocess.run(command, input=stdin, env=self.environment, capture_output=True, text=True, timeout=120)
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr or done.stdout)
            raise
        return done.stdout


class Load:
    """A `kvctl load` that is sending; `stop()` ends it and returns its report."""

    def __init__(self, world: World, *args: str) -> None:
        command = [KVCTL, "load", "--output", "json", *args]
        self._process = subprocess.Popen(
            command, env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr
        said = next((line for line in self._process.stderr if line.startswith(("sending", "kvctl:"))), "it ended")
        assert said.startswith("sending"), said
        self._is_stopped = False

    def assert_running(self) -> None:
        """Until it is stopped."""
        if not self._is_stopped and self._process.poll() is not None:
            pytest.fail(f"the load ended by itself: {self._process.communicate()}")

    def stop(self) -> dict[str, Any]:
        self._is_stopped = True
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=60)
        assert out, err
        report: dict[str, Any] = json.loads(out)
        return report


class Cluster:
    """One KVCluster, named `kv`, in a namespace of its own."""

    def __init__(self, world: World, namespace: str) -> None:
        self.world = world
        self.namespace = namespace
        self.loads: list[Load] = []

    def apply(self, image: str = GOOD, storage: dict[str, Any] | None = None, **rollout: Any) -> None:
        """`storage`: instead of the default one."""
        wanted = manifest(self.namespace, image, rollout)
        wanted["spec"] |= {"storage": storage} if storage else {}
        self.world.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(wanted))

    def put(self, region: str, path: str, value: bytes) -> int:
        """The answer's status."""
        return self._ask("PUT", region, path, value).status_code

    def get(self, region: str, path: str) -> bytes | None:
        """The value that the region's Gateway gives; None if it gives none."""
        answer = self._ask("GET", region, path)
        return answer.content if answer.status_code == 200 else None

    def _ask(self, method: str, region: str, path: str, value: bytes | None = None) -> httpx.Response:
        gateway = self.world.state.gateway_address(list(REGIONS).index(region))
        url, host = f"http://{gateway}:{GATEWAY_PORT}{path}", f"kv.{self.namespace}.kv"
        return httpx.request(method, url, content=value, headers={"Host": host}, timeout=10)

    def release(self, image: str) -> None:
        patch = json.dumps({"spec": {"release": {"image": image}}})
        self.world.kubectl("patch", "kvcluster", "kv", "-n", self.namespace, "--type=merge", "-p", patch)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.world.get("kvcluster", self.namespace, "kv").get("status", {})
        return found

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status.get("rollout", {})
        return found

    def load(self, rate: int = 40) -> Load:
        started = Load(self.world, "--cluster", "kv", "-n", self.namespace, "--rate", str(rate), "--duration", "10m")
        self.loads.append(started)
        return started

    def weights(self) -> dict[str, dict[str, int]]:
        """Region -> revision -> percent, as Envoy has it."""
        routes = asyncio.run(observe.weights(self.world.state.envoy_admin_url))
        found: dict[str, dict[str, int]] = {}
        for clusters in routes.values():
            for cluster, weight in clusters.items():
                namespace, service, _ = cluster.split("/")
                if namespace == self.namespace:
                    region, revision = service.removeprefix("kv-").rsplit("-", 1)
                    found.setdefault(region, {})[revision] = weight
        return found

    def canary_weight(self) -> int:
        """The largest share that anything but the stable revision has in any region, as Envoy has it."""
        stable = self.rollout["stable"]["name"]
        return max(
            (w for region in self.weights().values() for revision, w in region.items() if revision != stable), default=0
        )

    def pods(self, revision: str) -> dict[str, str]:
        """Pod name -> uid of a revision."""
        listed = self.world.get("pods", self.namespace, "-l", f"kvcluster.dev/revision={revision}")
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in listed["items"]}

    def wait(self, what: str, holds: Callable[[], Any], *, within_s: float = 90) -> Any:
        """Wait until `holds()` is true and return it; the deadline only bounds a failure."""
        found = until(holds, within_s=within_s)
        for load in self.loads:
            load.assert_running()
        if not found:
            pytest.fail(f"{what}: not within {within_s:g} s; status: {json.dumps(self.status, indent=1)}")
        return found

    def wait_gone(self, remaining: Callable[[], list[str]]) -> None:
        if not until(lambda: not remaining(), within_s=60):
            pytest.fail(f"still there: {remaining()}")

    def wait_phase(self, *phases: str, within_s: float = 90) -> dict[str, Any]:
        """Wait for one of the phases, of the generation that is in the spec now."""

        def reached() -> dict[str, Any] | None:
            found = self.world.get("kvcluster", self.namespace, "kv")
            status = found.get("status", {})
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return status["rollout"] if current and status.get("phase") in phases else None

        rollout: dict[str, Any] = self.wait(f"phase {phases}", reached, within_s=within_s)
        return rollout

    def wait_step(self, step: int) -> dict[str, Any]:
        """Wait until a step's clock runs."""

        def holding() -> dict[str, Any] | None:
            rollout = self.rollout
            running = rollout.get("phase") == "Stepping" and rollout["step"] >= step and rollout.get("stepStartedAt")
            return rollout if running else None

        rollout: dict[str, Any] = self.wait(f"step {step}", holding)
        return rollout


def until(holds: Callable[[], Any], *, within_s: float) -> Any:
    """The first true `holds()`, or the last false one at the deadline."""
    deadline = time.monotonic() + within_s
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def manifest(namespace: str, image: str, rollout: dict[str, Any]) -> dict[str, Any]:
    quick = {
        "steps": [{"traffic": 10, "hold": "4s"}, {"traffic": 50, "hold": "4s"}],
        "bake": "4s",
        "interval": "2s",
        "minRequests": 5,
        "progressDeadline": "1m",
    }
    gateways = {"namespace": "default"}
    return {
        "apiVersion": "kvcluster.dev/v1alpha1",
        "kind": "KVCluster",
        "metadata": {"name": "kv", "namespace": namespace},
        "spec": {
            "release": {"image": image},
            "regions": [
                {"name": name, "zones": list(zones), "replicas": 2, "gateway": {"name": name, **gateways}}
                for name, zones in REGIONS.items()
            ],
            "rollout": quick | rollout,
        },
    }
