"""Races on real Valkey, counted: after each, is what the cache holds what the store holds? The same harness runs with
the usual policies, to show that it can catch what goes wrong."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kvcaching import FillingPod, MemoryStore, envelope

from kvservice.cache.entry import entry_name, trailer
from kvservice.cache.redis import RedisCache
from kvservice.core.clock import system_us
from kvservice.core.ports import Key

pytestmark = [pytest.mark.real, pytest.mark.counted]
AT_ONCE = 50
OLD, NEW, NEWER = envelope(256, b"old"), envelope(512, b"new"), envelope(768, b"newer")


class Plain(RedisCache):
    """What most services do: a refill is a SET, and a write is what `on_write` says, SET or DEL."""

    on_write = "DEL"

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        shard, name = self._shard(entry_name(key)), entry_name(key)
        if announce and self.on_write == "DEL":
            await shard.run(shard.redis.delete, name)
        else:
            await shard.run(shard.redis.set, name, envelope + trailer(system_us(), 600, 0) + b"\0")


class WriteThrough(Plain):
    on_write = "SET"


class SlowAnswers(MemoryStore):
    """What it found in `there` is said at once, or after the writer's `put`, or when all is done."""

    def __init__(self, there: MemoryStore, chance: random.Random) -> None:
        super().__init__(envelopes=there.envelopes)
        self._chance = chance
        self.found, self.put_, self.done = (_events() for _ in range(3))

    async def read(self, key: Key, *, quorum: bool = True) -> bytes | None:
        envelope = self.envelopes.get(key)
        self.found[key].set()
        if (waits_for := self._chance.choice([None, self.put_, self.done, self.done])) is not None:
            await waits_for[key].wait()
        return envelope


def _events() -> defaultdict[Key, asyncio.Event]:
    return defaultdict(asyncio.Event)


class Bench:
    """A reader's pod and two writers', over one store whose every step takes its adversarial time."""

    def __init__(self, caches: list[Any], seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = MemoryStore(pause=self.pause)
        self.slow = SlowAnswers(self.store, self.chance)
        self.reader, *self.writers = (
            FillingPod(store, cache) for store, cache in zip((self.slow, self.store, self.store), caches, strict=True)
        )
        self.cache = caches[0]

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.choice([0, 0.002, 0.004]))

    async def write(self, writer: int, key: Key, envelope: bytes) -> None:
        await self.pause()
        await self.store.put(key, envelope)
        self.slow.put_[key].set()
        self.writers[writer].filling.wrote(key)
        await self.writers[writer].suspects.publish(key, envelope)

    async def reader_and_writer(self, key: Key) -> None:
        self.store.envelopes[key] = OLD
        reading = asyncio.create_task(self.reader.read(key))
        if self.chance.random() < 0.5:  # else whoever comes first
            await self.slow.found[key].wait()
        await self.write(0, key, NEW)
        self.slow.done[key].set()
        await reading

    async def two_writers(self, key: Key) -> None:
        await asyncio.gather(self.write(0, key, NEW), self.write(1, key, NEWER))

    async def is_stale(self, key: Key) -> bool:
        copy = await self.cache.get(key)
        return copy is not None and copy.envelope != self.store.envelopes[key]

    async def stale_after(self, race: Callable[[Key], Awaitable[None]], rounds: int, name: str) -> int:
        stale = 0
        for begin in range(0, rounds, AT_ONCE):
            keys = [Key(name, str(number)) for number in range(begin, min(begin + AT_ONCE, rounds))]
            await asyncio.gather(*(race(key) for key in keys))
            stale += sum(await asyncio.gather(*(self.is_stale(key) for key in keys)))
        return stale


@pytest.fixture
def bench(open_cache: Any, valkey: Any) -> Callable[[type[RedisCache]], Bench]:
    return lambda policy: Bench([open_cache(valkey.url, policy=policy) for _ in range(3)], seed=1)


async def test_a_slow_reader_and_a_writer_leave_nothing_stale(bench: Any, counted: Any) -> None:
    rounds = counted(short=1_000, full=10_000)
    ours, usual = bench(RedisCache), bench(Plain)
    stale = await ours.stale_after(ours.reader_and_writer, rounds, "ours")
    caught = await usual.stale_after(usual.reader_and_writer, rounds, "usual")
    counted.tell(f"reader/writer races: {stale} of {rounds} stale; with delete-on-write {caught} of {rounds}")

    assert stale == 0
    assert caught >= rounds / 10


async def test_two_writers_leave_nothing_stale(bench: Any, counted: Any) -> None:
    rounds = counted(short=1_000, full=10_000)
    ours, usual = bench(RedisCache), bench(WriteThrough)
    stale = await ours.stale_after(ours.two_writers, rounds, "ours")
    caught = await usual.stale_after(usual.two_writers, rounds, "usual")
    counted.tell(f"writer/writer races: {stale} of {rounds} stale; with write-through {caught} of {rounds}")

    assert stale == 0
    assert caught >= rounds / 10


async def test_nor_do_a_reader_and_a_writer_when_the_shard_is_flushed_between(
    bench: Any, valkey: Any, counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = counted(short=500, full=5_000)

    async def stale(name: str) -> int:
        pods: Bench = bench(RedisCache)
        found = 0
        for begin in range(0, rounds, AT_ONCE):
            keys = [Key(name, str(number)) for number in range(begin, begin + AT_ONCE)]
            pods.store.envelopes.update(dict.fromkeys(keys, OLD))
            readings = [asyncio.create_task(pods.reader.read(key)) for key in keys]
            await asyncio.gather(*(pods.slow.found[key].wait() for key in keys))
            await asyncio.gather(*(pods.write(0, key, NEW) for key in keys))
            valkey.client.flushall()
            for key in keys:
                pods.slow.done[key].set()
            await asyncio.gather(*readings)
            found += sum(await asyncio.gather(*(pods.is_stale(key) for key in keys)))
        return found

    ours = await stale("ours")
    monkeypatch.setattr("kvservice.cache.shard.Shard.epoch_at", lambda *_: b"")
    caught = await stale("usual")
    counted.tell(f"reader/writer races with a flush: {ours} of {rounds} stale; without epochs {caught} of {rounds}")

    assert ours == 0
    assert caught >= rounds / 10
