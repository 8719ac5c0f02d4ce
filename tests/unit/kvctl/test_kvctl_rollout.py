"""`kvctl rollout` against a small stand-in for the API server: objects on loopback over HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvctl import main

Object = dict[str, Any]
Answer = tuple[int, Object]  # HTTP status and body
Kvctl = Callable[..., tuple[int, str, str]]  # arguments -> exit code, stdout, stderr

GROUP = "/apis/kvcluster.dev/v1alpha1/namespaces/shop/kvclusters"


def kvcluster(**rollout: object) -> Object:
    return {
        "metadata": {"name": "demo", "namespace": "shop", "generation": 2, "annotations": {}},
        "spec": {"release": {"image": "kv:2"}, "rollout": {"steps": [{"traffic": 5}, {"traffic": 25}]}},
        "status": {
            "observedGeneration": 2,
            "regions": [{"name": "eu-west", "ready": 4, "wanted": 4, "weights": {"aaa": 75, "bbb": 25}}],
            "rollout": {
                "phase": "Stepping",
                "step": 1,
                "traffic": 25,
                "stable": {"name": "aaa", "image": "kv:1"},
                "canary": {"name": "bbb", "image": "kv:2"},
                "verdicts": [
                    {
                        "region": "eu-west",
                        "gate": "latency",
                        "outcome": "NoData",
                        "canary": {"total": 12, "bad": 1},
                        "stable": {"total": 300, "bad": 2},
                        "message": "12 requests [of 20]",
                    }
                ],
                **rollout,
            },
            "conditions": [{"type": "Ready", "status": "True", "reason": "Serving", "message": "all well"}],
        },
    }


class Api:
    """Answers as a kube-apiserver does. `on_patch(cluster, request)` plays the operator."""

    url: str
    asked: Object

    def __init__(self) -> None:
        self.cluster, self.events, self.patches = kvcluster(), list[Object](), list[str]()
        self.refusal: Answer | None = None
        self.on_patch: Callable[[Object, Object], object] = lambda cluster, request: None
        self.on_get: Callable[[Object], object] = lambda cluster: None

    def get(self, path: str) -> Answer:
        if self.refusal:
            return self.refusal
        if path == f"{GROUP}/demo":
            self.on_get(self.cluster)
            return 200, self.cluster
        if path.startswith("/api/v1/namespaces/shop/events"):
            return 200, {"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": self.events}
        if path.startswith(GROUP):
            name = path.rsplit("/", 1)[1]
            return 404, {"message": f'kvclusters "{name}" not found', "details": {"name": name}}
        return 404, {"message": "the server could not find the requested resource", "details": {}}

    def patch(self, content_type: str, body: Object) -> Answer:
        self.patches.append(content_type)
        self.cluster["metadata"]["annotations"].update(body["metadata"]["annotations"])
        self.on_patch(self.cluster, json.loads(body["metadata"]["annotations"]["kvcluster.dev/request"]))
        return 200, self.cluster

    def event(self, reason: str, message: str) -> None:
        self.events.append(
            {
                "metadata": {"uid": str(len(self.events)), "name": f"e{len(self.events)}", "namespace": "shop"},
                "involvedObject": {"kind": "KVCluster", "name": "demo"},
                "reason": reason,
                "message": message,
                "lastTimestamp": f"2026-01-01T00:00:{len(self.events):02}Z",
            }
        )


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    served = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(*served.get(self.path))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(*served.patch(self.headers["Content-Type"], body))

        def answer(self, status: int, body: Object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "s", "cluster": {"server": served.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "s", "user": "u", "namespace": "shop"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("COLUMNS", "200")
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def kvctl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kvctl:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["rollout", *arguments], log=tmp_path / "trace")
        assert not (tmp_path / "trace").exists(), (tmp_path / "trace").read_text()
        return (code, *capsys.readouterr())

    return run


def test_status_shows_predicted_and_observed_latency_where_it_is_known(api: Api, kvctl: Kvctl) -> None:
    assert "p95" not in kvctl("status", "demo")[1]
    seen = {"qps": 810, "predictedP95Ms": 12, "at": "2026-01-01T00:00:00Z"}
    api.cluster["status"]["regions"][0]["latency"] = seen | {"observedP95Ms": 11.5}
    api.cluster["status"]["regions"].append({"name": "us-east", "latency": seen | {"qps": 0}})

    _, out, _ = kvctl("status", "demo")

    lines = [line.split() for line in out.splitlines() if "2026-01-01T00:00:00Z" in line]
    assert lines == [
        ["eu-west", "810", "12", "ms", "11.5", "ms", "2026-01-01T00:00:00Z"],
        ["us-east", "0", "12", "ms", "2026-01-01T00:00:00Z"],
    ]


def test_status_shows_step_weights_verdicts_and_what_they_saw(api: Api, kvctl: Kvctl) -> None:
    code, out, _ = kvctl("status", "demo")
    assert code == 0
    for shown in (
        "kv:1 (revision aaa)",
        "2 of 2: 25%",
        "aaa 75%, bbb 25%",
        "NoData",
        "1/12",
        "2/300",
        "12 requests [of 20]",
    ):
        assert shown in out


def test_status_as_json_is_the_status_itself(api: Api, kvctl: Kvctl) -> None:
    _, out, _ = kvctl("status", "demo", "--output", "json")
    assert json.loads(out) == {"name": "demo", "namespace": "shop", "status": api.cluster["status"]}


def test_status_of_a_cluster_that_no_operator_has_seen_is_no_error(api: Api, kvctl: Kvctl) -> None:
    del api.cluster["status"]
    code, out, _ = kvctl("status", "demo")
    assert code == 0
    assert "Unknown" in out


def test_watch_prints_a_line_per_change_and_ends_with_promotion(
    api: Api, kvctl: Kvctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvctl.rollout.command._WATCH_POLL_S", 0)
    phases = iter(["Stepping", "Stepping", "Baking", "Done"])
    api.on_get = lambda cluster: cluster["status"]["rollout"].update(phase=next(phases))
    code, out, _ = kvctl("watch", "demo")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["Stepping", "Baking", "Done"]


@pytest.mark.parametrize(("phase", "code"), [("Done", 0), ("RolledBack", 3), ("Frozen", 4)])
def test_watch_tells_the_outcome_by_its_exit_code(api: Api, kvctl: Kvctl, phase: str, code: int) -> None:
    api.cluster = kvcluster(phase=phase)
    assert kvctl("watch", "demo")[0] == code


def test_watch_waits_for_the_operator_to_see_the_newest_spec(
    api: Api, kvctl: Kvctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvctl.rollout.command._WATCH_POLL_S", 0)
    api.cluster = kvcluster(phase="Done")
    api.cluster["metadata"]["generation"] = 3
    phases = iter(["Done", "Done", "RolledBack"])

    def operate(cluster: Object) -> None:
        cluster["status"]["rollout"]["phase"] = phase = next(phases)
        cluster["status"]["observedGeneration"] = 3 if phase == "RolledBack" else 2

    api.on_get = operate
    assert kvctl("watch", "demo")[0] == 3


def test_watch_gives_up_in_the_end(api: Api, kvctl: Kvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvctl.rollout.command._WATCH_POLL_S", 0)
    code, _, err = kvctl("watch", "demo", "--timeout", "10ms")
    assert code == 1
    assert "has not come to rest in 10ms" in err


def take_up(api: Api, event: str, phase: str | None = None) -> None:
    """An operator that does, or refuses, what is asked."""

    def operate(cluster: Object, request: Object) -> None:
        api.asked = request
        cluster["status"]["rollout"]["lastRequest"] = request["id"]
        cluster["status"]["rollout"]["phase"] = phase or cluster["status"]["rollout"]["phase"]
        api.event(
            event, f"{request['verb']} asked for by {request['actor']}{' was refused: no' if 'Ref' in event else ''}"
        )

    api.on_patch = operate


@pytest.mark.parametrize("verb", ["promote", "abort", "pause", "resume", "retry"])
def test_a_request_names_verb_actor_and_the_canary_it_is_about(api: Api, kvctl: Kvctl, verb: str) -> None:
    take_up(api, "Requested")
    code, out, _ = kvctl(verb, "demo", "--as", "ann")
    assert code == 0
    assert out.startswith(f"{verb} asked for by ann: Stepping")
    assert {**api.asked, "id": ""} == {"id": "", "verb": verb, "actor": "ann", "revision": "bbb"}
    assert api.patches == ["application/merge-patch+json"]


def test_a_retry_names_the_refused_release(api: Api, kvctl: Kvctl) -> None:
    api.cluster = kvcluster(phase="RolledBack", canary=None, refused={"revision": "bad", "image": "kv:2"})
    api.cluster["status"]["rollout"]["refused"] |= {"reason": "GateFailed", "message": "slow"}
    take_up(api, "RetryRequested", phase="Preflight")
    assert kvctl("retry", "demo", "--as", "ann")[0] == 0
    assert api.asked["revision"] == "bad"


def test_a_refused_request_is_an_error_in_the_operators_words(api: Api, kvctl: Kvctl) -> None:
    api.event("RequestRefused", "pause asked for by ann was refused: long ago")
    take_up(api, "RequestRefused")
    code, _, err = kvctl("pause", "demo", "--as", "ann")
    assert (code, err) == (1, "kvctl: pause asked for by ann was refused: no\n")


def test_a_request_nobody_takes_up_is_said_so(api: Api, kvctl: Kvctl) -> None:
    code, _, err = kvctl("abort", "demo", "--timeout", "10ms")
    assert code == 1
    assert "nobody took up the request to abort demo" in err


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((404, {"message": "the server could not find the requested resource", "details": {}}), "knows no such kind"),
        ((403, {"message": "kvclusters is forbidden"}), "no access to KVCluster demo in namespace shop: kvclusters is"),
        ((401, {"message": "Unauthorized"}), "no access"),
        ((500, {"message": "etcd is away"}), "refused KVCluster demo in namespace shop: etcd is away"),
    ],
)
def test_refusals_of_the_api_server_are_one_clear_line(api: Api, kvctl: Kvctl, refusal: Answer, said: str) -> None:
    api.refusal = refusal
    code, _, err = kvctl("status", "demo")
    assert code == 1
    assert said in err
    assert err.count("\n") == 1


def test_a_name_that_is_not_there_is_said_with_its_namespace(api: Api, kvctl: Kvctl) -> None:
    code, _, err = kvctl("status", "other")
    assert (code, err) == (1, f"kvctl: there is no KVCluster other in namespace shop ({api.url})\n")


def test_no_answer_is_said_with_the_address(kvctl: Kvctl, api: Api, tmp_path: Path) -> None:
    text = (tmp_path / "kubeconfig").read_text().replace(api.url, "http://127.0.0.1:1")
    (tmp_path / "kubeconfig").write_text(text)
    code, _, err = kvctl("status", "demo")
    assert code == 1
    assert "no answer from the API server http://127.0.0.1:1" in err
    assert err.count("\n") == 1


def test_an_old_refusal_is_not_taken_for_the_answer(api: Api, kvctl: Kvctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvctl.rollout.asking._EVENT_WITHIN_S", 0)
    api.event("RequestRefused", "pause asked for by ann was refused: long ago")
    api.on_patch = lambda cluster, request: cluster["status"]["rollout"].update(lastRequest=request["id"])
    code, out, _ = kvctl("pause", "demo", "--as", "ann")
    assert code == 0
    assert out.startswith("pause taken up: Stepping")


def test_a_long_reason_is_cut_on_a_line_of_watch_but_not_in_status(api: Api, kvctl: Kvctl) -> None:
    reason = "so many words " * 30 + "and this one"
    api.cluster = kvcluster(
        phase="Frozen", hold={"reason": "NoData", "message": reason, "since": "2026-01-01T00:00:00Z"}
    )
    assert "…" in kvctl("watch", "demo")[1]
    assert "and this one" in " ".join(kvctl("status", "demo")[1].split())
