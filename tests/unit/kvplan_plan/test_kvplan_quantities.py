"""What a month uses, against arithmetic by hand."""

import pytest
from kvplanning import asked, regions

from kvplan.plan.inputs import Storage
from kvplan.plan.outcome import RegionSize
from kvplan.plan.prices import load_prices
from kvplan.plan.quantities import node_size, quantities, traffic

SIZE = RegionSize("r1", pods=10, cache_shards=3, cache_bytes=4 * 2**30, store_nodes=6, disk_bytes=100 * 2**30, binds="")
ROUND = {"peak_qps": 2000.0, "mean_to_peak": 0.5, "reads": 0.9, "value_bytes": 960.0, "id_bytes": 40.0, "records": 1e6}


def test_traffic_is_of_the_mean_and_counts_every_way_of_a_value() -> None:
    seen = traffic(asked(workload=ROUND, regions=regions(0.5, 0.5)), regions(0.5, 0.5)[0], hit_rate=0.8)
    reads, writes, misses, elsewhere = 450, 50, 90, 50
    assert seen.clients_out == pytest.approx(500 * 400 + reads * 1000)
    assert seen.clients_in == pytest.approx(500 * 400 + writes * 1000 + reads * 40)
    moves = 2 * reads + misses + 4 * writes + elsewhere
    assert seen.cross_zone == pytest.approx(1000 * (moves * 2 / 3 + (writes + elsewhere) * 2))
    assert seen.inter_region == pytest.approx(1000 * writes * 2)


def test_a_region_with_one_zone_and_no_other_region_moves_nothing_across() -> None:
    alone = regions(1.0, zones=1)
    seen = traffic(asked(workload=ROUND, regions=alone), alone[0], hit_rate=0.8)
    assert (seen.cross_zone, seen.inter_region) == (0.0, 0.0)


def test_sizes_run_all_month() -> None:
    inputs = asked(workload=ROUND)
    used = quantities(inputs, SIZE, inputs.regions[0], hit_rate=0.8, prices=load_prices("generic"))
    assert (used.vcpu_hours, used.gib_hours, used.cache_gib_hours) == (7300, 3650, 3 * 4 * 1.25 * 730)
    assert used.node_hours == {"medium": 6 * 730}
    assert used.disk_gib_months == 600
    assert used.snapshot_gib_months == pytest.approx(1e6 * 1060 * 3 * 1.1 / 2**30)
    assert used.egress_gib == pytest.approx((400 * 400 + 360 * 1000) * 730 * 3600 / 2**30)


def test_clients_inside_the_cloud_cause_no_egress() -> None:
    inputs = asked(workload=ROUND, clients_on_internet=False)
    assert quantities(inputs, SIZE, inputs.regions[0], hit_rate=0.8, prices=load_prices("generic")).egress_gib == 0


@pytest.mark.parametrize(("concurrency", "size"), [(2, "small"), (8, "medium"), (64, "large")])
def test_a_node_has_a_cpu_for_each_request_it_works_on_if_there_is_such_a_one(concurrency: int, size: str) -> None:
    assert node_size(asked(storage=Storage(concurrency=concurrency)), load_prices("generic")) == size
