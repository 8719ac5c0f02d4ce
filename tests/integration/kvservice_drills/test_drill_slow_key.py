"""A batch of 100 with one key whose store never answers: the others are answered inside the deadline."""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from kvparts import Pod

pytestmark = [pytest.mark.real, pytest.mark.counted]
DEADLINE_S = 2.0
STUCK = """
import asyncio
from kvservice.store.embedded import EmbeddedStore

done = EmbeddedStore.read

async def read(self, key, **more):
    if key.id == "stuck":
        await asyncio.sleep(3600)
    return await done(self, key, **more)

EmbeddedStore.read = read
"""
IDS = [f"{number:02}" for number in range(99)]
IDS.insert(50, "stuck")


async def _batch(http: httpx.AsyncClient, pod: Pod, call: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    headers = {"KV-Deadline-Ms": str(int(DEADLINE_S * 1000))}
    answer = await http.post(f"{pod.url}/v1/kv/lww:{call}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text  # and not 504: the whole was inside the deadline
    results: list[dict[str, Any]] = answer.json()["results"]
    assert [each["id"] for each in results] == IDS
    return results


async def test_one_slow_key_of_100_says_so_and_holds_no_other(
    start_altered_pod: Callable[..., Pod], http: httpx.AsyncClient, counted: Any
) -> None:
    pod = start_altered_pod(STUCK)
    writes = [{"op": "put", "id": id_, "value": base64.b64encode(id_.encode()).decode()} for id_ in IDS]
    for _ in counted.told(range(counted(short=1, full=10)), "batches"):
        written = await _batch(http, pod, "batchWrite", {"writes": writes})
        found = await _batch(http, pod, "batchGet", {"keys": [{"id": id_} for id_ in IDS]})

        for results in (written, found):
            (late,) = [each for each in results if each["status"] == 504]
            assert late["id"] == "stuck"
            assert late["problem"]["type"] == "https://kvcluster.dev/problems/deadline-exceeded"
        assert {each["status"] for each in found} == {200, 504}
        assert {base64.b64decode(each["value"]).decode() for each in found if each["status"] == 200} == {*IDS} - {
            "stuck"
        }
    counted.tell(f"99 of 100 answered, 1 said 504, in each batch with a deadline of {DEADLINE_S:g} s")
