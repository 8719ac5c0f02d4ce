"""What a plan is: numbers that say where they come from, and the tables made of them. Plain data: `report` shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from kvplan.model import Prediction
from kvplan.plan.inputs import Inputs


@dataclass(frozen=True)
class Number:
    """`low` and `high`: the middle 90 % over the sampled worlds; both equal `value` where nothing uncertain enters.

    `formula` is text with the numbers filled in, such as "50000 requests/s x 0.4 / (0.7 x 812 requests/s a pod)".
    """

    value: float
    unit: str
    low: float
    high: float
    formula: str


@dataclass(frozen=True)
class RegionSize:
    """What runs in a region."""

    region: str
    pods: int
    cache_shards: int
    cache_bytes: float  # of each shard
    store_nodes: int
    disk_bytes: float  # of each node
    binds: str  # what made it this large, in words: "p95 with a zone lost", "disk", …


@dataclass(frozen=True)
class BillLine:
    """`kind`: pods, cache, storage, disk, snapshots, egress, cross-zone, inter-region, load-balancer."""

    region: str
    kind: str
    quantity: float  # in `unit`s a month
    unit: str
    unit_price: float
    cost: float  # a month


@dataclass(frozen=True)
class Bill:
    currency: str
    lines: tuple[BillLine, ...]
    price_table: str  # name and date
    warning: str | None  # prices older than 180 days

    @property
    def total(self) -> float:
        return sum(line.cost for line in self.lines)


@dataclass(frozen=True)
class State:
    """A region at one load, as the plan must hold it: normal, a zone lost, a region lost, the cache cold."""

    name: str
    region: str
    rate: float
    hit_rate: float
    prediction: Prediction | None  # None: unstable, as `why` says
    holds: bool  # all objectives
    why: str


@dataclass(frozen=True)
class Month:
    number: int  # from 1
    peak_qps: Number
    mean_qps: Number
    data_bytes: Number  # of one copy
    sizes: tuple[RegionSize, ...]
    bill: Bill
    cost: Number
    p95: Mapping[str, Number]  # region -> s, at peak, nothing lost
    holds: Number  # share of the sampled worlds in which the objectives hold at peak with a zone, and a region, lost


@dataclass(frozen=True)
class Plan:
    """`numbers`: dotted name (`regions.eu-west.pods`, `cache.hit-rate`, `cost.total`, …) -> what `explain` reads.

    `states` are those of the first month; `bottleneck` and `next_bottleneck` say station and QPS world-wide.
    """

    inputs: Inputs
    numbers: Mapping[str, Number]
    months: tuple[Month, ...]
    states: tuple[State, ...]
    bottleneck: str
    next_bottleneck: str
    notes: tuple[str, ...]  # headroom rules that were used, and what the plan does not cover


@dataclass(frozen=True)
class Mitigation:
    """One change, on this very workload."""

    name: str
    change: str  # what is done, in a sentence
    p95_before: float
    p95_after: float  # s, in the region where it is worst
    cost_before: float
    cost_after: float  # a month
    risk: str  # what it risks, in a sentence; also if it is useless here, why
