"""Two regions over one Cassandra, whose datacenters and whose relays lose each other and come together again."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from drills import caught_up, conflicts, crew_of, on_both_sides, phase, settled, two_regions
from history.checker import check
from history.model import History, Mode, Operation, Outcome
from kvparts import StartPod

pytestmark = [pytest.mark.real, pytest.mark.counted]
KEYS = [f"k{number}" for number in range(40)]
HINTS_S = 90  # of patience; Cassandra brings them in rounds of 10 s


async def test_regions_cut_off_serve_on_and_agree_when_the_hints_have_come(
    cluster: Any,
    of_both: dict[str, dict[str, str]],
    start_pod: StartPod,
    start_relay: StartPod,
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: httpx.AsyncClient,
    counted: Any,
) -> None:
    operations = counted(short=20, full=1_000)  # of each client in each phase
    async with two_regions(of_both, start_pod, start_relay) as regions:
        crew = crew_of(regions, new_client)
        await phase("together", crew, KEYS, operations)
        cluster.cut()
        for region in regions:
            region.link.cut()
        cut_ns = time.monotonic_ns()
        await phase("apart", crew, KEYS, operations)
        await asyncio.to_thread(cluster.wait_for_hints)
        await phase("longer apart", crew, KEYS, operations)
        healed_ns = time.monotonic_ns()
        cluster.heal()
        for region in regions:
            region.link.heal()
        await phase("together again", crew, KEYS, operations)
        final = await settled(http, regions, KEYS, patience_s=HINTS_S)
        settled_s = (time.monotonic_ns() - healed_ns) / 1e9
        await caught_up(regions)
        found, logged = conflicts(regions)

    history = History(Mode.LWW, histories[Mode.LWW], final, [(cut_ns, healed_ns)], found)
    assert [str(each) for each in check(history)] == []
    assert [str(each) for each in history.operations if each.outcome is not Outcome.OK] == []
    proven = on_both_sides(history.operations, cut_ns, healed_ns)
    assert proven  # else nothing was tried
    assert proven - set(logged) == set()
    behind = sum(not each.satisfied for each in history.operations)
    counted.tell(
        f"{len(history.operations):,} operations, {len(proven)} keys written on both sides of the cut and {found} "
        f"conflicts counted, of each of them; {behind} reads marked as behind their session; same winners in both "
        f"regions {settled_s:.1f} s after healing, nothing lost"
    )
