"""The node agent runs what a real control plane binds, and `kubectl` tells the truth about it."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvdev import cluster, images, parts
from kvdev.plane import process
from kvdev.state import ClusterState, cache_home

pytestmark = pytest.mark.real

NAME = f"agent-{os.getpid()}"
REGIONS = {"eu-west": ("a", "b"), "us-east": ("a",)}
IMAGE = "registry.example/team/hello:1"
WITHIN_S = 30
Object = dict[str, Any]

HELLO = """
import http.server, json, os, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = not pathlib.Path(os.environ["DATA"], "unready").exists()
        self.send_response(200 if ready or self.path != "/ready" else 503)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
def main():
    print("hello from", os.environ["POD"], flush=True)
    http.server.ThreadingHTTPServer((os.environ["BIND"], 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterState]:
    """A cluster and an image store of our own; the parts themselves come from the user's cache."""
    real_cache = cache_home()
    parts.find(print)
    home = tmp_path_factory.mktemp("agent")
    cache = home / "cache" / "kvcluster"
    cache.mkdir(parents=True)
    for part in real_cache.iterdir():
        if part.name != "images":
            (cache / part.name).symlink_to(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        build_hello(home)
        running = asyncio.run(cluster.up(NAME, REGIONS))
        yield running
        asyncio.run(cluster.down(NAME))


def build_hello(home: Path, tag: str = "1") -> None:
    package = home / "hello"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(HELLO)
    images.build(f"hello:{tag}", packages=[package], programs={"hello": "hello:main"})


def kubectl(state: ClusterState, *arguments: str, text: str | None = None) -> str:
    command = [str(state.programs / "kubectl"), f"--kubeconfig={state.kubeconfig}", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def apply(state: ClusterState, *objects: Object) -> None:
    kubectl(state, "apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def get(state: ClusterState, *arguments: str) -> Object:
    found: Object = json.loads(kubectl(state, "get", *arguments, "-o", "json"))
    return found


def wait_for(state: ClusterState, what: str, *arguments: str) -> None:
    kubectl(state, "wait", f"--for={what}", f"--timeout={WITHIN_S}s", *arguments)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not seen within {WITHIN_S} s"
        time.sleep(0.05)


def container(script: str = "", **more: Any) -> Object:
    return {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], **more}


def pod(name: str, main: Object, **spec: Any) -> Object:
    spec = {"terminationGracePeriodSeconds": 5, "containers": [main], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def server(**more: Any) -> Object:
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "BIND", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "DATA", "value": "/data"},
        *more.pop("env", []),
    ]
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    ports = [{"name": "http", "containerPort": 8080}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    return container(command=["hello"], env=env, readinessProbe=probe, ports=ports, volumeMounts=mounts, **more)


CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "shared"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


SHARED = {"name": "data", "persistentVolumeClaim": {"claimName": "shared"}}


def deployment(name: str, replicas: int) -> Object:
    template = pod(name, server(), volumes=[SHARED])
    metadata = {"labels": {"app": name}, "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": metadata, "spec": template["spec"]},
        },
    }


def environment_of(address: str) -> dict[str, str]:
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=5) as answer:
        found: dict[str, str] = json.load(answer)
        return found


def state_of(state: ClusterState, name: str) -> Object:
    """State of the pod's first container, as kubectl shows it."""
    found: Object = get(state, "pod", name)["status"]["containerStatuses"][0]
    return found


def processes_of(state: ClusterState, uid: str) -> list[int]:
    mark = str(state.pods / uid).encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def hello(state: ClusterState) -> list[Object]:
    apply(state, CLAIM, deployment("hello", 2))
    wait_for(state, "condition=Available", "deployment/hello")
    pods: list[Object] = get(state, "pods", "-l", "app=hello")["items"]
    return pods


def test_nodes_tell_region_and_zone(state: ClusterState) -> None:
    labels = [node["metadata"]["labels"] for node in get(state, "nodes")["items"]]
    places = {(found["topology.kubernetes.io/region"], found["topology.kubernetes.io/zone"]) for found in labels}
    assert places == {("eu-west", "a"), ("eu-west", "b"), ("us-east", "a")}


def test_each_pod_of_a_deployment_answers_at_its_own_address(state: ClusterState, hello: list[Object]) -> None:
    names = {environment_of(found["status"]["podIP"])["POD"] for found in hello}
    assert names == {found["metadata"]["name"] for found in hello}


def test_pods_share_a_claims_folder_and_readiness_follows_the_probe(state: ClusterState, hello: list[Object]) -> None:
    (volume,) = state.volumes.iterdir()
    assert {environment_of(found["status"]["podIP"])["DATA"] for found in hello} == {str(volume)}
    (volume / "unready").touch()
    wait_for(state, "condition=Ready=false", "pods", "-l", "app=hello")
    (volume / "unready").unlink()
    wait_for(state, "condition=Ready", "pods", "-l", "app=hello")


def test_logs_are_what_the_process_wrote(state: ClusterState, hello: list[Object]) -> None:
    name = hello[0]["metadata"]["name"]
    assert kubectl(state, "logs", name, "--tail=-1").startswith(f"hello from {name}\n")


