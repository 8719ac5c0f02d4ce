"""What Prometheus is asked, and how its answers are read."""

from datetime import UTC, datetime, timedelta

from kvoperator.api.spec import Gate, KVClusterSpec, Region, Release, Rollout, Slo
from kvoperator.core.judge import observed_p95s, observed_rates, questions, read, scraped_pods
from kvoperator.core.rollout.model import Look

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOK = Look(canary="c0", stable="s0", since=NOW - timedelta(seconds=90.7))


def a_spec(gates: list[Gate], **latency: str) -> KVClusterSpec:
    return KVClusterSpec(
        release=Release(image="kv:1"),
        regions=[Region(name="eu-west", zones=["a"])],
        slo=Slo(latency={name[1:]: within for name, within in latency.items()} or {"95": "100ms"}),
        rollout=Rollout(gates=gates),
    )


def test_availability_counts_5xx_of_both_revisions_in_all_regions_since_the_share_began() -> None:
    (question,) = questions("shop", "kv", LOOK, a_spec([Gate.AVAILABILITY]), NOW)
    labels = 'namespace="shop",kvcluster_dev_cluster="kv",kvcluster_dev_revision=~"c0|s0",route="record"'
    by = "sum by (kvcluster_dev_region, kvcluster_dev_revision)"
    assert question.total == f"{by} (increase(kv_http_requests_total{{{labels}}}[90s]))"
    assert question.bad == f'{by} (increase(kv_http_requests_total{{{labels},code=~"5.."}}[90s]))'


def test_latency_counts_what_is_not_in_the_bucket_of_the_threshold() -> None:
    (question,) = questions("shop", "kv", LOOK, a_spec([Gate.LATENCY]), NOW)
    assert question.bad.startswith(f"{question.total} - sum by")
    assert 'le=~"0[.]1"' in question.bad
    assert question.objective.allowed == 0.05


def test_each_percentile_is_asked_for_and_whole_seconds_match_both_spellings() -> None:
    asked = questions("shop", "kv", LOOK, a_spec([Gate.LATENCY], p95="250ms", p99="1s"), NOW)
    assert [question.objective.bad for question in asked] == ["slower than 250ms", "slower than 1s"]
    assert 'le=~"1|1[.]0"' in asked[1].bad


def test_a_bake_asks_for_the_canary_alone() -> None:
    look = Look(canary="c0", stable=None, since=LOOK.since)
    assert 'kvcluster_dev_revision=~"c0"' in questions("shop", "kv", look, a_spec([Gate.AVAILABILITY]), NOW)[0].total


def test_scraped_pods_are_those_that_are_up() -> None:
    assert scraped_pods("shop", "kv") == (
        "count by (kvcluster_dev_region, kvcluster_dev_revision) "
        '(up{namespace="shop",kvcluster_dev_cluster="kv",kvcluster_dev_revision!=""} == 1)'
    )


def test_the_rate_of_a_region_is_that_of_all_its_revisions() -> None:
    series = 'kv_http_request_duration_seconds_count{namespace="shop",kvcluster_dev_cluster="kv",route="record"}'
    assert observed_rates("shop", "kv") == f"sum by (kvcluster_dev_region) (rate({series}[120s]))"


def test_the_p95_of_a_region_is_read_from_the_buckets_of_all_its_pods() -> None:
    series = 'kv_http_request_duration_seconds_bucket{namespace="shop",kvcluster_dev_cluster="kv",route="record"}'
    rates = f"sum by (kvcluster_dev_region, le) (rate({series}[120s]))"
    assert observed_p95s("shop", "kv") == f"histogram_quantile(0.95, {rates})"


def test_a_sample_of_a_whole_region_has_no_revision() -> None:
    assert read([{"metric": {"kvcluster_dev_region": "eu-west"}, "value": [0, "7"]}]) == {("eu-west", ""): 7.0}


def test_answers_without_a_number_or_without_labels_are_left_out() -> None:
    def series(revision: str, value: str) -> dict[str, object]:
        return {
            "metric": {"kvcluster_dev_region": "eu-west", "kvcluster_dev_revision": revision},
            "value": [1700000000, value],
        }

    result = [series("a", "12.5"), series("b", "NaN"), series("c", "+Inf"), series("d", "-0.1")]
    assert read([*result, {"metric": {}, "value": [1700000000, "1"]}]) == {
        ("eu-west", "a"): 12.5,
        ("eu-west", "d"): 0.0,
    }
    assert read([]) == {}
