"""The two ways through a system, station by station and event by event, are one in law; what they draw, and what they
say of how sure they are."""

import numpy as np
import pytest
from scipy import stats

from kvplan.errors import InputError
from kvplan.laws import Deterministic, Empirical, Floats, Gamma, Law, LogNormal
from kvplan.simulate import Run, run
from kvplan.simulate.compiled import compiled
from kvplan.simulate.memory import by_events
from kvplan.simulate.stages import by_stages, order
from kvplan.system import Balancing, Class, Pause, Station, Step, System, Visit

LAWS = [Deterministic(2.0), LogNormal(2.0, 0.3), LogNormal(2.0, 1.5), Gamma(2.0, 1.0), Gamma(2.0, 0.3), Gamma(2.0, 1.5)]
MEASURED = Empirical((0.5, 1.0, 4.0, 20.0), (50.0, 0.0, 1.0))

PAUSE = Pause("network", Gamma(0.001, 1.0))
TANDEM = System(
    1000.0,
    (Station("a", 2), Station("b", 8), Station("c", pools=4), Station("idle")),
    (
        Class("x", 0.7, (PAUSE, Visit("a", LogNormal(0.0014, 1.5)), Visit("b", LogNormal(0.0064, 0.5)), PAUSE)),
        Class("y", 0.3, (Visit("a", Gamma(0.001, 0.5)), Visit("c", LogNormal(0.008, 1.0), hop=PAUSE.law)), True),
    ),
    scv=2.0,
)


@pytest.fixture(scope="module")
def both_ways() -> tuple[Run, Run]:
    stations, random = order(TANDEM), np.random.default_rng
    assert stations is not None
    return by_stages(TANDEM, stations, 300_000, 30_000, random(1)), by_events(TANDEM, 300_000, 30_000, random(2))


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("percentile", [None, 50, 95, 99])
def test_both_ways_show_the_same_latencies(name: str, percentile: float | None, both_ways: tuple[Run, Run]) -> None:
    ours, theirs = (shown.interval(percentile, name) for shown in both_ways)
    apart, margin = (sum(ours) - sum(theirs)) / 2, np.hypot(ours[1] - ours[0], theirs[1] - theirs[0])
    assert abs(apart) < margin < 0.5 * ours[0]


def test_both_ways_show_the_same_use_and_waits(both_ways: tuple[Run, Run]) -> None:
    ours, theirs = both_ways
    assert ours.utilisation == pytest.approx(TANDEM.loads(), rel=0.02)
    assert theirs.utilisation == pytest.approx(TANDEM.loads(), rel=0.02)
    assert ours.waits == pytest.approx(theirs.waits, rel=0.2)


def test_only_what_does_not_come_back_and_has_one_answer_goes_station_by_station() -> None:
    def ordered(*steps: Step, balancing: Balancing = Balancing.RANDOM, timeout: float | None = None) -> bool:
        stations = (Station("a", pools=3, balancing=balancing), Station("b"))
        return order(System(0.1, stations, (Class("all", 1.0, steps),), timeout=timeout)) is not None

    law = Deterministic(1.0)
    a, b = Visit("a", law), Visit("b", law)
    assert ordered(a, b)
    assert not ordered(a, b, a)
    assert not ordered(a, a)
    assert not ordered(a, balancing=Balancing.ROUND_ROBIN)
    assert not ordered(a, timeout=1.0)
    assert order(System(0.1, (Station("a", in_turns=True),), (Class("all", 1.0, (a,)),))) is None
    assert not ordered(Visit("a", law, copies=2), b)
    assert not ordered(Visit("a", law, hedge_after=2.0), b)
    assert order(System(0.1, (Station("a"), Station("b")), (Class("x", 0.5, (a, b)), Class("y", 0.5, (b, a))))) is None


