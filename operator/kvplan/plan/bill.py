"""What a month costs: quantities times prices.

Egress to the internet is priced in tiers, of the sum over all regions of an account, as the large clouds do: the total
says which part of it falls into each tier, and every region's GiB are spread over the tiers in these proportions (they
all leave in the same month; none is the first), each part at the region's own price. Everything else is a quantity
times a price.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from kvplan.errors import InputError
from kvplan.plan.outcome import Bill, BillLine
from kvplan.plan.prices import DEFAULT, PriceTable

HOURS_A_MONTH = 730.0  # 365 x 24 / 12, as clouds count


@dataclass(frozen=True)
class Quantities:
    """What one region uses in a month.

    `node_hours`: size of store node -> hours. `egress_gib` goes to clients on the internet. `cross_zone_gib` crosses
    the border of a zone, counted once; `inter_region_gib` is sent from here to other regions.
    """

    region: str
    vcpu_hours: float = 0.0  # of pods
    gib_hours: float = 0.0  # memory of pods
    cache_gib_hours: float = 0.0
    node_hours: Mapping[str, float] = field(default_factory=dict)
    disk_gib_months: float = 0.0
    snapshot_gib_months: float = 0.0
    egress_gib: float = 0.0
    cross_zone_gib: float = 0.0
    inter_region_gib: float = 0.0
    load_balancer_hours: float = 0.0
    load_balancer_gib: float = 0.0


def bill(quantities: Sequence[Quantities], prices: PriceTable, today: date) -> Bill:
    """The bill of all regions for a month; no line for what is not used. Raises InputError for a size of node that the
    table does not offer."""
    parts = tier_shares(sum(each.egress_gib for each in quantities), prices.egress_tiers_gib)
    lines = tuple(line for each in quantities for line in _lines(each, prices, parts) if line.quantity > 0)
    return Bill(prices.currency, lines, _label(quantities, prices), prices.age_warning(today))


def tier_shares(total: float, ends: Sequence[float]) -> list[float]:
    """Which part of `total` falls into each tier, of which all but the last end at `ends`."""
    if total == 0:
        return [0.0] * (len(ends) + 1)
    reached = [0.0, *(min(end, total) for end in ends), total]
    return [(upper - lower) / total for lower, upper in pairwise(reached)]


def _lines(used: Quantities, table: PriceTable, parts: Sequence[float]) -> Iterator[BillLine]:
    prices = table.of(used.region)
    egress = sum(part * price for part, price in zip(parts, prices.egress_gib, strict=True))

    def line(kind: str, quantity: float, unit: str, price: float) -> BillLine:
        return BillLine(used.region, kind, quantity, unit, price, quantity * price)

    yield line("pods", used.vcpu_hours, "vCPU-hour", prices.vcpu_hour)
    yield line("pods", used.gib_hours, "GiB-hour", prices.gib_hour)
    yield line("cache", used.cache_gib_hours, "GiB-hour", prices.cache_gib_hour)
    for size, hours in used.node_hours.items():
        if size not in prices.node_hour:
            raise InputError(f"{table.name} has no node of size {size}; expected {' or '.join(prices.node_hour)}")
        yield line("storage", hours, f"node-hour ({size})", prices.node_hour[size])
    yield line("disk", used.disk_gib_months, "GiB-month", prices.disk_gib_month)
    yield line("snapshots", used.snapshot_gib_months, "GiB-month", prices.snapshot_gib_month)
    yield line("egress", used.egress_gib, "GiB", egress)
    yield line("cross-zone", used.cross_zone_gib, "GiB", prices.cross_zone_gib)
    yield line("inter-region", used.inter_region_gib, "GiB", prices.inter_region_gib)
    yield line("load-balancer", used.load_balancer_hours, "hour", prices.load_balancer_hour)
    yield line("load-balancer", used.load_balancer_gib, "GiB", prices.load_balancer_gib)


def _label(quantities: Sequence[Quantities], prices: PriceTable) -> str:
    """Name and date; and which regions got the default's prices, where the table has others."""
    unnamed = [each.region for each in quantities if each.region not in prices.regions]
    if not unnamed or set(prices.regions) == {DEFAULT}:
        return f"{prices.name} of {prices.date}"
    return f"{prices.name} of {prices.date}, its default for {', '.join(unnamed)}"
