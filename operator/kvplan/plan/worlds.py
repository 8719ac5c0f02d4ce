"""Worlds that may be: for each number that is only known roughly, a value of its law, all drawn together.

An estimate's law is lognormal in two pieces, which meet in its middle: half of it lies below, with the 5 % given as
low, half above, with the 5 % given as high. Each estimate's values are stratified (one in each of as many equally
likely slices as there are worlds: a Latin hypercube, McKay, Beckman, Conover 1979); estimates are independent.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from scipy import special

from kvplan.laws import Floats
from kvplan.plan.inputs import Inputs, Range, Strict
from kvplan.plan.outcome import Number

_TAIL = 0.05  # below low, and above high

Model = TypeVar("Model", bound=Strict)


def worlds(inputs: Inputs, samples: int, seed: int) -> tuple[Inputs, ...]:
    """Inputs without any range; only one if there is nothing uncertain."""
    ranges = _ranges(inputs)
    if not ranges:
        return (inputs,)
    random = np.random.default_rng(seed)
    columns = [drawn(each, samples, random) for each in ranges]
    return tuple(_settled(inputs, iter(values)) for values in zip(*columns, strict=True))


def drawn(estimate: Range, samples: int, random: np.random.Generator) -> Floats:
    """(samples,) values, in random order."""
    slices = (random.permutation(samples) + random.random(samples)) / samples
    deviations = special.ndtri(slices) / -special.ndtri(_TAIL)
    factors = np.where(deviations < 0, estimate.mid / estimate.low, estimate.high / estimate.mid)
    return np.asarray(estimate.mid * factors**deviations)


def number(of: Callable[[Inputs], float], inputs: Inputs, among: Sequence[Inputs], unit: str, formula: str) -> Number:
    """`of` the inputs as they are, and the middle 90 % of it among the worlds."""
    return spread(of(inputs), [of(world) for world in among], unit, formula)


def spread(value: float, values: Sequence[float], unit: str, formula: str) -> Number:
    """Infinite where so many of the values are."""
    low, high = np.quantile(values, (_TAIL, 1 - _TAIL), method="nearest")
    return Number(value, unit, float(low), float(high), formula)


def _ranges(model: Strict) -> list[Range]:
    found: list[Range] = []
    for value in _values(model).values():
        found += [value] if isinstance(value, Range) else _ranges(value)
    return found


def _settled(model: Model, values: Iterator[float]) -> Model:
    """With its ranges replaced, in the order of `_ranges`."""
    return model.model_copy(
        update={
            name: next(values) if isinstance(value, Range) else _settled(value, values)
            for name, value in _values(model).items()
        }
    )


def _values(model: Strict) -> dict[str, Strict]:
    """Those that are, or may have, ranges."""
    values = ((name, getattr(model, name)) for name in type(model).model_fields)
    return {name: value for name, value in values if isinstance(value, Strict)}