def test_logs_are_for_the_api_server_only(state: ClusterState) -> None:
    anybody = ssl.create_default_context(cafile=state.pki / "ca.crt")
    with pytest.raises(OSError, match=r"certificate required|closed connection"):
        urllib.request.urlopen(f"https://{state.node_address(0)}:10250/containerLogs/a/b/c", context=anybody, timeout=5)


def test_targets_of_prometheus_are_the_scraped_pods(state: ClusterState, hello: list[Object]) -> None:
    groups = json.loads((state.targets / "pods.json").read_text())
    shown = {group["targets"][0] for group in groups if group["labels"].get("app") == "hello"}
    assert shown == {f"{found['status']['podIP']}:8080" for found in hello}


def test_a_crashing_container_backs_off_and_shows_how_it_ended(state: ClusterState) -> None:
    apply(state, pod("crash", container("echo boom; exit 3")))
    wait_for(state, "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff", "pod/crash")
    shown = state_of(state, "crash")
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    assert shown["lastState"]["terminated"]["reason"] == "Error"
    assert shown["restartCount"] >= 1
    assert kubectl(state, "logs", "crash") == kubectl(state, "logs", "crash", "--previous") == "boom\n"


def test_a_job_runs_init_containers_first_and_completes(state: ClusterState) -> None:
    volumes = [{"name": "work", "emptyDir": {}}]
    mounts = [{"name": "work", "mountPath": "/work"}]
    init = {**container("echo prepared > /work/note", volumeMounts=mounts), "name": "init"}
    main = container("cat /work/note", volumeMounts=mounts)
    template = pod("job", main, initContainers=[init], volumes=volumes, restartPolicy="Never")
    apply(
        state,
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "job"},
            "spec": {"template": {"spec": template["spec"]}},
        },
    )
    wait_for(state, "condition=Complete", "job/job")
    (ran,) = get(state, "pods", "-l", "job-name=job")["items"]
    assert ran["status"]["phase"] == "Succeeded"
    assert ran["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert kubectl(state, "logs", "job/job", "-c", "main") == "prepared\n"


def test_a_missing_image_is_named_with_the_command_that_builds_it_and_a_build_heals_it(
    state: ClusterState, tmp_path: Path
) -> None:
    main = {**container("echo ran"), "image": "registry.example/hello:later"}
    apply(state, pod("later", main, restartPolicy="Never"))
    wait_for(state, "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff", "pod/later")
    assert "kvctl dev image build hello:later" in state_of(state, "later")["state"]["waiting"]["message"]
    until(lambda: "kvctl dev image build" in kubectl(state, "describe", "pod", "later"), "the event")
    build_hello(tmp_path, "later")
    wait_for(state, "jsonpath={.status.phase}=Succeeded", "pod/later")


def test_config_reaches_env_and_files_with_service_names_as_addresses(state: ClusterState) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "back"}}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    script = 'echo "$URL $WHO"; cat /etc/app/app.conf; test -r "$KUBECONFIG" && echo account'
    main = container(
        script,
        envFrom=[{"configMapRef": {"name": "settings"}}],
        env=[{"name": "URL", "value": "http://back.default.svc:$(PORT)"}],
        volumeMounts=[{"name": "conf", "mountPath": "/etc/app"}],
    )
    conf = {"name": "conf", "configMap": {"name": "settings", "items": [{"key": "conf", "path": "app.conf"}]}}
    apply(
        state,
        {**service, "spec": {"selector": {"app": "back"}, "ports": [{"port": 80}]}},
        {**settings, "data": {"PORT": "80", "WHO": "me", "conf": "to=back.default.svc\n"}},
        pod("configured", main, volumes=[conf], restartPolicy="Never"),
    )
    wait_for(state, "jsonpath={.status.phase}=Succeeded", "pod/configured")
    address = get(state, "service", "back")["spec"]["clusterIP"]
    assert kubectl(state, "logs", "configured") == f"http://{address}:80 me\nto={address}\naccount\n"


def test_an_account_may_do_through_its_kubeconfig_what_its_role_allows(state: ClusterState) -> None:
    script = f"{state.programs}/kubectl auth whoami -o jsonpath='{{.status.userInfo.username}}'"
    apply(state, pod("whoami", container(script), restartPolicy="Never"))
    wait_for(state, "jsonpath={.status.phase}=Succeeded", "pod/whoami")
    assert kubectl(state, "logs", "whoami") == "system:serviceaccount:default:default"


def test_a_failing_liveness_probe_restarts_the_container_and_says_why(state: ClusterState) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/flag/dead"]}, "periodSeconds": 1, "failureThreshold": 1}
    mounts = [{"name": "flag", "mountPath": "/flag"}]
    script = "test -e /flag/dead && rm /flag/dead || touch /flag/dead; exec sleep 1000"
    main = container(script, livenessProbe={**probe, "initialDelaySeconds": 1}, volumeMounts=mounts)
    apply(state, pod("sick", main, volumes=[{"name": "flag", "emptyDir": {}}]))
    wait_for(state, "jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/sick")
    assert "Liveness probe failed" in state_of(state, "sick")["lastState"]["terminated"]["message"]


