"""A pod whose clock is 5 s ahead, next to a healthy one."""

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from history.checker import check
from history.model import History, Kind, Mode, Operation, Outcome
from history.recorder import contents
from kvparts import Pod, StartPod, Valkey

pytestmark = [pytest.mark.real, pytest.mark.counted]
AHEAD = "import time; real = time.time_ns; time.time_ns = lambda: real() + 5_000_000_000"
KEYS = ["a", "b", "c"]


@pytest.mark.parametrize("mode", Mode)
async def test_a_pod_that_is_ahead_writes_nothing_and_hides_nothing(
    mode: Mode,
    valkey: Valkey,
    start_pod: StartPod,
    start_altered_pod: Callable[..., Pod],
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: httpx.AsyncClient,
    counted: Any,
) -> None:
    healthy, skewed = start_pod(KV_CACHE_URLS=valkey.url), start_altered_pod(AHEAD, KV_CACHE_URLS=valkey.url)
    chance = random.Random(1)
    right, wrong = (
        new_client("right", mode).at("local", [healthy.url]),
        new_client("wrong", mode).at("local", [skewed.url]),
    )

    for _ in counted.told(range(counted(short=100, full=1_000)), "writes"):
        client, key = chance.choice([right, wrong]), chance.choice(KEYS)
        await client.put(key)
        await client.get(key)

    final = {"local": await contents(http, skewed.url, mode, KEYS)}
    assert [str(each) for each in check(History(mode, histories[mode], final))] == []
    for each in histories[mode]:
        is_refused = each.session == "wrong" and each.kind is Kind.WRITE
        assert each.outcome is (Outcome.FAILED if is_refused else Outcome.OK), each
    refused = wrong.codes.count(503)
    assert refused > 0
    assert skewed.metric("kv_versions_refused_total") == refused
    assert skewed.metric("kv_clock_offset_seconds") == pytest.approx(5, abs=0.5)
    counted.tell(
        f"{refused} writes of the skewed pod refused, {len(right.codes) // 2} of the healthy one done and seen"
    )


def test_the_refusal_is_a_problem_that_names_the_clock(valkey: Valkey, start_altered_pod: Callable[..., Pod]) -> None:
    skewed = start_altered_pod(AHEAD, KV_CACHE_URLS=valkey.url)

    answer = httpx.put(f"{skewed.url}/v1/kv/lww/a", content=b"x")

    assert (answer.status_code, answer.json()["type"]) == (503, "https://kvcluster.dev/problems/clock-skew")
    assert answer.headers["retry-after"]
