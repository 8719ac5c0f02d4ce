"""Prometheus' answer -> numbers per region and revision. What is absent or no number is left out: it can never pass."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from kvoperator.core.judge.queries import REGION, REVISION

Samples = Mapping[tuple[str, str], float]  # (region, revision) -> value; revision "" where all are counted together


def read(result: Iterable[Mapping[str, Any]]) -> Samples:
    """An instant vector as Prometheus' HTTP API writes it: `[{"metric": {…}, "value": [time, "12"]}, …]`."""
    samples = {}
    for series in result:
        labels, value = series["metric"], float(series["value"][1])
        if isfinite(value) and REGION in labels:
            samples[labels[REGION], labels.get(REVISION, "")] = max(0.0, value)
    return samples
