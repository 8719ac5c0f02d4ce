"""Which keys are asked for, and which a cache has in the long run."""

import numpy as np
import pytest

from kvplan.scenario.keys import alias, popularity, warm


def test_popularity_is_zipfs_law() -> None:
    shares = popularity(50_000, 0.99)
    ranks = np.arange(1.0, 50_001) ** -0.99
    assert shares == pytest.approx(ranks / ranks.sum(), rel=1e-5)


def test_with_skew_1_too() -> None:
    ranks = 1 / np.arange(1.0, 20_001)
    assert popularity(20_000, 1.0) == pytest.approx(ranks / ranks.sum(), rel=1e-5)


def test_a_scaled_key_is_asked_for_as_often_as_one_of_those_it_stands_for() -> None:
    full, scaled = popularity(10_000, 0.8), popularity(10_000, 0.8, scale=10)
    assert scaled == pytest.approx(full.reshape(-1, 10).sum(axis=1))


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.5], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.0, 1.0]])
def test_an_alias_table_yields_the_shares(shares: list[float]) -> None:
    own, other = alias(np.array(shares))
    yielded = np.zeros(len(shares))
    for index in range(len(shares)):
        yielded[index] += own[index] / len(shares)
        yielded[other[index]] += (1 - own[index]) / len(shares)
    assert yielded == pytest.approx(shares, abs=1e-6)


def test_a_warm_cache_is_full_if_memory_binds_and_holds_the_popular() -> None:
    keys, fresh = warm(popularity(10_000, 0.99) * 1000, 1000, 3600.0, np.random.default_rng(1))
    assert 950 <= keys.size <= 1000
    assert np.isin(np.arange(20), keys).all()
    assert ((fresh >= 0) & (fresh < 3600)).all()


def test_a_warm_cache_has_what_its_ttl_lets_it_have() -> None:
    rates = np.full(10_000, 0.01)
    keys, _ = warm(rates, 10_000, 100.0, np.random.default_rng(1))
    assert keys.size / 10_000 == pytest.approx(0.5, abs=0.02)  # rate x TTL is 1: half of the time there


def test_no_room_holds_nothing() -> None:
    keys, fresh = warm(np.ones(5), 0, 10.0, np.random.default_rng(1))
    assert (keys.size, fresh.size) == (0, 0)
