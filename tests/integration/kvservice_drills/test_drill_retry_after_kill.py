"""A pod is killed between the store's acknowledgement and its answer; the client tries again elsewhere, with somebody
else's write in between."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from history.checker import check
from history.model import Consistency, History, Mode, Operation, Outcome
from history.recorder import contents
from kvparts import Pod, StartPod, Valkey

pytestmark = pytest.mark.real
KEY = "the record"
DEADLY = """
import os, signal
from kvservice.store.embedded import EmbeddedStore

done = EmbeddedStore.{step}

async def and_die(self, key, *rest, **more):
    answer = await done(self, key, *rest, **more)
    if key.id == "the record":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

EmbeddedStore.{step} = and_die
"""


@pytest.mark.parametrize(("mode", "step"), [(Mode.LWW, "put"), (Mode.LWW, "claim"), (Mode.CAS, "update")])
async def test_a_retry_gets_the_first_attempts_version_and_the_later_write_survives(
    mode: Mode,
    step: str,
    valkey: Valkey,
    start_pod: StartPod,
    start_altered_pod: Callable[..., Pod],
    new_client: Any,
    histories: dict[Mode, list[Operation]],
    http: httpx.AsyncClient,
) -> None:
    healthy = start_pod(KV_CACHE_URLS=valkey.url)
    doomed = start_altered_pod(DEADLY.format(step=step), KV_CACHE_URLS=valkey.url)
    client, other = (
        new_client("client", mode).at("local", [doomed.url]),
        new_client("other", mode).at("local", [healthy.url]),
    )

    lost = await client.put(KEY, token="once")
    seen = await other.get(KEY, Consistency.QUORUM)
    later = await other.put(KEY)
    retried = await client.at("local", [healthy.url]).put(KEY, value=lost.value, token="once")
    again = await client.put(KEY, value=lost.value, token="once")
    final = {"local": await contents(http, healthy.url, mode, [KEY])}

    assert (lost.outcome, retried.outcome) == (Outcome.UNKNOWN, Outcome.OK)
    assert again.version == retried.version
    if step != "claim":  # the write was done
        assert (seen.version, seen.value) == (retried.version, lost.value)
    assert final["local"][KEY] == (later.version, later.value)
    assert [str(each) for each in check(History(mode, histories[mode], final))] == []
