"""Random systems whose requests come back to their pods, on which a test and bench/pods.py hold the latency model
against simulation."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kvplan import simulate
from kvplan.laws import LogNormal
from kvplan.system import Balancing, Class, Pause, Station, System, Visit

_MS = 1e-3


def drawn(balancing: Balancing, seed: int, number: int) -> System:
    """System `number` of the stream of that seed: 4-32 pods at a load of .45-.92, hit rate .6-.98, 1-30 % writes, round
    trips of .2-2 ms, services of a CV of .4-1.5; reads wait for 2 of 2 replicas of the store, writes for 2 of 3. A hit
    visits its pod twice, a miss and a write three times. Reads are what is counted."""
    random = np.random.default_rng([seed, number, list(Balancing).index(balancing)])
    pods, load, cv = round(_even(random, 4, 32)), random.uniform(0.45, 0.92), random.uniform(0.4, 1.5)
    hits, writes = random.uniform(0.6, 0.98), random.uniform(0.01, 0.3)
    scale = _even(random, 0.25, 1.5)
    pod = [Visit("pod", LogNormal(scale * random.uniform(0.5, 1.5) * _MS, cv)) for _ in range(6)]
    ways = [Pause("network", LogNormal(_even(random, 0.2, 2) * _MS, 0.3)) for _ in range(2)]
    cache = Visit("cache", LogNormal(random.uniform(0.03, 0.2) * _MS, 0.5))
    law, hop = LogNormal(_even(random, 1, 4) * _MS, random.uniform(0.5, 1.5)), LogNormal(0.3 * _MS, 0.3)
    read, write = Visit("store", law, 2, 2, hop), Visit("store", law, 3, 2, hop)
    classes = (
        Class("hit", (1 - writes) * hits, (pod[0], ways[0], cache, pod[1])),
        Class("miss", (1 - writes) * (1 - hits), (pod[0], ways[0], cache, pod[1], ways[1], read, pod[2])),
        Class("write", writes, (pod[3], ways[1], write, pod[4], ways[0], cache, pod[5]), counted=False),
    )
    at_one = System(1.0, (Station("pod"), Station("cache"), Station("store", pools=3)), classes).loads()
    rate = load * pods / at_one["pod"]
    shards = math.ceil(rate * at_one["cache"] / random.uniform(0.2, 0.6))
    nodes = max(3, math.ceil(rate * at_one["store"] * 3 / 8 / random.uniform(0.3, 0.7)))
    stations = (Station("pod", 1, pods, balancing), Station("cache", 1, shards), Station("store", 8, nodes))
    return System(rate, stations, classes)


def from_service(system: System) -> System:
    """As the pods' own histograms see it."""
    return replace(system, classes=tuple(replace(each, from_service=True) for each in system.classes))


def in_turns(system: System) -> System:
    """With pods that answer at the end of their event loop's turns."""
    stations = (replace(each, in_turns=each.name == "pod") for each in system.stations)
    return replace(system, stations=tuple(stations))


def simulated(system: System, percentiles: Sequence[float], most: int) -> list[float]:
    """Percentiles (s) of the reads. Of `most` requests: the busier the pods, the longer until what was is forgotten."""
    requests = round(min(most, most / 20 / (1 - system.loads()["pod"]) ** 2))
    run = simulate.run(system, requests=requests, seed=1)
    reads = np.concatenate([run.of("hit"), run.of("miss")])
    return [float(each) for each in np.percentile(reads, percentiles)]


def _even(random: np.random.Generator, low: float, high: float) -> float:
    """Even in its logarithm."""
    return math.exp(random.uniform(math.log(low), math.log(high)))
