"""Price tables: what a cloud asks, per region, with the date on which it did.

A table is YAML. Those packaged in `pricetables/` are examples to be replaced, and say so in their note; a user's own is
given by its path. A region that the table does not name, and a price that a named region does not give, is the one of
the entry `default`.
"""

import datetime
from collections.abc import Mapping
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from kvplan.errors import InputError
from kvplan.plan.inputs import Strict

STALE_DAYS = 180
DEFAULT = "default"

Price = Annotated[float, Field(ge=0)]


class NodeSize(Strict):
    """A size of store node that is offered."""

    vcpus: Annotated[float, Field(gt=0)]
    memory_gib: Annotated[float, Field(gt=0)]


class RegionPrices(Strict):
    """`egress_gib`: a price for each tier of the table. `cross_zone_gib` is for both directions together,
    `inter_region_gib` is paid by the region that sends."""

    vcpu_hour: Price
    gib_hour: Price
    cache_gib_hour: Price
    node_hour: Mapping[str, Price]
    disk_gib_month: Price
    snapshot_gib_month: Price
    egress_gib: tuple[Price, ...]
    cross_zone_gib: Price
    inter_region_gib: Price
    load_balancer_hour: Price
    load_balancer_gib: Price


class PriceTable(Strict):
    """`egress_tiers_gib`: where each tier of a month's egress ends; the last tier has no end."""

    name: Annotated[str, Field(min_length=1)]
    date: datetime.date
    currency: Annotated[str, Field(min_length=1)]
    note: Annotated[str, Field(min_length=1)]
    nodes: Annotated[Mapping[str, NodeSize], Field(min_length=1)]
    egress_tiers_gib: tuple[Annotated[float, Field(gt=0)], ...] = ()
    regions: Mapping[str, RegionPrices]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_default(cls, data: Any) -> Any:
        match data:
            case {"regions": {"default": dict(default), **named}}:
                filled = {name: {**default, **own} if isinstance(own, dict) else own for name, own in named.items()}
                return {**data, "regions": {DEFAULT: default, **filled}}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if DEFAULT not in self.regions:
            raise ValueError("there is no region named default; expected one, for regions that the table does not name")
        if any(later <= earlier for earlier, later in pairwise(self.egress_tiers_gib)):
            raise ValueError("egressTiersGib must rise")
        for name, prices in self.regions.items():
            if len(prices.egress_gib) != len(self.egress_tiers_gib) + 1:
                raise ValueError(
                    f"region {name} has {len(prices.egress_gib)} prices of egress; "
                    f"expected {len(self.egress_tiers_gib) + 1}, one for each tier"
                )
            if set(prices.node_hour) != set(self.nodes):
                raise ValueError(
                    f"region {name} prices the nodes {', '.join(prices.node_hour)}; expected {', '.join(self.nodes)}"
                )
        return self

    def of(self, region: str) -> RegionPrices:
        return self.regions.get(region, self.regions[DEFAULT])

    def age_warning(self, today: datetime.date) -> str | None:
        """A sentence once the prices are older than 180 days."""
        days = (today - self.date).days
        if days <= STALE_DAYS:
            return None
        return f"the prices of {self.name} are {days} days old ({self.date}); compare them with what you pay"


def load_prices(name_or_path: str) -> PriceTable:
    """The packaged table of that name, or the one in a YAML file: what ends in .yaml or .yml, or has a slash.

    Raises InputError if there is none, or if it makes no sense.
    """
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return _table(name_or_path, _text(Path(name_or_path)))
    if name_or_path not in packaged():
        raise InputError(
            f"there is no price table {name_or_path}; expected {' or '.join(packaged())}, or the path of a YAML file"
        )
    return _table(name_or_path, (_PACKAGED / f"{name_or_path}.yaml").read_text(encoding="utf-8"))


def packaged() -> list[str]:
    """Names of the tables that come with kvplan."""
    return sorted(file.name.removesuffix(".yaml") for file in _PACKAGED.iterdir())


_PACKAGED = resources.files("kvplan.plan") / "pricetables"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the price table {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"the price table {path} is not UTF-8 text; expected YAML") from None


def _table(name: str, text: str) -> PriceTable:
    try:
        return PriceTable.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"the price table {name} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        says = first["msg"].removeprefix("Value error, ")
        raise InputError(f"the price table {name}: {where + ': ' if where else ''}{says}") from None
