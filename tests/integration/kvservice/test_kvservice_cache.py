"""The region's cache on a real Valkey: nothing old ever replaces anything newer, and a cache in trouble is no error."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kvservice.cache.redis import RedisCache
from kvservice.core.envelope import Envelope, encode
from kvservice.core.ports import Key
from kvservice.errors import CacheUnavailable
from kvservice.telemetry import Telemetry

pytestmark = pytest.mark.real
KEY = Key("ns", "id")
SERIES = "kv_cache_suspect_keys"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no fault of the cache's."""
    monkeypatch.setattr("kvservice.cache.redis.TIMEOUT_S", 10)


@pytest.fixture
async def cache(valkey: Any, _patient: None) -> AsyncIterator[RedisCache]:
    telemetry = Telemetry(edges_s=(), build="", version="", region="", revision="")
    cache = RedisCache(valkey.url, 60, telemetry)
    yield cache
    await cache.close()


def envelope(version: int, payload: bytes = b"") -> bytes:
    return encode(Envelope(version, "here", "", payload))


async def test_what_was_offered_is_there_for_the_time_to_live(cache: RedisCache, valkey: Any) -> None:
    await cache.offer(KEY, envelope(256, b"\x00\xff"))

    assert await cache.get(KEY) == envelope(256, b"\x00\xff")
    assert 0 < valkey.client.pttl("kv:ns:id") <= 60_000


@pytest.mark.parametrize("step", [1, 255, 256, 2**31, 2**32, 2**40, 2**56])
async def test_a_newer_version_replaces_an_older_one_and_not_the_reverse(cache: RedisCache, step: int) -> None:
    versions = [2**52, 2**52 + step]
    for version in versions:
        await cache.offer(KEY, envelope(version))
    await cache.offer(KEY, envelope(versions[0]))

    assert await cache.get(KEY) == envelope(versions[1])


async def test_the_newest_of_racing_offers_stays(cache: RedisCache) -> None:
    chance = random.Random(1)
    for race in range(50):
        key = Key("ns", str(race))
        versions = [256 * number for number in range(1, 21)]
        chance.shuffle(versions)
        await asyncio.gather(*(cache.offer(key, envelope(version)) for version in versions))

        assert await cache.get(key) == envelope(256 * 20)


async def test_a_slow_readers_refill_brings_no_deleted_record_back(cache: RedisCache) -> None:
    old = envelope(256, b"old")
    await cache.offer(KEY, encode(Envelope(512, "here", "", b"", tombstone=True)))
    await cache.offer(KEY, old)

    assert await cache.get(KEY) != old


async def test_a_server_that_has_forgotten_the_script_is_taught_again(cache: RedisCache, valkey: Any) -> None:
    await cache.offer(KEY, envelope(256))
    valkey.client.script_flush()
    await cache.offer(KEY, envelope(512))

    assert await cache.get(KEY) == envelope(512)


async def test_more_callers_than_connections_wait_their_turn(cache: RedisCache) -> None:
    await cache.offer(KEY, envelope(256))

    assert {*await asyncio.gather(*(cache.get(KEY) for _ in range(500)))} == {envelope(256)}


async def test_a_refusal_is_no_outage(cache: RedisCache, valkey: Any) -> None:
    valkey.client.rpush("kv:ns:list", "x")
    for _ in range(10):
        with pytest.raises(CacheUnavailable, match="WRONGTYPE"):
            await cache.get(Key("ns", "list"))

    assert await cache.get(KEY) is None


async def test_a_dead_cache_is_left_alone_after_some_failures(cache: RedisCache, valkey: Any) -> None:
    valkey.process.kill()
    valkey.process.wait()
    reasons: list[str] = []
    while not reasons or "left alone" not in reasons[-1]:
        with pytest.raises(CacheUnavailable) as failure:
            await cache.get(KEY)
        reasons.append(str(failure.value))

    assert len(reasons) > 5


def test_a_pod_whose_cache_hangs_answers_from_the_store_and_tells_it_later(start_pod: Any, valkey: Any) -> None:
    pods = [start_pod(KV_CACHE_URL=valkey.url) for _ in range(2)]
    url, other = (f"{pod.url}/v1/kv/demo/a" for pod in pods)
    httpx.put(url, content=b"one")
    httpx.get(other)
    valkey.process.send_signal(signal.SIGSTOP)
    answers = [httpx.put(url, content=b"two").status_code, httpx.get(url).content, httpx.get(other).content]
    was_ready, was_suspect = pods[0].ready(), pods[0].metric(SERIES)
    valkey.process.send_signal(signal.SIGCONT)
    wait_until_mended(pods[0])

    assert answers == [204, b"two", b"two"]
    assert (was_ready, was_suspect) == (True, 1)
    assert valkey.client.get("kv:demo:a").endswith(b"two")
    assert httpx.get(other).content == b"two"


def test_a_cache_that_was_restarted_empty_is_a_miss(start_pod: Any, valkey: Any) -> None:
    pod = start_pod(KV_CACHE_URL=valkey.url)
    httpx.put(f"{pod.url}/v1/kv/demo/a", content=b"one")
    valkey.client.flushall()

    assert httpx.get(f"{pod.url}/v1/kv/demo/a").content == b"one"
    assert valkey.client.get("kv:demo:a").endswith(b"one")


def wait_until_mended(pod: Any) -> None:
    for _ in range(600):
        if pod.metric(SERIES) == 0:
            return
    pytest.fail("the key is suspect after 600 looks")
