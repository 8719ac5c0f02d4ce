"""What a calibration says: the fields of a plan's service, the reasons for the others, and errors in a sentence."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kvctl.calibrate.command import as_data, as_manifest, as_yaml, calibrate
from kvctl.calibrate.counts import Counts
from kvctl.calibrate.findings import Findings, findings
from kvctl.calibrate.source import of_pages, of_prometheus
from kvctl.errors import MeasureError
from kvoperator.api.spec import Workload
from kvplan.plan.inputs import Service
from kvservice.telemetry import Telemetry

FIELDS = {field.alias for field in Service.model_fields.values()}


class Pod:
    """A pod's counters; `work` is done before each look but the first."""

    def __init__(self) -> None:
        self.telemetry = Telemetry(edges_s=(), build="b", version="1", region="r", revision="s")
        self.cpu_s, self.looks = 0.0, 0
        self.page: Callable[[], tuple[int, str]] = self.metrics

    def serve(self, hits: int, misses: int, writes: int) -> None:
        for number in range(hits + misses):
            self.telemetry.request("GET", "record", 200, 0.0008 + 0.0004 * (number % 5))
            self.telemetry.filling("fresh" if number < hits else "stored")
        for _ in range(writes):
            self.telemetry.request("PUT", "record", 204, 0.004)
        self.cpu_s += 0.001 * hits + 0.002 * misses + 0.003 * writes

    def metrics(self) -> tuple[int, str]:
        if self.looks:
            self.serve(80 + 4 * (self.looks % 4), 6 * (self.looks % 3), 5 * (self.looks % 2))
        self.looks += 1
        lines = self.telemetry.page().decode().splitlines()
        cpu = f"process_cpu_seconds_total {self.cpu_s}"
        return 200, "\n".join([cpu if line.startswith("process_cpu_seconds_total ") else line for line in lines]) + "\n"


@pytest.fixture
def served() -> Iterator[tuple[Pod, str]]:
    """A page that is asked over HTTP, and its address."""
    pod = Pod()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = pod.page()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield pod, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def watched(url: str) -> Findings:
    seen = of_pages([url], 30, sleep=lambda _: None)
    return findings(seen.intervals, pod_seconds=30, pods=seen.pods)


def test_a_changing_load_tells_what_each_kind_costs(served: tuple[Pod, str]) -> None:
    service = watched(served[1]).service
    assert service["podRead"]["mean"] == pytest.approx(0.001)
    assert service["podMiss"]["mean"] == pytest.approx(0.002)
    assert service["podWrite"]["mean"] == pytest.approx(0.003)


def test_the_yaml_is_a_plans_service_and_names_every_field(served: tuple[Pod, str]) -> None:
    found = watched(served[1])
    text = as_yaml(found)
    assert Service.model_validate(yaml.safe_load(text)).pod_read.mean == pytest.approx(0.001)
    assert {field for field in FIELDS if field and field in text} == FIELDS
    assert "# clientNetwork: not measured: a pod does not see it" in text
    assert "# storeRead: not measured: the store was not asked" in text


def test_the_manifest_is_a_kvclusters_service_in_milliseconds(served: tuple[Pod, str]) -> None:
    service = yaml.safe_load(as_manifest(watched(served[1])))["spec"]["workload"]["service"]
    times = Workload.model_validate({"peakQPS": 1, "service": service}).service
    assert times["podRead"].mean_ms == pytest.approx(1.0)


def test_the_json_has_measured_and_not_measured_apart(served: tuple[Pod, str]) -> None:
    data = json.loads(json.dumps(as_data(watched(served[1]))))
    assert set(data["measured"]) == set(data["service"])
    assert set(data["measured"]) | set(data["notMeasured"]) == FIELDS


def counted(hits: float, misses: float, writes: float, cpu_s: float, other: float = 0.0) -> Counts:
    return Counts(cpu_s=cpu_s, hits=hits, reads=hits + misses, writes=writes, other=other)


def test_one_mixture_gives_an_average_to_the_kind_there_was_most_of_and_says_so() -> None:
    found = findings([counted(90, 5, 5, 0.12)] * 6, pod_seconds=30, pods=1)
    assert found.service == {"podRead": {"mean": 0.0012}}
    assert "an average over all kinds" in found.notes["podRead"]
    assert "could not be told from the other kinds" in found.notes["podWrite"]


