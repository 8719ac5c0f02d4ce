"""`kvctl plan` as its user sees it: the real planner on a small case."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvctl import main

FEW = ("--samples", "2")
CLUSTER: dict[str, Any] = {
    "apiVersion": "kvcluster.dev/v1alpha1",
    "kind": "KVCluster",
    "metadata": {"name": "small"},
    "spec": {
        "release": {"image": "kvservice:1.0.0"},
        "regions": [{"name": "eu-west", "zones": ["a", "b", "c"], "replicas": "auto"}],
        "storage": {"cassandra": {"nodesPerRegion": 3, "size": "50Gi"}},
        "slo": {"latency": {"95": "100ms"}},
        "workload": {"peakQPS": 400, "records": 100_000},
    },
}
PLAN: dict[str, Any] = {
    "workload": {"peakQps": 400, "records": 100_000},
    "regions": [{"name": "eu-west", "share": 1}],
    "months": 1,
}


def written(path: Path, *documents: Any) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


@pytest.fixture
def cluster(tmp_path: Path) -> str:
    return written(tmp_path / "cluster.yaml", CLUSTER)


@pytest.fixture
def small(tmp_path: Path) -> str:
    return written(tmp_path / "small.yaml", PLAN)


def run(tmp_path: Path, *arguments: str) -> int:
    return main.run(["plan", *arguments], log=tmp_path / "last-error.log")


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line that must succeed; returns what it printed."""

    def told(*arguments: str) -> str:
        code = run(tmp_path, *arguments)
        said = capsys.readouterr()
        assert (code, said.err.count("kvctl:")) == (0, 0), said.err
        return said.out

    return told


def test_a_manifest_is_planned(told: Any, cluster: str) -> None:
    page = told("-f", cluster, "--months", "2", *FEW)

    assert "400 requests/s at peak, 95 % reads of 2 KiB" in page
    assert [line.split()[:2] for line in page.splitlines() if line.startswith("eu-west")][:2] == [
        ["eu-west", "1"],
        ["eu-west", "2"],
    ]
    for part in ("Sizes", "States at peak", "zone lost", "Cost a month", "egress", "Month by month", "Bottleneck: "):
        assert part in page


def test_a_draft_ends_with_what_to_write_into_it(told: Any, tmp_path: Path) -> None:
    page = told("-f", written(tmp_path / "draft.yaml", _draft()), "--months", "1", *FEW)

    sizes = yaml.safe_load(page.split("To write into the manifest:\n")[1].split("\n\n")[0])["spec"]
    assert sizes["storage"]["cassandra"]["nodesPerRegion"] >= 3
    assert sizes["regions"][0]["replicas"] >= 2
    assert sizes["cache"].keys() == {"shards", "memory"}
    held = told("-f", written(tmp_path / "held.yaml", _draft(**sizes)), "--months", "1", *FEW)
    assert "do not hold" not in held


def test_sizes_that_do_not_hold_may_be_chosen_anew(told: Any, tmp_path: Path) -> None:
    busy = {"peakQPS": 2000, "records": 100_000}
    tiny = written(tmp_path / "tiny.yaml", _draft(workload=busy, cache={"shards": 1}, regions=[{"replicas": 1}]))

    assert "do not hold what is asked for. Which do: kvctl plan --resize" in told("-f", tiny, "--months", "1", *FEW)
    assert "do not hold" not in told("-f", tiny, "--resize", "--months", "1", *FEW)


def _draft(**sizes: Any) -> dict[str, Any]:
    """A manifest that says little but the workload, and these sizes."""
    spec = {**CLUSTER["spec"], "storage": {"cassandra": {}}, **sizes}
    spec["regions"] = [{"name": "eu-west", "zones": ["a", "b", "c"], **region} for region in sizes.get("regions", [{}])]
    return {**CLUSTER, "spec": spec}


def test_a_state_that_does_not_hold_says_why(told: Any, tmp_path: Path) -> None:
    few = written(
        tmp_path / "few.yaml", {**PLAN, "workload": {"peakQps": 9000}, "regions": [{**PLAN["regions"][0], "pods": 3}]}
    )

    page = told("-f", few, *FEW)

    assert "eu-west, normal: unstable: at 9000 requests/s, pod gets" in page
    assert "0 of 3 states hold" in page


