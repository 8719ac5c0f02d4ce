"""Wrong input is refused in one sentence: the field as it was written, what was seen, what was expected."""

from typing import Any

import pytest

from kvplan.errors import InputError
from kvplan.plan import read_inputs

RIGHT: dict[str, Any] = {"workload": {"peakQps": 50}, "regions": [{"name": "eu", "share": 1}]}


def test_what_is_right_is_read() -> None:
    inputs = read_inputs(RIGHT | {"objectives": {"99": 0.25}, "cache": {"ttl": 60, "memoryBytes": 2**30}})
    assert (inputs.workload.peak_qps, inputs.objectives, inputs.cache.memory_bytes) == (50, {99.0: 0.25}, 2**30)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workload": {"peakQps": -1}}, "workload.peakQps is -1; expected a number above 0, or low, mid and high"),
        (
            {"workload": {"peakQps": 1, "records": 0}},
            "workload.records is 0; expected a number above 0, or low, mid and",
        ),
        ({"workload": {"peakQps": 1, "reads": 95}}, "workload.reads is 95; expected 1 or less"),
        (
            {"workload": {"peakQps": {"low": -3, "mid": 2, "high": 5}}},
            "workload.peakQps.low is -3; expected a number ab",
        ),
        (
            {"workload": {"peakQps": {"low": 3, "mid": 2, "high": 5}}},
            "workload.peakQps: low 3, mid 2, high 5; expected ",
        ),
        ({"workload": {"peakQps": {"low": 3, "mid": 4}}}, "workload.peakQps.high is missing; expected a value"),
        ({"workload": {}}, "workload.peakQps is missing; expected a value, for there is no default"),
        ({"workload": None}, "workload is nothing; expected fields with names"),
        ({"workload": {"peakQps": float("nan")}}, "workload.peakQps is nan; expected a finite number"),
        ({"regions": []}, "regions is []; expected 1 or more of them"),
        ({"regions": [{"name": "eu", "share": 0.5}]}, "the regions' shares sum to 0.5; expected 1"),
        ({"regions": [{"name": "eu", "share": 1, "pods": 1.5}]}, "regions.0.pods is 1.5; expected a whole number"),
        ({"objectives": {"p95": 1}}, "objectives.p95 is 'p95'; expected a number"),
        ({"objectives": {"95": 0}}, "objective 95: 0 s; expected a percentile between 0 and 100, and up to 60 s"),
        ({"service": {"podRead": {"mean": 0}}}, "service.podRead.mean is 0; expected a number above 0"),
        (
            {"balancing": "best"},
            "balancing is 'best'; expected 'random', 'round-robin', 'power-of-two' or 'least-in-fl",
        ),
        ({"clientsOnInternet": "maybe"}, "clientsOnInternet is 'maybe'; expected true or false"),
        ({"zones": 3}, "zones is no field that is known; expected one that is, perhaps it is misspelt"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_inputs(RIGHT | wrong)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