def test_a_busy_pod_brings_a_warning_that_its_latencies_hold_waits() -> None:
    quiet = findings([counted(90, 0, 0, 0.1)] * 6, pod_seconds=30, pods=1)
    busy = findings([counted(90, 0, 0, 2.0)] * 6, pod_seconds=30, pods=1)
    assert quiet.warnings == ()
    assert "pods were 40% busy, above 30%: latencies hold waits" in busy.warnings[0]
    assert f"# Warning: {busy.warnings[0]}" in as_yaml(busy)


def test_requests_of_other_kinds_bring_a_warning() -> None:
    found = findings([counted(90, 0, 0, 0.1, other=10)] * 6, pod_seconds=30, pods=1)
    assert "10.0% of the requests were neither reads nor writes of one record" in found.warnings[0]


def test_no_requests_in_between_are_said_so() -> None:
    with pytest.raises(MeasureError, match="no record was read or written in between"):
        findings([Counts()] * 6, pod_seconds=30, pods=1)


def test_a_pod_that_began_anew_is_left_out_until_it_is_steady(served: tuple[Pod, str]) -> None:
    pod, url = served
    plain, looks = pod.metrics, 0

    def restarted_once() -> tuple[int, str]:
        nonlocal looks
        looks += 1
        if looks == 4:
            pod.telemetry, pod.cpu_s = Telemetry(edges_s=(), build="b", version="1", region="r", revision="s"), 0.0
        return plain()

    pod.page = restarted_once
    seen = of_pages([url], 30, sleep=lambda _: None)
    assert len(seen.intervals) == 5
    assert all(each.cpu_s > 0 for each in seen.intervals)


def test_nobody_there_is_said_in_a_sentence() -> None:
    with pytest.raises(MeasureError, match=r"http://127.0.0.1:1/metrics gives no answer: .+"):
        of_pages(["http://127.0.0.1:1/metrics"], 30)


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (404, "", "answers 404, expected 200"),
        (200, "<html>hello</html>", "is no metrics page of a pod of this service"),
        (200, "go_goroutines 5\n", "is no metrics page of a pod of this service"),
    ],
)
def test_another_page_is_said_to_be_so(served: tuple[Pod, str], status: int, text: str, said: str) -> None:
    pod, url = served
    pod.page = lambda: (status, text)
    with pytest.raises(MeasureError, match=said):
        of_pages([url], 30)


def as_prometheus(pod: Pod) -> Callable[[], tuple[int, str]]:
    """What Prometheus has of the pod at one moment."""

    def answer() -> tuple[int, str]:
        families = text_string_to_metric_families(pod.metrics()[1])
        result: list[Any] = [
            {"metric": {**one.labels, "__name__": one.name, "pod": "kv-1"}, "value": [0, str(one.value)]}
            for family in families
            for one in family.samples
        ]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})

    return answer


def test_prometheus_tells_the_same_as_the_pod(served: tuple[Pod, str]) -> None:
    pod, url = served
    pod.page = as_prometheus(pod)
    seen = of_prometheus(url, "demo", "default", 60)
    assert seen.pods == 1
    assert findings(seen.intervals, pod_seconds=60, pods=1).service["podMiss"]["mean"] == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps({"data": {"result": []}}), "has no metrics of a KVCluster demo in namespace default"),
        ("hello", "does not answer as Prometheus does: 'hello'"),
    ],
)
def test_a_prometheus_that_knows_nothing_is_said_so(served: tuple[Pod, str], text: str, said: str) -> None:
    pod, url = served
    pod.page = lambda: (200, text)
    with pytest.raises(MeasureError, match=said):
        of_prometheus(url, "demo", "default", 60)


def test_the_command_prints_what_a_plan_reads(served: tuple[Pod, str], capsys: pytest.CaptureFixture[str]) -> None:
    pod, url = served
    pod.page = as_prometheus(pod)
    calibrate(prometheus=url, cluster="demo", seconds=60)
    service = Service.model_validate(yaml.safe_load(capsys.readouterr().out))
    assert service.pod_write.mean == pytest.approx(0.003)
