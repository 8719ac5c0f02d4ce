"""What would help: each mitigation helps where its cause is, costs what it costs, and says so where it is useless."""

from datetime import date
from typing import Any

import pytest
from kvplanning import QUICK, asked, regions

from kvplan.plan import make_plan
from kvplan.plan.inputs import Cache, Inputs, Storage, Time
from kvplan.plan.mitigations import mitigations
from kvplan.plan.outcome import Mitigation
from kvplan.system import Balancing

TODAY = date(2025, 7, 1)


def tried(inputs: Inputs) -> dict[str, Mitigation]:
    plan = make_plan(inputs, today=TODAY)
    return {each.name: each for each in mitigations(plan, today=TODAY)}


def alone(pods: int | None = None, *, service: dict[str, Time] | None = None, **others: Any) -> Inputs:
    """One region in one zone, 10k requests/s."""
    one = regions(1.0, zones=1)[0].model_copy(update={"pods": pods})
    workload = {"peak_qps": 10_000, "records": 1e6, **others.pop("workload", {})}
    return asked(workload=workload, regions=(one,), service=QUICK.model_copy(update=service or {}), **others)


@pytest.fixture(scope="module")
def busy() -> dict[str, Mitigation]:
    """Pods at a load of about .8, chosen at random."""
    return tried(alone(18, balancing=Balancing.RANDOM))


@pytest.fixture(scope="module")
def idle() -> dict[str, Mitigation]:
    """Pods that hardly anybody waits for, and a store whose times vary widely."""
    service = {"store_read": Time(mean=0.004, cv=1.5), "client_network": Time(mean=0.0005, cv=0.3)}
    return tried(alone(80, service=service, cache=Cache(ttl=5)))


def gained(mitigation: Mitigation) -> float:
    return 1 - mitigation.p95_after / mitigation.p95_before


def test_every_mitigation_is_tried_and_says_what_it_does_and_risks(busy: dict[str, Mitigation]) -> None:
    assert list(busy) == [
        "batching",
        "near cache",
        "hedging",
        "coalescing",
        "admission",
        "more pods",
        "other balancing",
        "secondary index",
        "async writes",
    ]
    assert all(each.change and each.risk for each in busy.values())


def test_more_pods_help_busy_ones_and_cost_what_pods_cost(busy: dict[str, Mitigation]) -> None:
    more = busy["more pods"]
    assert gained(more) > 0.3
    assert more.cost_after - more.cost_before == pytest.approx(5 * 730 * (0.04 + 0.5 * 0.0045))


def test_more_pods_are_useless_where_nobody_waits_for_them(idle: dict[str, Mitigation]) -> None:
    assert abs(gained(idle["more pods"])) < 0.01
    assert idle["more pods"].risk.startswith("useless here: most of the time goes to the")


def test_a_second_request_makes_busy_pods_slower(busy: dict[str, Mitigation]) -> None:
    assert gained(busy["hedging"]) < 0
    assert busy["hedging"].risk.startswith(
        "useless here: the pod is the bottleneck, and 10% more requests take from it"
    )


def test_a_second_request_helps_where_times_vary_and_there_is_room(idle: dict[str, Mitigation]) -> None:
    assert gained(idle["hedging"]) > 0.05
    assert not idle["hedging"].risk.startswith("useless")


def test_batches_are_as_large_as_the_queue_of_the_pods(
    busy: dict[str, Mitigation], idle: dict[str, Mitigation]
) -> None:
    assert gained(busy["batching"]) > 0.02
    assert idle["batching"].risk.startswith("useless here: 1.0")


def test_a_near_cache_takes_work_from_busy_pods_and_costs_memory(busy: dict[str, Mitigation]) -> None:
    near = busy["near cache"]
    assert gained(near) > 0.05
    assert near.cost_after - near.cost_before == pytest.approx(18 * 64 / 1024 * 730 * 0.0045)


def test_another_balancing_than_random_helps_busy_pods(busy: dict[str, Mitigation]) -> None:
    assert gained(busy["other balancing"]) > 0.1
    assert busy["other balancing"].cost_after == busy["other balancing"].cost_before


def test_coalescing_and_admission_change_nothing_within_the_plan(busy: dict[str, Mitigation]) -> None:
    assert gained(busy["coalescing"]) == gained(busy["admission"]) == 0
    assert busy["coalescing"].risk.startswith("useless here: with a warm cache")
    assert "at 2 times the peak, where the queue would have no end, 41% are refused" in busy["admission"].change


def test_an_index_makes_writes_slower_and_disks_larger() -> None:
    index = tried(alone(workload={"reads": 0.5}))["secondary index"]
    assert gained(index) < -0.02
    assert index.cost_after > index.cost_before
    assert index.risk.startswith("useless here: all reads of this workload are by id")


@pytest.mark.parametrize(("reads", "helps"), [(0.5, True), (1.0, False)])
def test_writes_that_do_not_wait_help_where_there_are_writes(reads: float, helps: bool) -> None:
    slow = {"store_write": Time(mean=0.02, cv=0.5)}
    asynchronous = tried(alone(workload={"reads": reads}, service=slow, storage=Storage(concurrency=64)))[
        "async writes"
    ]
    assert (gained(asynchronous) > 0.4) == helps
    assert asynchronous.risk.startswith("useless") != helps


def test_an_unstable_plan_is_not_mitigated() -> None:
    assert tried(alone(3)) == {}
