"""Sessions over three pods, a random one for each request, while the cache is emptied, killed, and comes back empty."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from history.checker import check
from history.model import Consistency, History, Kind, Mode, Operation, Outcome
from history.recorder import Recorder, contents
from kvparts import StartPod, Valkey, running

pytestmark = [pytest.mark.real, pytest.mark.counted]
KEYS = [f"k{number}" for number in range(60)]  # more than a token remembers one by one
SESSIONS = 24


async def pairs(
    client: Recorder, chance: random.Random, turns: Iterator[int], faults: Mapping[int, Callable[[], object]]
) -> None:
    """Writes and reads back; and now and then reads what others wrote, or deletes. Who has a fault's turn plays it."""
    for turn in turns:
        if turn in faults:
            await asyncio.to_thread(faults[turn])
        key = chance.choice(KEYS)
        if chance.random() < 0.1:
            await client.delete(key)
        else:
            await client.put(key)
        await client.get(key)
        if chance.random() < 0.3:
            await client.get(chance.choice(KEYS), chance.choice([Consistency.SESSION, Consistency.QUORUM]))


@pytest.mark.parametrize("mode", Mode)
async def test_sessions_read_their_writes_and_never_go_back_whatever_the_cache_does(
    mode: Mode,
    valkey: Valkey,
    start_pod: StartPod,
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: Any,
    counted: Any,
    tmp_path: Path,
) -> None:
    total = counted(short=1_000, full=50_000)  # of each mode
    urls = [start_pod(KV_CACHE_URLS=valkey.url).url for _ in range(3)]
    clients = [new_client(f"s{number}", mode).at("local", urls) for number in range(SESSIONS)]
    history, turns = histories[mode], iter(range(total))
    with ExitStack() as stack:
        faults: dict[int, Callable[[], object]] = {
            total // 3: valkey.client.flushall,
            total * 2 // 3: valkey.process.kill,
            total * 5 // 6: lambda: stack.enter_context(running(valkey.process.args, tmp_path / "again.log")),  # type: ignore[arg-type]
        }
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients):
                tasks.create_task(pairs(client, random.Random(number), turns, faults))

    final = {"local": await contents(http, urls[0], mode, KEYS)}
    assert [str(each) for each in check(History(mode, history, final))] == []
    assert [str(each) for each in history if each.outcome is not Outcome.OK] == []
    reads = sum(each.kind is Kind.READ for each in history)
    counted.tell(f"{total:,} write-read pairs ({reads:,} reads) of {SESSIONS} sessions over 3 pods: 0 violations")
