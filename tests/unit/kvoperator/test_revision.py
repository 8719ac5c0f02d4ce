"""What makes another revision, and what does not."""

import pytest

from kvoperator.api.spec import Cache, Gate, KVClusterSpec, Limits, Region, Release, Rollout, Slo, Step
from kvoperator.core.revision import revision


def a_spec(**changes: object) -> KVClusterSpec:
    base = {"release": Release(image="kv:1"), "regions": [Region(name="eu-west", zones=["a"])]}
    return KVClusterSpec.model_validate(base | changes)


def test_golden_names_so_that_an_upgrade_of_the_operator_rolls_nothing() -> None:
    """If this fails, every KVCluster in the world would start a rollout. Do not update the names; undo the change."""
    odd = a_spec(
        release=Release(image="registry.example/team/kv:1.5.0"),
        cache=Cache(ttl="1h30m"),
        limits=Limits(value_bytes=5, id_bytes=7),
        slo=Slo(latency={"50": "5ms", "99.9": "1s"}),
    )
    assert (revision(a_spec()).name, revision(odd).name) == ("3a9aebbfc6", "56f36d4f70")


def test_config_holds_the_settings_that_all_regions_share() -> None:
    assert revision(
        a_spec(cache=Cache(ttl="90s"), slo=Slo(latency={"99": "250ms", "95": "100ms", "50": "1s"}))
    ).config == {
        "KV_CACHE_TTL_S": "90",
        "KV_LATENCY_EDGES_S": "0.1,0.25,1",
        "KV_MAX_ID_BYTES": "512",
        "KV_MAX_VALUE_BYTES": "1048576",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"release": Release(image="kv:2")},
        {"cache": Cache(ttl="1m")},
        {"limits": Limits(value_bytes=1)},
        {"limits": Limits(id_bytes=1)},
        {"slo": Slo(latency={"95": "101ms"})},
    ],
)
def test_what_a_pod_runs_makes_another_revision(changes: dict[str, object]) -> None:
    assert revision(a_spec(**changes)).name != revision(a_spec()).name


@pytest.mark.parametrize(
    "changes",
    [
        {"regions": [Region(name="us-east", zones=["b"], replicas=9)]},
        {"rollout": Rollout(steps=[Step(traffic=1)], gates=[Gate.LATENCY])},
        {"slo": Slo(availability=95)},
        {"slo": Slo(latency={"90": "100ms", "98": "250ms"})},
        {"cache": Cache(ttl="600s", image="redis:8", memory="1Gi")},
    ],
)
def test_all_else_keeps_the_revision(changes: dict[str, object]) -> None:
    assert revision(a_spec(**changes)) == revision(a_spec())
