"""How much arrives where, and how evenly."""

import pytest

from kvplan.laws import Gamma, LogNormal
from kvplan.model.flows import Extras, traffics
from kvplan.system import Class, Pause, Station, System, Visit

FIRST = Visit("first", LogNormal(0.8, 0.3))


def in_line(*visits: Visit, scv: float = 1.0, pools: int = 1) -> System:
    """At 1 request a second a pool."""
    stations = tuple(Station(visit.station, pools=pools) for visit in visits)
    return System(float(pools), stations, (Class("all", 1.0, visits),), scv=scv)


def test_copies_hedges_and_tries_are_visits_too() -> None:
    hedged = Visit("store", LogNormal(0.01, 0.5), hedge_after=0.02)
    quorum = Visit("store", LogNormal(0.02, 0.5), copies=3, needed=2)
    system = System(10, (Station("store", pools=5),), (Class("read", 0.9, (hedged,)), Class("write", 0.1, (quorum,))))
    (store,) = traffics(system, Extras({"write": 2.0}, {hedged: 0.5})).values()
    assert store.rate == pytest.approx((9 * 1.5 + 1 * 3 * 2) / 5)
    assert store.utilisation == pytest.approx((9 * 1.5 * 0.01 + 1 * 3 * 2 * 0.02) / 5)
    assert [law for _, law in store.laws] == [hedged.law, quorum.law]
    assert [share for share, _ in store.laws] == pytest.approx([13.5 / 19.5, 6 / 19.5])


def test_a_station_without_work_has_no_traffic() -> None:
    system = System(1, (Station("idle"),), (Class("all", 1.0, (Pause("way", Gamma(1.0, 1.0)),)),))
    assert traffics(system, Extras()) == {}


def test_exponential_servers_pass_on_a_poisson_stream() -> None:
    found = traffics(in_line(*(Visit(name, Gamma(0.8, 1.0)) for name in "abc")), Extras())
    assert [each.scv for each in found.values()] == pytest.approx([1.0, 1.0, 1.0])


def test_a_stream_split_at_random_is_more_like_poissons() -> None:
    for pools in (1, 4):
        (first,) = traffics(in_line(FIRST, scv=0.4, pools=pools), Extras()).values()
        assert first.scv == pytest.approx(1 - 0.6 / pools)


def test_behind_a_busy_even_server_arrivals_are_even() -> None:
    """Nearly as between single departures: 1 - load^2 x (1 - .2), Whitt's least SCV of services being .2."""
    found = traffics(in_line(FIRST, Visit("second", LogNormal(0.05, 0.3))), Extras())
    assert found["second"].scv == pytest.approx(1 - 0.64 * 0.8, abs=0.01)


def test_a_busy_server_hides_how_even_its_own_arrivals_are() -> None:
    """Of the excess, 1 - load^2 is left between single departures."""
    found = traffics(in_line(Visit("first", Gamma(0.8, 1.0)), Visit("second", LogNormal(0.05, 0.3)), scv=0.4), Extras())
    assert found["second"].scv == pytest.approx(1 - 0.6 * 0.36, abs=0.01)


def test_a_queue_with_a_long_memory_sees_past_the_server_before_it() -> None:
    scvs = [
        traffics(in_line(FIRST, Visit("second", LogNormal(load, 0.3))), Extras())["second"].scv
        for load in (0.5, 0.8, 0.9, 0.97, 0.995)
    ]
    assert scvs == sorted(scvs)
    assert scvs[0] < 0.55
    assert scvs[-1] > 0.97


def test_many_streams_together_are_like_poissons_to_a_queue_that_is_seldom_busy() -> None:
    sources = tuple(Station(f"source {each}") for each in range(20))
    ways = tuple(
        Class(each.name, 1 / 20, (Visit(each.name, LogNormal(0.8, 0.3)), Visit("target", LogNormal(0.01, 0.5))))
        for each in sources
    )
    found = traffics(System(20, (*sources, Station("target")), ways), Extras())
    assert found["target"].scv == pytest.approx(1.0, abs=0.02)
