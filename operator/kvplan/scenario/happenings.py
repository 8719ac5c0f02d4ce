"""What the events of a scenario do, and when: the rate of each region over time, and the moments at which something
changes. Times in seconds since the start of the warm-up."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kvplan.laws import Floats
from kvplan.scenario.engine.state import ACTION, NOBODY, SLOT, Action
from kvplan.scenario.file import Event, Flush, HotKey, RegionLost, RetryStorm, Scenario, Slow, Surge, ZoneLost

Row = tuple[float, int, int, float]  # when, Action, region, value


def rates(scenario: Scenario) -> Floats:
    """Requests/s of each region's clients, scaled; shape (regions, slots of SLOT s)."""
    slots = round((scenario.warm_up + scenario.duration) / SLOT)
    middles = np.asarray((np.arange(slots) + 0.5) * SLOT - scenario.warm_up)
    made = np.empty((len(scenario.regions), middles.size))
    for row, region in zip(made, scenario.regions, strict=True):
        row[:] = scenario.workload.peak_qps * region.share / scenario.scale
        for event in scenario.events:
            if isinstance(event, Surge) and event.region in (None, region.name):
                row *= 1 + (event.factor - 1) * _grown(middles - event.at, event.within, event.lasts)
    return made


def _grown(since: Floats, within: float, lasts: float | None) -> Floats:
    """From 0 to 1 within that time, and back in the same time once it is over."""
    up = np.clip(since / within, 0, 1)
    return up if lasts is None else np.minimum(up, np.clip((lasts + within - since) / within, 0, 1))


def actions(scenario: Scenario) -> NDArray[np.void]:
    """By time."""
    rows = sorted(
        row
        for event in scenario.events
        for index, region in enumerate(scenario.regions)
        if event.region in (None, region.name)
        for row in _rows(event, index, scenario)
    )
    made = np.zeros(len(rows), ACTION)
    for row, (at, action, region, value) in zip(made, rows, strict=True):
        row["at"], row["action"], row["region"], row["value"] = scenario.warm_up + at, action, region, value
    return made


def _rows(event: Event, index: int, scenario: Scenario) -> Iterator[Row]:
    over = event.at + (getattr(event, "lasts", None) or np.inf)
    match event:
        case Surge():
            return
        case Flush():
            yield event.at, Action.FLUSH, index, event.share
        case HotKey():
            yield event.at, Action.HOT, index, event.share
            yield over, Action.HOT, index, 0.0
        case Slow():
            what = Action.CACHE_SLOW if event.dependency == "cache" else Action.STORE_SLOW
            yield event.at, what, index, event.factor
            yield over, what, index, 1.0
        case RetryStorm():
            yield event.at, Action.STORM, index, event.retries
            yield over, Action.STORM, index, NOBODY
        case ZoneLost():
            yield from _zone_lost(event, index, over, scenario)
        case RegionLost():
            yield from _region_lost(event, index, over, scenario)


def _zone_lost(event: ZoneLost, index: int, over: float, scenario: Scenario) -> Iterator[Row]:
    region = scenario.regions[index]
    pods, servers = (scaled(each, scenario.scale) for each in (region.pods, region.store_servers))
    lost = max(1, round(pods * event.share))
    yield event.at, Action.LOSE_PODS, index, lost
    yield event.at, Action.SERVERS, index, max(1, round(servers * (1 - event.share)))
    if event.cache_share:
        yield event.at, Action.FLUSH, index, event.cache_share
    if event.at + event.noticed_after < over:
        yield event.at + event.noticed_after, Action.UNLIST_PODS, index, lost
    yield over, Action.RESTORE_PODS, index, lost
    yield over, Action.SERVERS, index, servers


def _region_lost(event: RegionLost, index: int, over: float, scenario: Scenario) -> Iterator[Row]:
    pods = scaled(scenario.regions[index].pods, scenario.scale)
    noticed = event.at + event.noticed_after
    yield event.at, Action.LOSE_PODS, index, pods
    if noticed < over:
        yield noticed, Action.AWAY, index, 1
        yield noticed, Action.FARTHER, index, event.farther
        yield over, Action.AWAY, index, 0
        yield over, Action.FARTHER, index, -event.farther
    yield over, Action.RESTORE_PODS, index, pods


def scaled(count: int, scale: int) -> int:
    return max(1, round(count / scale))
