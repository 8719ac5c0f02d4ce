"""Bills against arithmetic done by hand, and what a price table must be."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kvplan.errors import InputError
from kvplan.plan.bill import Quantities, bill, tier_shares
from kvplan.plan.outcome import Bill
from kvplan.plan.prices import PriceTable, load_prices, packaged

TODAY = date(2026, 3, 1)
REGION: dict[str, Any] = {
    "vcpuHour": 0.04,
    "gibHour": 0.005,
    "cacheGibHour": 0.01,
    "nodeHour": {"small": 0.2, "large": 0.8},
    "diskGibMonth": 0.1,
    "snapshotGibMonth": 0.05,
    "egressGib": [0.0, 0.09, 0.05],
    "crossZoneGib": 0.02,
    "interRegionGib": 0.03,
    "loadBalancerHour": 0.025,
    "loadBalancerGib": 0.006,
}
TABLE: dict[str, Any] = {
    "name": "mine",
    "date": "2026-01-01",
    "currency": "EUR",
    "note": "of the test",
    "nodes": {"small": {"vcpus": 4, "memoryGib": 16}, "large": {"vcpus": 16, "memoryGib": 64}},
    "egressTiersGib": [100, 10000],
    "regions": {
        "default": REGION,
        "far": {"egressGib": [0.0, 0.11, 0.08], "interRegionGib": 0.09, "diskGibMonth": 0.12, "vcpuHour": 0.05},
    },
}


def table(**changes: Any) -> PriceTable:
    return PriceTable.model_validate({**TABLE, **changes})


def by_kind(made: Bill, region: str) -> Mapping[str, float]:
    kinds = {line.kind for line in made.lines if line.region == region}
    return {kind: sum(line.cost for line in made.lines if (line.region, line.kind) == (region, kind)) for kind in kinds}


def test_fixture_1_pods_and_their_load_balancer() -> None:
    # 8 pods of 1 vCPU and 0.5 GiB for 730 h: 5840 vCPU-h, 2920 GiB-h
    #   5840 x 0.04 = 233.60;  2920 x 0.005 = 14.60;  together 248.20
    # load balancer: 730 h x 0.025 = 18.25;  2000 GiB x 0.006 = 12.00;  together 30.25
    used = Quantities("near", vcpu_hours=5840, gib_hours=2920, load_balancer_hours=730, load_balancer_gib=2000)

    made = bill([used], table(), TODAY)

    assert by_kind(made, "near") == pytest.approx({"pods": 248.20, "load-balancer": 30.25})
    assert made.total == pytest.approx(278.45, rel=0.01)


def test_fixture_2_store_nodes_with_disks_and_snapshots_and_a_cache() -> None:
    # 3 small nodes: 2190 h x 0.2 = 438.00;  1 large: 730 h x 0.8 = 584.00;  together 1022.00
    # disks 4 x 200 GiB: 800 x 0.1 = 80.00;  snapshots 1200 GiB: 1200 x 0.05 = 60.00
    # cache 3 x 4 GiB: 12 x 730 = 8760 GiB-h x 0.01 = 87.60
    used = Quantities(
        "near",
        node_hours={"small": 2190, "large": 730},
        disk_gib_months=800,
        snapshot_gib_months=1200,
        cache_gib_hours=8760,
    )

    made = bill([used], table(), TODAY)

    assert by_kind(made, "near") == pytest.approx({"storage": 1022.0, "disk": 80.0, "snapshots": 60.0, "cache": 87.6})
    assert made.total == pytest.approx(1249.60, rel=0.01)


def test_fixture_3_egress_through_all_tiers() -> None:
    # 25,000 GiB: the first 100 free, 9,900 up to 10,000 at 0.09 = 891.00, 15,000 above at 0.05 = 750.00
    made = bill([Quantities("near", egress_gib=25_000)], table(), TODAY)

    assert by_kind(made, "near") == pytest.approx({"egress": 1641.0})


def test_fixture_4_two_regions_share_the_tiers() -> None:
    # 20,000 GiB in all: 0.5 % in the free tier, 49.5 % in the second, 50 % in the third
    # near 15,000: 7,425 x 0.09 = 668.25;  7,500 x 0.05 = 375.00;  together 1043.25
    # far   5,000: 2,475 x 0.11 = 272.25;  2,500 x 0.08 = 200.00;  together  472.25
    made = bill([Quantities("near", egress_gib=15_000), Quantities("far", egress_gib=5_000)], table(), TODAY)

    assert by_kind(made, "near") == pytest.approx({"egress": 1043.25})
    assert by_kind(made, "far") == pytest.approx({"egress": 472.25})
    assert made.total == pytest.approx(1515.50, rel=0.01)


def test_fixture_5_three_regions_that_replicate() -> None:
    # us-east, eu-west and ap-south of the packaged table, each: 10 vCPU for 730 h = 7300 vCPU-h, 3 medium nodes 2190 h,
    # 1000 GiB disk, 900 GiB snapshots, 60,000 GiB egress, 5000 GiB over zones, 4000 GiB sent to the other two
    #            us-east                    eu-west                    ap-south
    # pods       7300 x .04048 =  295.504   7300 x .04048 =  295.504   7300 x .04256 =  310.688
    # storage    2190 x .384   =  840.96    2190 x .428   =  937.32    2190 x .404   =  884.76
    # disk       1000 x .08    =   80.00    1000 x .088   =   88.00    1000 x .0912  =   91.20
    # snapshots   900 x .05    =   45.00     900 x .05    =   45.00     900 x .05    =   45.00
    # cross-zone 5000 x .02    =  100.00    5000 x .02    =  100.00    5000 x .02    =  100.00
    # inter-reg. 4000 x .02    =   80.00    4000 x .02    =   80.00    4000 x .086   =  344.00
    # egress: 180,000 GiB in all = 100 free + 10,140 + 40,960 + 102,400 + 26,400; a third of each tier is a region's:
    #   33.33, 3,380, 13,653.33, 34,133.33 and 8,800 GiB
    #   us-east and eu-west: 3,380 x .09 = 304.20; 13,653.33 x .085 = 1160.533; 34,133.33 x .07 = 2389.333;
    #     8,800 x .05 = 440.00; together 4294.067
    #   ap-south: 3,380 x .1093 = 369.434; 13,653.33 x .085 = 1160.533; 34,133.33 x .082 = 2798.933;
    #     8,800 x .08 = 704.00; together 5032.901
    # us-east 5735.531, eu-west 5839.891, ap-south 6808.549; all 18,383.970
    each = Quantities(
        "us-east",
        vcpu_hours=7300,
        node_hours={"medium": 2190},
        disk_gib_months=1000,
        snapshot_gib_months=900,
        egress_gib=60_000,
        cross_zone_gib=5000,
        inter_region_gib=4000,
    )
    regions = ["us-east", "eu-west", "ap-south"]

    made = bill([replace(each, region=region) for region in regions], load_prices("aws-like"), TODAY)

    totals = [sum(by_kind(made, region).values()) for region in regions]
    assert totals == pytest.approx([5735.531, 5839.891, 6808.549], rel=1e-6)
    assert by_kind(made, "ap-south")["egress"] == pytest.approx(5032.901, rel=1e-6)
    assert made.total == pytest.approx(18_383.970, rel=0.01)


def test_what_is_not_used_has_no_line() -> None:
    assert bill([Quantities("near")], table(), TODAY).lines == ()


@given(total=st.floats(0.1, 1e7), ends=st.lists(st.floats(1, 1e6), max_size=4, unique=True).map(sorted))
def test_the_tiers_share_all_of_the_egress(total: float, ends: list[float]) -> None:
    assert sum(tier_shares(total, ends)) == pytest.approx(1)


@given(low=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_more_egress_never_costs_less(low: float, more: float) -> None:
    cheap = bill([Quantities("near", egress_gib=low)], table(), TODAY)
    dear = bill([Quantities("near", egress_gib=low + more)], table(), TODAY)

    assert dear.total >= cheap.total - 1e-6


def test_a_size_that_is_not_offered_is_refused() -> None:
    with pytest.raises(InputError, match=r"mine has no node of size huge; expected small or large"):
        bill([Quantities("near", node_hours={"huge": 1})], table(), TODAY)


@pytest.mark.parametrize(("today", "warns"), [(date(2026, 6, 30), False), (date(2026, 7, 1), True)])
def test_prices_are_warned_of_after_180_days(today: date, warns: bool) -> None:
    warning = bill([], table(), today).warning

    assert (warning == "the prices of mine are 181 days old (2026-01-01); compare them with what you pay") == warns
    assert (warning is None) == (not warns)


def test_a_bill_says_which_regions_the_table_does_not_name() -> None:
    made = bill([Quantities("near"), Quantities("far")], table(), TODAY)

    assert made.price_table == "mine of 2026-01-01, its default for near"


def test_a_named_region_says_only_what_differs() -> None:
    far = table().of("far")

    assert (far.inter_region_gib, far.cross_zone_gib) == (0.09, 0.02)


@pytest.mark.parametrize("name", packaged())
def test_packaged_tables_say_that_they_are_examples(name: str) -> None:
    prices = load_prices(name)

    assert prices.name == name
    assert "xamples" in prices.note
    assert "by your own" in prices.note


def test_one_packaged_table_has_three_regions() -> None:
    assert set(load_prices("aws-like").regions) == {"default", "us-east", "eu-west", "ap-south"}


def test_a_user_s_own_table_is_read_from_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(TABLE))

    assert load_prices(str(file)) == table()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "is not YAML: while parsing"),
        ("- 1", "Input should be a valid dictionary"),
        (yaml.safe_dump({**TABLE, "date": "yesterday"}), "date: Input should be a valid date"),
        (yaml.safe_dump({**TABLE, "regions": {"far": REGION}}), "there is no region named default"),
        (yaml.safe_dump({**TABLE, "egressTiersGib": [10, 5]}), "egressTiersGib must rise"),
        (yaml.safe_dump({**TABLE, "egressTiersGib": [10]}), "region default has 3 prices of egress; expected 2"),
        (
            yaml.safe_dump({**TABLE, "regions": {"default": {**REGION, "nodeHour": {"small": 1}}}}),
            "region default prices the nodes small; expected large, small",
        ),
        (
            yaml.safe_dump({**TABLE, "regions": {"default": {**REGION, "crossZoneGib": -1}}}),
            "regions.default.crossZoneGib: Input should be greater than or equal to 0",
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)

    with pytest.raises(InputError) as refused:
        load_prices(str(file))

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_not_packaged_says_which_are() -> None:
    with pytest.raises(InputError, match=r"no price table gcp; expected aws-like or generic, or the path"):
        load_prices("gcp")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: No such file"):
        load_prices(str(tmp_path / "none.yaml"))
