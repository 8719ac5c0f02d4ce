"""A pod is killed between Cassandra's acknowledgement and its answer; the client tries again elsewhere, with somebody
else's write in between."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from drills import DEADLY, lost_and_retried
from history.checker import check
from history.model import History, Mode, Operation, Outcome
from history.recorder import contents
from kvparts import Pod, StartPod

pytestmark = [pytest.mark.real, pytest.mark.counted]


@pytest.mark.parametrize(("mode", "step"), [(Mode.LWW, "put"), (Mode.LWW, "claim"), (Mode.CAS, "update")])
async def test_a_retry_gets_the_first_attempts_version_and_the_later_write_survives(
    mode: Mode,
    step: str,
    east_alone: dict[str, str],
    start_pod: StartPod,
    start_altered_pod: Callable[..., Pod],
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: httpx.AsyncClient,
    counted: Any,
) -> None:
    times = counted(short=2, full=67)
    healthy = await asyncio.to_thread(start_pod, **east_alone)
    code = DEADLY.format(module="kvservice.store.cassandra", store="CassandraStore", step=step)
    keys = [f"the record {step} {number}" for number in range(times)]
    survived = {}
    for key in keys:
        doomed = await asyncio.to_thread(start_altered_pod, code, **east_alone)
        client = new_client(f"client of {key}", mode).at("east", [doomed.url])
        other = new_client(f"other of {key}", mode).at("east", [healthy.url])

        lost, seen, later, retried, again = await lost_and_retried(client, other, key, healthy)

        assert doomed.process.wait() < 0
        assert (lost.outcome, retried.outcome) == (Outcome.UNKNOWN, Outcome.OK)
        assert again.version == retried.version
        if step != "claim":  # the write was done
            assert (seen.version, seen.value) == (retried.version, lost.value)
        survived[key] = (later.version, later.value)
        counted.progress(f"{len(survived)} of {times} killed after {step}")

    final = {"east": await contents(http, healthy.url, mode, keys)}
    assert final["east"] == survived
    assert [str(each) for each in check(History(mode, histories[mode], final))] == []
    counted.tell(
        f"{times} pods killed after Cassandra's {step}: each retry got the first version, each later write survived"
    )
