"""How old another region's cache may be: until the relay has told it; and if the feed has lost what it would have told,
until the copy's time is over."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cassandras import session_to
from kvparts import Pod, StartPod, Valkey

from kvservice.core.envelope import decode

pytestmark = pytest.mark.real
TTL_S = 3
LOST = 'kv_relay_lost_total{peer="east"}'

Settings = dict[str, dict[str, str]]
Stored = Callable[[str], bytes | None]


def until(holds: Callable[[], bool], what: str) -> None:
    give_up_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up_s, f"not within 30 s: {what}"
        time.sleep(0.02)


def put(pod: Pod, id_: str, value: str) -> None:
    httpx.put(f"{pod.url}/v1/kv/lww/{id_}", content=value, timeout=20).raise_for_status()


def get(pod: Pod, id_: str) -> tuple[str, int | None]:
    """-> value, age of the cached copy in seconds; None: from the store."""
    answer = httpx.get(f"{pod.url}/v1/kv/lww/{id_}", timeout=20)
    age = answer.headers.get("age")
    return answer.text, None if age is None else int(age)


def cached(pod: Pod, id_: str) -> str | None:
    """The value, if it came from the cache."""
    value, age_s = get(pod, id_)
    return None if age_s is None else value


@pytest.fixture
def stored_in_west(cluster: Any) -> Iterator[Stored]:
    """-> stored(id) -> the value that the west's node has, behind the back of its cache."""
    with session_to(cluster.nodes.points("west")[0]) as session:
        text = "SELECT envelope FROM kv_east_west.record WHERE namespace = 'lww' AND id = %s AND item = ''"

        def stored(id_: str) -> bytes | None:
            row = session.execute(text, (id_,)).one()
            return decode(row.envelope).payload if row and row.envelope else None

        yield stored


def cached_and_overwritten(east: Pod, west: Pod, stored: Stored, id_: str, relays: Callable[[], None]) -> None:
    """The west's store has the east's second value, its cache has the first; `relays` ends in between."""
    put(east, id_, "old")
    until(lambda: stored(id_) == b"old", "the first value in the west's store")
    until(lambda: cached(west, id_) == "old", "the first value in the west's cache")
    relays()
    put(east, id_, "new")
    until(lambda: stored(id_) == b"new", "the second value in the west's store")


def test_a_write_is_seen_in_the_other_regions_cache_through_the_relay(
    of_both: Settings, start_pod: StartPod, start_relay: StartPod, stored_in_west: Stored
) -> None:
    east, west = start_pod(**of_both["east"]), start_pod(**of_both["west"])
    relay = start_relay(**of_both["west"], KV_PEERS=f"east={east.url}")

    def end_relay() -> None:
        relay.process.terminate()
        relay.process.wait(timeout=30)

    cached_and_overwritten(east, west, stored_in_west, "told", end_relay)
    # It is fresh for 10 minutes, and nobody has told the cache, which on a busy machine may be too slow for a read.
    until(lambda: cached(west, "told") == "old", "the old copy")

    again = start_relay(**of_both["west"], KV_PEERS=f"east={east.url}")
    until(lambda: cached(west, "told") == "new", "the second value in the west's cache")
    assert again.metric(LOST) == 0


def test_what_the_feed_has_lost_is_seen_when_the_copys_time_is_over_and_the_loss_is_counted(
    of_both: Settings,
    caches: dict[str, Valkey],
    start_pod: StartPod,
    start_relay: StartPod,
    stored_in_west: Stored,
) -> None:
    of_both["west"]["KV_CACHE_TTL_S"] = str(TTL_S)
    east, west = start_pod(**of_both["east"]), start_pod(**of_both["west"])
    relay = start_relay(**of_both["west"], KV_PEERS=f"east={east.url}")
    applied = 'kv_relay_entries_total{outcome="applied",peer="east"}'

    def end_relay() -> None:
        until(lambda: relay.metric(applied) > 0, "the relay's place in the feed")
        relay.process.terminate()
        relay.process.wait(timeout=30)

    cached_and_overwritten(east, west, stored_in_west, "lost", end_relay)
    answers = [get(west, "lost")]
    caches["east"].client.flushall()
    again = start_relay(**of_both["west"], KV_PEERS=f"east={east.url}")
    until(lambda: again.metric(LOST) == 1, "the loss")

    def is_new() -> bool:
        answers.append(get(west, "lost"))
        return answers[-1][0] == "new"

    until(is_new, "the second value in the west")
    assert all(value == "old" and age_s is not None and age_s <= TTL_S for value, age_s in answers[:-1])
    assert again.metric(applied) == 0  # nobody else has told it
