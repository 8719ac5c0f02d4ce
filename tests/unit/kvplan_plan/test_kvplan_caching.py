"""Che's approximation against a cache that is played read by read, and against what is known without it."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvplan.plan.caching import entries_of, hit_rate, zipf
from kvplan.plan.inputs import Workload
from kvplan.simulate.lru import lru

POINT = 0.01


@pytest.mark.counted
def test_hit_rates_are_within_a_point_of_a_cache_that_is_played(counted: Any) -> None:
    random = np.random.default_rng(20261129)
    worst = 0.0
    for number in range(counted(5, 40)):
        keys = int(random.integers(2_000, 50_000))
        skew, entries = random.uniform(0.3, 1.3), int(keys * random.uniform(0.02, 0.8))
        rate = 1000.0
        ttl = float(random.choice([0.2, 1.0, 5.0])) * entries / rate * 3
        played = lru(keys=keys, skew=skew, entries=entries, requests=400_000, rate=rate, ttl=ttl, seed=number)
        worst = max(worst, abs(hit_rate(zipf(keys, skew), entries=entries, rate=rate, ttl=ttl) - played))
    counted.tell(f"hit rate against a played LRU: {100 * worst:.2f} points at worst")
    assert worst <= POINT


def test_where_eviction_and_age_are_as_likely_hit_rates_are_within_half_a_point() -> None:
    cache = {"entries": 12_800, "rate": 1000.0, "ttl": 38.5}
    played = lru(keys=20_700, skew=0.38, requests=400_000, seed=1, **cache)  # type: ignore[arg-type]
    assert hit_rate(zipf(20_700, 0.38), **cache) == pytest.approx(played, abs=POINT / 2)


def test_without_eviction_a_record_hits_while_it_is_fresh() -> None:
    popularity = zipf(1, 1.0)
    assert hit_rate(popularity, entries=1, rate=3.0, ttl=2.0) == pytest.approx(6 / 7)


def test_without_a_time_to_live_a_cache_of_everything_always_hits() -> None:
    assert hit_rate(zipf(1000, 0.9), entries=1000, rate=10.0) == pytest.approx(1.0)


def test_equally_popular_records_hit_by_the_part_that_fits() -> None:
    assert hit_rate(zipf(5000, 0.0), entries=1500, rate=10.0) == pytest.approx(0.3, abs=1e-3)


@given(st.integers(200, 20_000), st.floats(0.0, 1.5))
@settings(max_examples=30)
def test_classes_of_popularity_have_all_records_and_all_reads(records: int, skew: float) -> None:
    popularity = zipf(records, skew)
    assert popularity.records.sum() == pytest.approx(records)
    assert popularity.share @ popularity.records == pytest.approx(1.0)


@pytest.mark.parametrize("skew", [0.6, 0.99, 1.0, 1.2])
def test_classes_say_what_single_records_would(skew: float) -> None:
    records, reads = 30_000, 20_000
    shares = np.arange(1, records + 1) ** -skew
    shares /= shares.sum()
    assert zipf(records, skew).share[0] == pytest.approx(shares[0], rel=1e-3)
    assert zipf(records, skew).distinct(reads) == pytest.approx(float(-np.expm1(-shares * reads).sum()), rel=2e-3)


@given(
    st.floats(0.3, 1.3),
    st.floats(1e3, 1e8),
    st.floats(0.01, 0.9),
    st.floats(1.1, 3.0),
    st.floats(10.0, 1e5),
    st.sampled_from([60.0, 3600.0, math.inf]),
)
@settings(max_examples=60)
def test_more_memory_hits_more_and_more_records_hit_less(
    skew: float, records: float, part: float, factor: float, rate: float, ttl: float
) -> None:
    def rated(entries: float, among: float) -> float:
        return hit_rate(zipf(among, skew), entries=entries, rate=rate, ttl=ttl)

    entries = records * part
    assert rated(entries * factor, records) >= rated(entries, records) - 1e-4
    assert rated(entries, records * factor) <= rated(entries, records) + 1e-3


def test_memory_holds_fewer_entries_than_values() -> None:
    workload = Workload(peak_qps=1, value_bytes=850, id_bytes=40)
    assert entries_of(1040 * 8, workload) == pytest.approx(7)
