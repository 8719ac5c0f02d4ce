"""What requests do at the pools of a station: how often they visit their pool, and how long they are away meanwhile."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from kvplan.model.balancing import Pool, Stay
from kvplan.model.path import is_plain
from kvplan.system import Balancing, Class, Station, Step, System, Visit

Rate = Callable[[Class, Visit], float]  # per second: of a visit's copies, of tries and hedges too


def pool(system: System, station: Station, load: float, rate: Rate, waits: Mapping[str, float]) -> Pool | None:
    """None if each visit there is a visit like any other. `waits`: station -> mean seconds that a visit waits."""
    balancing = station.balancing if station.pools > 1 else Balancing.RANDOM
    found = [
        (part, visits, gaps)
        for each in system.classes
        for visits, gaps in _stays(each, station, waits)
        if (part := rate(each, visits[0]))
    ]
    is_plain_queue = balancing is Balancing.RANDOM and not station.in_turns and not any(gaps for _, _, gaps in found)
    if station.servers > 1 or is_plain_queue:
        return None
    total = sum(part for part, _, _ in found)
    stays = tuple(Stay(part / total, tuple(visit.law for visit in visits), gaps) for part, visits, gaps in found)
    return Pool(balancing, station.pools, load, system.scv, stays, station.in_turns)


def _stays(
    each: Class, station: Station, waits: Mapping[str, float]
) -> Iterator[tuple[list[Visit], tuple[float, ...]]]:
    """The plain visits of a request together, at one pool; copies and hedges each at a pool of their own."""
    there = [
        (at, step) for at, step in enumerate(each.steps) if isinstance(step, Visit) and step.station == station.name
    ]
    plain = [(at, visit) for at, visit in there if is_plain(visit)]
    if plain:
        gaps = (
            (before.hop.mean + after.hop.mean) / 2 + sum(_mean(step, waits) for step in each.steps[a + 1 : b])
            for (a, before), (b, after) in pairwise(plain)
        )
        yield [visit for _, visit in plain], tuple(gaps)
    yield from (([visit], ()) for _, visit in there if not is_plain(visit))


def _mean(step: Step, waits: Mapping[str, float]) -> float:
    """Of the time that a step takes; that of the k-th of n answers as if it grew with their CV as it does from answers
    that take equally long to exponential ones (Renyi 1953)."""
    if not isinstance(step, Visit):
        return step.law.mean
    wait = waits.get(step.station, 0.0)
    one = wait + step.law.mean + step.hop.mean
    if not one:
        return 0.0
    cv = math.sqrt(wait**2 + step.law.mean**2 * step.law.scv + step.hop.mean**2 * step.hop.scv) / one
    last = sum(1 / left for left in range(step.copies - step.needed + 1, step.copies + 1))
    return one * max(0.0, 1 + cv * (last - 1))
