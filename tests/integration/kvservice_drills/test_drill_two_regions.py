"""Two regions, each with its own store, cache, two pods and relay; the link between them is cut and healed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from drills import Region, conflicts, settled, work
from history.checker import check, provable_conflicts
from history.links import linked
from history.model import History, Mode, Operation, Outcome
from kvparts import StartPod, free_address, valkeys

pytestmark = [pytest.mark.real, pytest.mark.counted]
KEYS = [f"k{number}" for number in range(12)]


@asynccontextmanager
async def two_regions(start_pod: StartPod, start_relay: StartPod, folder: Path) -> AsyncIterator[list[Region]]:
    async with AsyncExitStack() as stack:
        settings = {
            name: {
                "KV_REGION": name,
                "KV_STORE_PATH": str(folder / f"{name}.db"),
                "KV_CACHE_URLS": stack.enter_context(valkeys(folder)).url,
            }
            for name in ("east", "west")
        }
        pods = {name: [await asyncio.to_thread(start_pod, **own) for _ in range(2)] for name, own in settings.items()}
        regions = []
        for name, peer in (("east", "west"), ("west", "east")):
            link = await stack.enter_async_context(linked(free_address(), 8080, pods[peer][0].address))
            peers = f"{peer}=http://{link.address}:{link.port}"
            relay = await asyncio.to_thread(start_relay, **settings[name], KV_PEERS=peers)
            regions.append(Region(name, pods[name], relay, link))
        yield regions


async def test_regions_cut_off_serve_on_and_agree_after_healing(
    start_pod: StartPod,
    start_relay: StartPod,
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: httpx.AsyncClient,
    counted: Any,
    tmp_path: Path,
) -> None:
    operations = counted(short=40, full=1_000)  # of each client in each phase
    async with two_regions(start_pod, start_relay, tmp_path) as regions:
        clients = [
            (
                new_client(f"{region.name}-{number}", Mode.LWW).at(region.name, region.urls),
                regions if number < 2 else (),
            )
            for region in regions
            for number in range(4)
        ]

        async def phase(name: str) -> None:
            async with asyncio.TaskGroup() as tasks:
                for number, (client, others) in enumerate(clients):
                    tasks.create_task(work(client, random.Random(f"{name} {number}"), KEYS, operations, others))

        await phase("together")
        for region in regions:
            region.link.cut()
        cut_ns = time.monotonic_ns()
        await phase("apart")
        healed_ns = time.monotonic_ns()
        for region in regions:
            region.link.heal()
        await phase("together again")
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