def test_objects_beside_the_cluster_are_passed_over(told: Any, tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    both = written(tmp_path / "both.yaml", namespace, CLUSTER)

    assert "400 requests/s at peak" in told("-f", both, "--months", "1", *FEW)


def test_a_plan_file_may_come_from_standard_input(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(yaml.safe_dump(PLAN)))

    assert "400 requests/s at peak" in told("-f", "-", *FEW)


def test_what_takes_long_is_said_on_standard_error(
    tmp_path: Path, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "-f", small, *FEW) == 0
    assert capsys.readouterr().err == "planning 1 month of eu-west, in 2 worlds\n"


def test_json_is_all_of_the_plan(told: Any, small: str) -> None:
    made = json.loads(told("-f", small, "-o", "json", *FEW))

    assert set(made) == {"inputs", "numbers", "months", "states", "bottleneck", "next_bottleneck", "notes"}
    assert made["inputs"]["workload"]["peakQps"] == 400


def test_measured_times_and_own_prices_enter_the_plan(told: Any, tmp_path: Path, small: str) -> None:
    service = written(tmp_path / "service.yaml", {"podRead": {"mean": 0.0031, "cv": 0.4}})
    made = json.loads(told("-f", small, "--service", service, "--prices", "aws-like", "-o", "json", *FEW))

    assert made["inputs"]["service"]["podRead"]["mean"] == 0.0031
    assert made["inputs"]["service"]["podWrite"]["cv"] == 0.5
    assert made["months"][0]["bill"]["price_table"] == "aws-like of 2025-06-01"


def test_a_simulated_plan_says_so(told: Any, small: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kvctl.plan.command._SIMULATED", 3000)

    assert "Simulated: latencies of the states" in told("-f", small, "--simulate", *FEW)


def test_a_number_is_explained(told: Any, small: str) -> None:
    page = told("explain", "-f", small, "workload.reads-qps", *FEW)

    assert page.splitlines() == [
        "workload.reads-qps: 380 requests/s",
        "  = 400 requests/s x 0.95, at peak",
    ]


def test_a_number_is_explained_to_programs(told: Any, small: str) -> None:
    found = json.loads(told("explain", "-f", small, "workload.reads-qps", "-o", "json", *FEW))

    assert found["workload.reads-qps"]["value"] == 380


def test_without_a_number_all_are_listed(told: Any, small: str) -> None:
    page = told("explain", "-f", small, *FEW)

    assert "cost.total" in page
    assert "regions.eu-west.pods" in page


def test_mitigations_are_tried_on_the_very_workload(told: Any, small: str) -> None:
    tried = json.loads(told("mitigations", "-f", small, "-o", "json"))

    assert {"near_cache", "hedging", "more_pods"} <= {each["name"].replace(" ", "_") for each in tried}
    assert all(each["p95_before"] == tried[0]["p95_before"] for each in tried)


@pytest.mark.parametrize(("output", "begins"), [("markdown", "# Capacity plan"), ("html", "<!doctype html>")])
def test_a_report_has_the_mitigations_too(told: Any, small: str, output: str, begins: str) -> None:
    page = told("-f", small, "-o", output, *FEW)

    assert page.startswith(begins)
    assert "What would help" in page


def test_a_saved_plan_is_compared_with_a_file(told: Any, tmp_path: Path, small: str) -> None:
    saved = tmp_path / "saved.json"
    saved.write_text(told("-f", small, "-o", "json", *FEW))
    larger = written(tmp_path / "larger.yaml", {**PLAN, "workload": {"peakQps": 4000, "records": 100_000}})

    rows = json.loads(told("compare", str(saved), larger, "-o", "json", *FEW))

    assert {"month": "1", "what": "peak", "a": "400 requests/s", "b": "4,000 requests/s"} in rows
    assert "eu-west: pods" in [row["what"] for row in rows]
    assert all(row["a"] != row["b"] for row in rows)


def test_the_same_plan_does_not_differ(told: Any, small: str) -> None:
    assert "Nothing differs." in told("compare", small, small, *FEW)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to plan: kvctl plan -f FILE"),
        (["-f", "none.yaml"], "none.yaml cannot be read: No such file or directory"),
        (["-f", "SMALL", "--prices", "gcp"], "there is no price table gcp; expected aws-like or generic"),
        (["-f", "SMALL", "--months", "0"], "Invalid value for '--months'"),
        (["-f", "SMALL", "--service", "none.yaml"], "none.yaml cannot be read"),
        (["-f", "SMALL", "--service", "EMPTY"], "has 0 documents; expected times of the service, as kvctl calibrate"),
        (["explain", "-f", "SMALL", "cost.totl", *FEW], "the plan has no number cost.totl; did you mean cost.total"),
        (["explain", "-f", "SMALL", "xyzzy", *FEW], "the plan has no number xyzzy. All names: kvctl plan explain -f "),
        (["compare", "SMALL"], "Missing argument"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small: str, arguments: list[str], said: str
) -> None:
    empty = written(tmp_path / "empty.yaml")
    assert run(tmp_path, *({"SMALL": small, "EMPTY": empty}.get(each, each) for each in arguments)) == 2
    assert said in _one_line(capsys)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("a: [", "is not YAML: while parsing"),
        ("", "has 0 documents; expected one KVCluster, or one plan file with a workload"),
        ("- 1", "has one document, without fields; expected one KVCluster"),
        (yaml.safe_dump({**PLAN, "workload": {"peakQps": -5}}), "workload.peakQps is -5; expected a number above 0"),
        (
            yaml.safe_dump({**PLAN, "regions": [{"name": "a", "share": 0.9}]}),
            "the regions' shares sum to 0.9; expected 1",
        ),
        (yaml.safe_dump_all([CLUSTER, CLUSTER]), "has 2 documents; expected one KVCluster"),
        (
            yaml.safe_dump({**CLUSTER, "spec": {**CLUSTER["spec"], "workload": {"peakQPS": -5}}}),
            "spec.workload.peakQPS: -5",
        ),
        (
            yaml.safe_dump({**CLUSTER, "spec": {k: v for k, v in CLUSTER["spec"].items() if k != "workload"}}),
            "workload",
        ),
        (json.dumps({"inputs": {}, "months": [], "states": []}), "this is no saved plan"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small: str, document: str, said: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(document)

    assert run(tmp_path, "compare", str(file), small, *FEW) == 2
    line = _one_line(capsys)
    assert said in line
    assert str(file) in line


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("planning ")]
    assert len(lines) == 1
    return lines[0]


def test_the_command_line_starts_without_the_planner() -> None:
    large = ("numpy", "scipy", "matplotlib")
    program = f"import sys, kvctl.main; print([name for name in {large} if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