def test_deletion_lets_the_process_end_in_its_own_way_then_leaves_nothing(state: ClusterState) -> None:
    script = "trap 'echo bye > /data/bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    main = container(script, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    apply(state, CLAIM, pod("slow", main, volumes=[SHARED]))
    wait_for(state, "condition=Ready", "pod/slow")
    until(lambda: "up" in kubectl(state, "logs", "slow"), "the trap")
    uid = get(state, "pod", "slow")["metadata"]["uid"]
    assert processes_of(state, uid)
    kubectl(state, "delete", "pod", "slow", "--wait", f"--timeout={WITHIN_S}s")
    assert processes_of(state, uid) == []
    (volume,) = state.volumes.iterdir()
    assert (volume / "bye").read_text() == "bye\n"
    until(lambda: not (state.pods / uid).exists(), "the removal of the pod's folder")


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace_with_its_children(state: ClusterState) -> None:
    script = "trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 0.1; done"
    apply(state, pod("stubborn", container(script), terminationGracePeriodSeconds=1))
    wait_for(state, "condition=Ready", "pod/stubborn")
    until(lambda: "up" in kubectl(state, "logs", "stubborn"), "the trap")
    uid = get(state, "pod", "stubborn")["metadata"]["uid"]
    kubectl(state, "delete", "pod", "stubborn", "--wait", f"--timeout={WITHIN_S}s")
    assert processes_of(state, uid) == []


def test_a_pod_removed_by_force_is_ended(state: ClusterState) -> None:
    apply(state, pod("forced", container("exec sleep 1000")))
    wait_for(state, "condition=Ready", "pod/forced")
    uid = get(state, "pod", "forced")["metadata"]["uid"]
    kubectl(state, "delete", "pod", "forced", "--force", "--grace-period=0")
    until(lambda: not processes_of(state, uid), "the end of the process")


def test_followed_logs_end_with_the_process(state: ClusterState) -> None:
    script = "for i in 1 2 3; do echo line $i; sleep 0.3; done"
    apply(state, pod("talker", container(script), restartPolicy="Never"))
    until(lambda: "phase" in get(state, "pod", "talker")["status"], "the pod's status")
    wait_for(state, "jsonpath={.status.startTime}", "pod/talker")
    until(lambda: get(state, "pod", "talker")["status"]["phase"] != "Pending", "the start")
    assert kubectl(state, "logs", "-f", "talker") == "line 1\nline 2\nline 3\n"
    assert kubectl(state, "logs", "talker", "--tail=1") == "line 3\n"


def test_pods_serve_while_the_api_server_is_away_and_are_governed_again_afterwards(
    state: ClusterState, hello: list[Object]
) -> None:
    asyncio.run(cluster.stop_part(NAME, "kube-apiserver"))
    assert environment_of(hello[0]["status"]["podIP"])["POD"] == hello[0]["metadata"]["name"]
    asyncio.run(cluster.start_part(NAME, "kube-apiserver"))
    apply(state, pod("after", container("echo ran"), restartPolicy="Never"))
    wait_for(state, "jsonpath={.status.phase}=Succeeded", "pod/after")
    assert get(state, "pod", hello[0]["metadata"]["name"])["metadata"]["uid"] == hello[0]["metadata"]["uid"]


def test_an_agent_that_was_killed_leaves_no_process_to_the_next_and_counts_a_restart(
    state: ClusterState, hello: list[Object]
) -> None:
    uid = hello[0]["metadata"]["uid"]
    before = processes_of(state, uid)
    agent = next(part for part in cluster.status(NAME).state.processes if part.name == "agent")
    os.kill(agent.pid, signal.SIGKILL)
    until(lambda: not process.is_alive(agent), "the agent's end")
    asyncio.run(cluster.start_part(NAME, "agent"))
    name = hello[0]["metadata"]["name"]
    wait_for(state, "jsonpath={.status.containerStatuses[0].restartCount}=1", f"pod/{name}")
    wait_for(state, "condition=Ready", f"pod/{name}")
    assert set(before).isdisjoint(processes_of(state, uid))
    assert state_of(state, name)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert get(state, "pod", name)["status"]["podIP"] == hello[0]["status"]["podIP"]


def test_a_stopped_agent_takes_all_processes_with_it(state: ClusterState, hello: list[Object]) -> None:
    asyncio.run(cluster.stop_part(NAME, "agent"))
    assert [pid for found in hello for pid in processes_of(state, found["metadata"]["uid"])] == []
    asyncio.run(cluster.start_part(NAME, "agent"))
    wait_for(state, "condition=Ready", "pods", "-l", "app=hello")


def test_a_claims_folder_goes_with_the_claim(state: ClusterState, hello: list[Object]) -> None:
    kubectl(state, "delete", "deployment", "hello", "--wait", "--cascade=foreground")
    kubectl(state, "delete", "pvc", "shared", "--wait", f"--timeout={WITHIN_S}s")
    until(lambda: not list(state.volumes.iterdir()), "the removal of the folder")