@pytest.mark.parametrize("law", [*LAWS, MEASURED], ids=repr)
def test_draws_have_the_law(law: Law) -> None:
    draws = law.draw(np.random.default_rng(1), 1_000_000)
    assert draws.mean() == pytest.approx(law.mean, abs=4e-3 * law.mean * law.scv**0.5 + 1e-12)
    if law.scv:
        above = (draws > law.quantile(np.array([0.999]))).mean()
        assert above == pytest.approx(0.001, abs=1.3e-4)  # four deviations
        assert stats.ks_1samp(draws[:20_000], law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("law", [*LAWS, MEASURED], ids=repr)
def test_services_and_pauses_are_drawn_by_their_law(law: Law) -> None:
    """Of requests that never wait, so that their latency is the drawn time; in blocks, many of them."""
    for step in (Visit("a", law), Pause("p", law)):
        system = System(1e-3, (Station("a", servers=50),), (Class("all", 1.0, (step,)),), timeout=1e6)
        latencies = run(system, requests=60_000, seed=1, warmup=0.0).latencies
        if law.scv:
            assert ks(latencies, law) > 1e-4
        else:
            assert latencies == pytest.approx(2.0)


def test_there_is_room_for_very_many_at_once() -> None:
    """Twenty thousand in service, and timeouts of all the others, while the memory grows."""
    law = Gamma(2.0, 1.0)
    station = Station("a", servers=50_000)
    system = System(10_000.0, (station,), (Class("all", 1.0, (Visit("a", law),)),), timeout=1e6)
    assert ks(run(system, requests=100_000, seed=1, warmup=0.0).latencies, law) > 1e-4


def ks(times: Floats, law: Law) -> float:
    return float(stats.ks_1samp(times, law.cdf).pvalue)


def test_an_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    """Of 100 runs of M/M/1, whose p90 is known: 95 % of them, give or take four deviations."""
    system = System(0.5, (Station("a"),), (Class("all", 1.0, (Visit("a", Gamma(1.0, 1.0)),)),))
    intervals = [run(system, requests=20_000, seed=seed).interval(90) for seed in range(100)]
    assert sum(low <= np.log(10) / 0.5 <= high for low, high in intervals) >= 100 * (0.95 - 4 * (0.0475 / 100) ** 0.5)


def test_an_interval_without_an_end_and_one_that_there_is_not() -> None:
    names, none = ("all",), dict[str, float]()
    some = Run(np.where(np.arange(300) % 10, 1.0, np.inf), np.zeros(300, dtype=np.int64), names, none, none)
    assert (some.mean, some.gave_up, some.interval()) == (1.0, 0.1, (1.0, 1.0))
    assert (some.interval(80), some.interval(95)) == ((1.0, 1.0), (np.inf, np.inf))
    with pytest.raises(InputError, match="30 requests make no confidence interval; expected 60 or more"):
        Run(np.ones(30), np.zeros(30, dtype=np.int64), names, none, none).interval(95)


def test_what_cannot_be_kept_compiled_is_compiled_all_the_same() -> None:
    """Source of no file stands for an installation that is read-only: numba finds no folder for its cache."""
    names: dict[str, object] = {}
    exec("def twice(number): return 2 * number", names)
    twice = compiled(names["twice"])  # type: ignore[type-var]
    assert twice(21) == 42  # type: ignore[operator]


@pytest.mark.parametrize("ways", ["stages", "events"])
def test_what_is_not_counted_is_not_part_of_the_whole(ways: str) -> None:
    quick = Class("quick", 0.5, (Visit("a", Deterministic(0.001)),))
    slow = Class("slow", 0.5, (Visit("b", Deterministic(1.0)),), counted=False)
    system = System(0.1, (Station("a"), Station("b")), (quick, slow))
    stations, random = order(system), np.random.default_rng(1)
    assert stations is not None
    seen = by_stages(system, stations, 1000, 0, random) if ways == "stages" else by_events(system, 1000, 0, random)
    assert (seen.mean, seen.quantile(95), seen.within(0.01)) == pytest.approx((0.001, 0.001, 1.0))
    assert seen.quantile(50, "slow") == pytest.approx(1.0)
