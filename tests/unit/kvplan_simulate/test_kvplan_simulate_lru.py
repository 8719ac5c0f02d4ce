"""The simulated cache, against one that is a dictionary."""

import math
from collections import OrderedDict

import numpy as np
import pytest

from kvplan.errors import InputError
from kvplan.simulate.lru import lru


@pytest.mark.parametrize(
    ("keys", "entries", "ttl"), [(5000, 300, math.inf), (5000, 300, 20.0), (50, 1, 20.0), (50, 100, 2.0), (1, 1, 0.01)]
)
def test_each_read_is_a_hit_or_not_as_with_a_dictionary(keys: int, entries: int, ttl: float) -> None:
    found = lru(keys=keys, skew=0.9, entries=entries, requests=40_001, rate=100.0, ttl=ttl, seed=3)
    assert found == hit_rate_of_a_dictionary(keys, entries, ttl)


def hit_rate_of_a_dictionary(keys: int, entries: int, ttl: float) -> float:
    random = np.random.default_rng(3)
    upto = np.cumsum(np.arange(1, keys + 1) ** -0.9)
    read = np.searchsorted(upto, random.random(40_001) * upto[-1], side="right").tolist()
    filled = OrderedDict[int, float]()
    hits = []
    for key, time in zip(read, np.cumsum(random.exponential(0.01, 40_001)).tolist(), strict=True):
        hits.append(key in filled and time < filled[key] + ttl)
        if not hits[-1]:
            filled[key] = time
        filled.move_to_end(key)
        if len(filled) > entries:
            filled.popitem(last=False)
    return float(np.mean(hits[20_000:]))


def test_with_room_for_all_only_the_time_to_live_misses() -> None:
    """Of equally popular keys, each read with rate r: r ttl / (1 + r ttl)."""
    found = lru(keys=100, skew=0.0, entries=100, requests=200_000, rate=100.0, ttl=3.0, seed=1)
    assert found == pytest.approx(3 / 4, abs=0.005)


def test_equally_popular_keys_hit_by_the_share_that_fits() -> None:
    assert lru(keys=1000, skew=0.0, entries=300, requests=200_000, rate=1.0, ttl=math.inf, seed=1) == pytest.approx(
        0.3, abs=0.01
    )


def test_a_cache_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="entries is 0; expected a number above 0"):
        lru(keys=10, skew=1.0, entries=0, requests=10, rate=1.0, ttl=1.0, seed=1)
