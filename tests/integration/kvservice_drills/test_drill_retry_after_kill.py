"""A pod is killed between the store's acknowledgement and its answer; the client tries again elsewhere, with somebody
else's write in between."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from drills import DEADLY, lost_and_retried
from history.checker import check
from history.model import History, Mode, Operation, Outcome
from history.recorder import contents
from kvparts import Pod, StartPod, Valkey

pytestmark = pytest.mark.real
KEY = "the record"


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
    code = DEADLY.format(module="kvservice.store.embedded", store="EmbeddedStore", step=step)
    doomed = start_altered_pod(code, KV_CACHE_URLS=valkey.url)
    client, other = (
        new_client("client", mode).at("local", [doomed.url]),
        new_client("other", mode).at("local", [healthy.url]),
    )

    lost, seen, later, retried, again = await lost_and_retried(client, other, KEY, healthy)
    final = {"local": await contents(http, healthy.url, mode, [KEY])}

    assert (lost.outcome, retried.outcome) == (Outcome.UNKNOWN, Outcome.OK)
    assert again.version == retried.version
    if step != "claim":  # the write was done
        assert (seen.version, seen.value) == (retried.version, lost.value)
    assert final["local"][KEY] == (later.version, later.value)
    assert [str(each) for each in check(History(mode, histories[mode], final))] == []
