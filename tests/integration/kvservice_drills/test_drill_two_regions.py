"""Two regions, each with its own store, cache, two pods and relay; the link between them is cut and healed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from drills import conflicts, crew_of, phase, settled, two_regions
from history.checker import check, provable_conflicts
from history.model import History, Mode, Operation, Outcome
from kvparts import StartPod, valkeys

pytestmark = [pytest.mark.real, pytest.mark.counted]
KEYS = [f"k{number}" for number in range(12)]


@pytest.fixture
def separate_stores(tmp_path: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Region -> settings of its processes."""
    with ExitStack() as stack:
        yield {
            name: {
                "KV_REGION": name,
                "KV_STORE_PATH": str(tmp_path / f"{name}.db"),
                "KV_CACHE_URLS": stack.enter_context(valkeys(tmp_path)).url,
            }
            for name in ("east", "west")
        }


async def test_regions_cut_off_serve_on_and_agree_after_healing(
    separate_stores: dict[str, dict[str, str]],
    start_pod: StartPod,
    start_relay: StartPod,
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: httpx.AsyncClient,
    counted: Any,
) -> None:
    operations = counted(short=40, full=1_000)  # of each client in each phase
    async with two_regions(separate_stores, start_pod, start_relay) as regions:
        crew = crew_of(regions, new_client)
        await phase("together", crew, KEYS, operations)
        for region in regions:
            region.link.cut()
        cut_ns = time.monotonic_ns()
        await phase("apart", crew, KEYS, operations)
        healed_ns = time.monotonic_ns()
        for region in regions:
            region.link.heal()
        await phase("together again", crew, KEYS, operations)
        final = await settled(http, regions, KEYS)
        found, logged = conflicts(regions)

    history = History(Mode.LWW, histories[Mode.LWW], final, [(cut_ns, healed_ns)], found)
    assert [str(each) for each in check(history)] == []
    assert [str(each) for each in history.operations if each.outcome is not Outcome.OK] == []
    assert found == len(logged)
    proven = provable_conflicts(history)
    assert proven > 0  # else nothing was tried
    behind = sum(not each.satisfied for each in history.operations)
    counted.tell(
        f"{len(history.operations):,} operations, {proven} keys written on both sides of the cut, {found} conflicts "
        f"counted and logged, {behind} reads marked as behind their session: same winners in both regions, nothing lost"
    )
