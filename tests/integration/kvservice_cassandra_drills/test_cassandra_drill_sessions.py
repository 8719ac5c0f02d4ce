"""Sessions over three pods on Cassandra, a random one for each request, while the cache is emptied, killed, and comes
back empty."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from drills import pairs_through_faults
from history.checker import check
from history.model import History, Kind, Mode, Operation, Outcome
from history.recorder import contents
from kvparts import StartPod, Valkey

pytestmark = [pytest.mark.real, pytest.mark.counted]
KEYS = [f"k{number}" for number in range(60)]  # more than a token remembers one by one
SESSIONS = 24


@pytest.mark.parametrize("mode", Mode)
async def test_sessions_read_their_writes_and_never_go_back_whatever_the_cache_does(
    mode: Mode,
    east_alone: dict[str, str],
    valkey: Valkey,
    start_pod: StartPod,
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: Any,
    counted: Any,
    tmp_path: Path,
) -> None:
    total = counted(short=600, full=20_000)  # of each mode
    urls = [(await asyncio.to_thread(start_pod, **east_alone)).url for _ in range(3)]
    clients = [new_client(f"s{number}", mode).at("east", urls) for number in range(SESSIONS)]
    await pairs_through_faults(clients, KEYS, total, valkey, tmp_path / "again.log", counted)

    history = histories[mode]
    final = {"east": await contents(http, urls[0], mode, KEYS)}
    assert [str(each) for each in check(History(mode, history, final))] == []
    assert [str(each) for each in history if each.outcome is not Outcome.OK] == []
    reads = sum(each.kind is Kind.READ for each in history)
    counted.tell(f"{total:,} write-read pairs ({reads:,} reads) of {SESSIONS} sessions over 3 pods: 0 violations")
