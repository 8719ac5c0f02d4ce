"""The checker on histories of a simulated service: silent while it keeps its promises, loud for each seeded bug."""

import time
from collections import Counter
from typing import Any

import pytest
from history.bugs import BUGS, Bug
from history.checker import check
from history.generate import Size, simulate
from history.model import Mode

pytestmark = pytest.mark.counted


@pytest.mark.parametrize("mode", Mode)
def test_valid_histories_raise_no_alarm(mode: Mode, counted: Any) -> None:
    histories = counted(short=40, full=500)
    chosen = {seed: simulate(seed, mode, Size(operations=400 + seed % 5 * 100)) for seed in range(histories)}
    alarms = {seed: [str(each) for each in found] for seed, history in chosen.items() if (found := check(history))}
    outcomes = Counter(each.outcome for history in chosen.values() for each in history.operations)

    assert alarms == {}
    assert len(outcomes) == 3  # else nothing but good weather was checked
    counted.tell(f"{histories} valid {mode} histories, {outcomes.total():,} operations: 0 alarms")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.world.__name__}-{bug.mode}")
def test_each_seeded_bug_is_found(bug: Bug, counted: Any) -> None:
    seeds = counted(short=2, full=20)
    found = [
        {each.fault for each in check(bug.world(seed, bug.mode, Size(4000, 20, 40)).run())} for seed in range(seeds)
    ]

    assert [seed for seed, faults in enumerate(found) if not faults & bug.faults] == []
    counted.tell(f"found in {seeds} of {seeds} histories")


def test_a_hundred_thousand_operations_are_judged_quickly(counted: Any) -> None:
    history = simulate(1, Mode.LWW, Size(counted(short=20_000, full=100_000), sessions=50, keys=500))
    begin_s = time.perf_counter()
    violations = check(history)

    assert violations == []
    counted.tell(
        f"{len(history.operations):,} operations judged in {time.perf_counter() - begin_s:.2f} s (bar: 100,000 in 10 s)"
    )
