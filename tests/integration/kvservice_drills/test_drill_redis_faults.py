"""The cache answers late, or not at all: right answers all the same."""

import asyncio
import random
import statistics
from typing import Any

import pytest
from history.checker import check
from history.links import linked
from history.model import Consistency, History, Mode, Operation, Outcome
from history.recorder import Recorder, contents
from kvparts import StartPod, Valkey, free_address

pytestmark = [pytest.mark.real, pytest.mark.counted]
KEYS = [f"k{number}" for number in range(30)]
CACHE_ERRORS = 'kv_cache_reads_total{outcome="error"}'


async def work(client: Recorder, chance: random.Random, operations: int) -> None:
    for _ in range(operations):
        key = chance.choice(KEYS)
        if chance.random() < 0.2:
            await client.put(key)
        else:
            await client.get(key, chance.choice([Consistency.SESSION] * 9 + [Consistency.QUORUM]))


@pytest.mark.parametrize("fault", ["slow", "down"])
async def test_a_cache_in_trouble_costs_no_answer(
    fault: str,
    valkey: Valkey,
    start_pod: StartPod,
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: Any,
    counted: Any,
) -> None:
    operations = counted(short=50, full=2_000)  # of each client in each phase
    history = histories[Mode.LWW]
    address = valkey.url.removeprefix("redis://").partition(":")[0]
    async with linked(free_address(), 6379, address) as link:
        cache = f"redis://{link.address}:{link.port}"
        pods = [await asyncio.to_thread(start_pod, KV_CACHE_URLS=cache) for _ in range(2)]
        clients = [new_client(f"s{number}", Mode.LWW).at("local", [pod.url for pod in pods]) for number in range(8)]

        async def p95_ms(phase: str) -> float:
            before = len(history)
            async with asyncio.TaskGroup() as tasks:
                for number, client in enumerate(clients):
                    tasks.create_task(work(client, random.Random(f"{phase} {number}"), operations))
            return statistics.quantiles([each.end - each.begin for each in history[before:]], n=20)[-1] / 1e6

        well = await p95_ms("well")
        errors_before = sum(pod.metric(CACHE_ERRORS) for pod in pods)
        if fault == "slow":
            link.delay_s = 0.5
        else:
            link.cut()
        ill = await p95_ms("ill")
        errors = sum(pod.metric(CACHE_ERRORS) for pod in pods) - errors_before
        link.delay_s = 0
        link.heal()
        await p95_ms("well again")
        final = {"local": await contents(http, pods[0].url, Mode.LWW, KEYS)}

    assert [str(each) for each in check(History(Mode.LWW, history, final))] == []
    assert [str(each) for each in history if each.outcome is not Outcome.OK] == []
    assert errors > 0  # the fault was felt
    counted.tell(
        f"{len(history):,} operations right; p95 {well:.0f} ms with the cache, {ill:.0f} ms while it is {fault}"
    )
