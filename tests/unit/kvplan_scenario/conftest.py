"""A small scenario to build on."""

from collections.abc import Callable
from typing import Any

import pytest

from kvplan.scenario.file import Scenario, scenario_of

Make = Callable[..., Scenario]


@pytest.fixture
def make() -> Make:
    """make(peakQps=…, events=[…], …): fields of the scenario, and some of its parts' by their own names."""

    def made(**given: Any) -> Scenario:
        workload = {"peakQps": 500, "reads": 1.0, "records": 2000} | _taken(
            given, "peakQps", "reads", "records", "skew"
        )
        region = {"name": "one", "share": 1, "pods": 4, "cacheEntries": 2000, "storeServers": 4}
        region |= _taken(given, "pods", "cacheEntries", "cacheShards", "storeServers")
        fields = {"name": "small", "duration": 10, "warmUp": 5, "workload": workload, "regions": [region]}
        return scenario_of(fields | given, "small")

    return made


def _taken(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given.pop(name) for name in names if name in given}
