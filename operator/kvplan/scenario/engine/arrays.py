"""The arrays of a world, as compiled code gets them: one array of addresses and shapes, with a view of each by name.

Passing thirty arrays from function to function makes numba compile for minutes what this lets it compile in seconds;
and it would count references all the time. Nothing in here makes an array: `World` holds them all while it is played.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import from_dtype, njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

from kvplan.scenario.engine.state import (
    ACTION,
    COLUMN,
    CONSTANT,
    COPY,
    JOB,
    LOGNORMAL,
    MOMENT,
    NOBODY,
    NODE,
    POD,
    REGION,
    REQUEST,
    RULES,
    SHARD,
    TIMER,
    WORK,
    Tally,
)

Function = TypeVar("Function", bound=Callable[..., Any])
Addresses = NDArray[np.int64]  # 4 numbers an array: its address and shape
Records = NDArray[Any]


class World(NamedTuple):
    rules: Records  # one record
    regions: Records
    pods: Records
    shards: Records
    requests: Records
    jobs: Records
    works: Records
    nodes: Records
    copies: Records  # region, key
    columns: Records  # key
    heap: Records
    timers: Records
    actions: Records  # by time
    laws: NDArray[np.float64]  # region, Law, 3
    near: NDArray[np.float64]  # pod, place: the pod's own copy is fresh until then
    rates: NDArray[np.float64]  # region, slot of SLOT s: requests/s
    seconds: NDArray[np.float64]  # region, second, Count
    latencies: NDArray[np.int32]  # region, second, bucket
    tally: NDArray[np.int64]

    def addresses(self) -> Addresses:
        rows = [[each.ctypes.data, *each.shape, *[0] * (3 - each.ndim)] for each in self]
        return np.array(rows, dtype=np.int64).ravel()


def compiled(function: Function) -> Function:
    """To machine code, as a part of what calls it; without counting references."""
    return njit(_nrt=False)(function)  # type: ignore[no-any-return]


def _view(name: str, dtype: Any, dimensions: int = 1) -> Callable[[Addresses], NDArray[Any]]:
    """The view of that array of a World."""
    at = 4 * World._fields.index(name)
    kind = types.Array(from_dtype(np.dtype(dtype)), dimensions, "C")

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = context.make_array(signature.args[0])(context, builder, arguments[0]).data

        def number(index: int) -> Any:
            return builder.load(builder.gep(numbers, [context.get_constant(types.intp, at + index)]))

        view = context.make_array(kind)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        shape = [number(1 + index) for index in range(dimensions)]
        strides = [context.get_constant(types.intp, size)]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(number(0), view.data.type)
        populate_array(view, data=data, shape=shape, strides=strides, itemsize=strides[-1], meminfo=None)
        return view._getvalue()

    @intrinsic  # type: ignore[untyped-decorator]
    def view(_context: Any, w: Any) -> Any:
        return kind(w), code

    return view  # type: ignore[no-any-return]


the_rules = _view("rules", RULES)
regions_of = _view("regions", REGION)
pods_of = _view("pods", POD)
shards_of = _view("shards", SHARD)
requests_of = _view("requests", REQUEST)
jobs_of = _view("jobs", JOB)
works_of = _view("works", WORK)
nodes_of = _view("nodes", NODE)
copies_of = _view("copies", COPY, 2)
columns_of = _view("columns", COLUMN)
heap_of = _view("heap", MOMENT)
timers_of = _view("timers", TIMER)
actions_of = _view("actions", ACTION)
laws_of = _view("laws", np.float64, 3)
near_of = _view("near", np.float64, 2)
rates_of = _view("rates", np.float64, 2)
seconds_of = _view("seconds", np.float64, 3)
latencies_of = _view("latencies", np.int32, 3)
tally_of = _view("tally", np.int64)


@compiled
def rules_of(w: Addresses) -> Any:
    return the_rules(w)[0]


@compiled
def take(w: Addresses, free: int, used: int, slots: Records) -> int:
    """A free slot. Without one the run is void, and ends at the next event; the last slot stands in until then."""
    tally = tally_of(w)
    index = tally[free]
    if index != NOBODY:
        tally[free] = slots[index].link
        return int(index)
    index = tally[used]
    if index == slots.size - 1:
        tally[Tally.FULL] = 1
        return int(index)
    tally[used] = index + 1
    return int(index)


@compiled
def give_back(w: Addresses, free: int, slots: Records, index: int) -> None:
    slots[index].turn += 1
    slots[index].link = tally_of(w)[free]
    tally_of(w)[free] = index


@compiled
def count(w: Addresses, region: int, at: float, column: int, amount: float) -> None:
    """To the second of `at`; nothing in the warm-up."""
    second = int(np.floor(at - rules_of(w).warm_up))
    if 0 <= second < seconds_of(w).shape[1]:
        seconds_of(w)[region, second, column] += amount


@compiled
def draw(w: Addresses, region: int, law: int) -> float:
    """A service time: constant, lognormal or gamma. From numba's generator of this thread, as all that is random."""
    shape, first, second = laws_of(w)[region, law]
    if shape == CONSTANT:
        return float(first)
    if shape == LOGNORMAL:
        return float(np.exp(first + second * np.random.standard_normal()))
    return float(np.random.standard_gamma(first) * second)
