"""Lint says what is wrong in sentences, and what is unwise as warnings. Many wrong manifests: tests/contract."""

from typing import Any

import pytest

from kvoperator.api.lint import Finding, Severity, lint


def manifest(**spec: Any) -> dict[str, Any]:
    regions = [{"name": "eu-west", "zones": ["a", "b"]}]
    spec = {"release": {"image": "kvservice:1.0.0"}, "regions": regions, **spec}
    return {"apiVersion": "kvcluster.dev/v1alpha1", "kind": "KVCluster", "metadata": {"name": "demo"}, "spec": spec}


def said(**spec: Any) -> list[str]:
    return [str(finding) for finding in lint(manifest(**spec))]


def test_nothing_is_said_of_a_good_manifest() -> None:
    assert lint(manifest()) == []


def test_a_finding_has_field_value_and_rule() -> None:
    assert lint(manifest(slo={"availability": 101})) == [
        Finding("spec.slo.availability", 101, "101 must be less than 100", Severity.ERROR)
    ]


def test_all_errors_are_told_at_once() -> None:
    assert len(said(cache={"ttl": "5"}, limits={"idBytes": 0}, deletionPolicy="keep")) == 3


@pytest.mark.parametrize("percentile", [95, "95", 95.0])
def test_a_percentile_may_be_a_number_to_yaml(percentile: object) -> None:
    assert lint(manifest(slo={"latency": {percentile: "100ms", 99.9: "1s"}})) == []


def test_what_kubectl_get_adds_is_no_error() -> None:
    shown = manifest()
    shown["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1, "managedFields": [], "annotations": {}}
    assert lint(shown | {"status": {"phase": "Done"}}) == []


def test_a_manifest_of_something_else_gets_no_other_errors() -> None:
    other = {"apiVersion": "v1", "kind": "Secret", "data": {}}
    assert [finding.path for finding in lint(other)] == ["apiVersion", "kind"]


def test_a_default_may_break_a_rule_too() -> None:
    sentence = "hold 5m is shorter than rollout.interval 6m: no look at the gates would fit"
    assert said(rollout={"interval": "6m"}) == [f"spec.rollout.steps[0].hold: {sentence}"]


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        ({"release": {"image": "kvservice"}}, "spec.release.image: kvservice may mean another build tomorrow"),
        ({"release": {"image": "r.example:5000/kv:latest"}}, "spec.release.image: r.example:5000/kv:latest may mean"),
        ({"cache": {"image": "redis"}}, "spec.cache.image: redis may mean another build tomorrow"),
        ({"regions": [{"name": "eu", "zones": ["a", "b"], "replicas": 1}]}, "spec.regions[0].replicas: 1 pod cannot"),
        ({"regions": [{"name": "eu", "zones": ["a"]}]}, "spec.regions[0].zones: a is the only zone"),
        (
            {"regions": [{"name": "eu", "zones": ["a", "b"], "replicas": "auto"}], "workload": {"peakQPS": 1}},
            "spec.workload.service: auto is sized by the planner's guesses",
        ),
        ({"rollout": {"bake": "0s"}}, "spec.rollout.bake: 0s leaves no time in which to go back"),
    ],
)
def test_what_is_legal_but_unwise_is_a_warning(spec: dict[str, Any], warning: str) -> None:
    (finding,) = lint(manifest(**spec))
    assert finding.severity is Severity.WARNING
    assert str(finding).startswith(warning)


def test_a_digest_needs_no_tag() -> None:
    assert lint(manifest(release={"image": f"kvservice@sha256:{'0' * 64}"})) == []
