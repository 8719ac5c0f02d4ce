"""What the drills over both stores share: clients with sessions, pods with a surprise, relays, and how they are put to
work. A folder's conftest imports the fixtures."""

import asyncio
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from history.links import Link, linked
from history.model import Consistency, Kind, Mode, Operation, Outcome, Record
from history.recorder import Recorder, contents
from kvparts import Pod, StartPod, Valkey, free_address, running, wait_until

NewClient = Callable[[str, Mode], Recorder]
Final = dict[str, dict[str, Record]]

DEADLY = """
import os, signal
from {module} import {store}

done = {store}.{step}

async def and_die(self, key, *rest, **more):
    answer = await done(self, key, *rest, **more)
    if key.id.startswith("the record"):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

{store}.{step} = and_die
"""
"""For `start_altered_pod`: dies when the store has acknowledged that step for that record, before anybody is told."""


@pytest.fixture(autouse=True)
def settings_of_drills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all pods: a namespace of each mode, named after it; tokens that all of them know."""
    namespaces = [{"name": mode, "writeMode": mode, "sessionElsewhere": "mark"} for mode in Mode]
    monkeypatch.setenv("KV_NAMESPACES", json.dumps(namespaces))
    monkeypatch.setenv("KV_SESSION_SECRET", "of the drills")
    monkeypatch.setenv("KV_RELAY_TOKEN", "of-the-drills")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def histories() -> dict[Mode, list[Operation]]:
    """What the clients of `new_client` record."""
    return {mode: [] for mode in Mode}


@pytest.fixture
def new_client(http: httpx.AsyncClient, histories: dict[Mode, list[Operation]]) -> NewClient:
    """-> new(name, mode) -> a client with a session, in the namespace of that mode."""

    def new(name: str, mode: Mode) -> Recorder:
        return Recorder(http, histories[mode], name, random.Random(name), namespace=mode)

    return new


@pytest.fixture
def start_altered_pod(start_pod: StartPod, tmp_path: Path) -> Callable[..., Pod]:
    """-> start(code, **settings) -> a pod in whose process that code has run before the service's own."""

    def start(code: str, **settings: str) -> Pod:
        folder = tmp_path / f"altered-{len(list(tmp_path.glob('altered-*')))}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
        return start_pod(PYTHONPATH=str(folder), **settings)

    return start


@pytest.fixture
def start_relay(tmp_path: Path) -> Iterator[StartPod]:
    """-> start(**settings) -> a ready relay."""
    with ExitStack() as stack:

        def start(**settings: str) -> Pod:
            address = free_address()
            log = tmp_path / f"relay-{address}.log"
            command = [sys.executable, "-m", "kvservice.main", "relay"]
            process = stack.enter_context(running(command, log, KV_BIND=address, **settings))
            relay = Pod(address, process, log)
            wait_until(relay.ready, "the relay", process)
            return relay

        yield start


# A retry


async def lost_and_retried(client: Recorder, other: Recorder, key: str, healthy: Pod) -> tuple[Operation, ...]:
    """`client` talks to a pod that dies before it answers; then to the healthy one, with a write of `other` in between.
    -> the lost attempt, what `other` then saw, its write, the retry, another retry."""
    lost = await client.put(key, token="once")
    seen = await other.get(key, Consistency.QUORUM)
    later = await other.put(key)
    retried = await client.at(client.region, [healthy.url]).put(key, value=lost.value, token="once")
    again = await client.put(key, value=lost.value, token="once")
    return lost, seen, later, retried, again


# Sessions


async def pairs_through_faults(
    clients: Sequence[Recorder], keys: Sequence[str], total: int, valkey: Valkey, log: Path, counted: Any
) -> None:
    """So many writes that are read back, by clients at once, while the cache is emptied, killed, and comes back."""
    turns = counted.told(range(total), "pairs")
    with ExitStack() as stack:
        faults: dict[int, Callable[[], object]] = {
            total // 3: valkey.client.flushall,
            total * 2 // 3: valkey.process.kill,
            total * 5 // 6: lambda: stack.enter_context(running(valkey.process.args, log)),  # type: ignore[arg-type]
        }
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients):
                tasks.create_task(_pairs(client, random.Random(number), keys, turns, faults))


async def _pairs(
    client: Recorder,
    chance: random.Random,
    keys: Sequence[str],
    turns: Iterator[int],
    faults: Mapping[int, Callable[[], object]],
) -> None:
    """Writes and reads back; and now and then reads what others wrote, or deletes. Who has a fault's turn plays it."""
    for turn in turns:
        if turn in faults:
            await asyncio.to_thread(faults[turn])
        key = chance.choice(keys)
        if chance.random() < 0.1:
            await client.delete(key)
        else:
            await client.put(key)
        await client.get(key)
        if chance.random() < 0.3:
            await client.get(chance.choice(keys), chance.choice([Consistency.SESSION, Consistency.QUORUM]))


# Regions


@dataclass
class Region:
    name: str
    pods: Sequence[Pod]
    relay: Pod
    link: Link
    """From its relay to the peer's pods."""

    @property
    def urls(self) -> list[str]:
        return [pod.url for pod in self.pods]


@asynccontextmanager
async def two_regions(
    settings: Mapping[str, dict[str, str]], start_pod: StartPod, start_relay: StartPod
) -> AsyncIterator[list[Region]]:
    """Of two pods and a relay each. `settings`: region -> of its processes."""
    pods = {name: [await asyncio.to_thread(start_pod, **own) for _ in range(2)] for name, own in settings.items()}
    async with AsyncExitStack() as stack:
        regions = []
        for name, peer in zip(settings, reversed([*settings]), strict=True):
            link = await stack.enter_async_context(linked(free_address(), 8080, pods[peer][0].address))
            peers = f"{peer}=http://{link.address}:{link.port}"
            relay = await asyncio.to_thread(start_relay, **settings[name], KV_PEERS=peers)
            regions.append(Region(name, pods[name], relay, link))
        yield regions


Crew = list[tuple[Recorder, Sequence[Region]]]
"""Clients, and between which regions each goes to and fro."""


def crew_of(regions: Sequence[Region], new_client: NewClient) -> Crew:
    """Four clients that begin in each region, half of whom stay there."""
    return [
        (new_client(f"{region.name}-{number}", Mode.LWW).at(region.name, region.urls), regions if number < 2 else ())
        for region in regions
        for number in range(4)
    ]


async def phase(name: str, crew: Crew, keys: Sequence[str], operations: int) -> None:
    """So many operations of each client, all clients at once."""
    async with asyncio.TaskGroup() as tasks:
        for number, (client, others) in enumerate(crew):
            tasks.create_task(_work(client, random.Random(f"{name} {number}"), keys, operations, others))


async def _work(
    client: Recorder, chance: random.Random, keys: Sequence[str], operations: int, others: Sequence[Region]
) -> None:
    for _ in range(operations):
        if others and chance.random() < 0.2:
            region = chance.choice(others)
            client.at(region.name, region.urls)
        key, kind = chance.choice(keys), chance.random()
        if kind < 0.5:
            await client.put(key)
        elif kind < 0.55:
            await client.delete(key)
        else:
            await client.get(key)


async def settled(
    http: httpx.AsyncClient, regions: Sequence[Region], keys: Sequence[str], *, patience_s: float = 30
) -> Final:
    """What the regions hold once they agree, or at the end of our patience."""
    give_up_s = time.monotonic() + patience_s
    while True:
        final = {region.name: await contents(http, region.urls[0], Mode.LWW, keys) for region in regions}
        if final["east"] == final["west"] or time.monotonic() > give_up_s:
            return final
        await asyncio.sleep(0.1)


async def caught_up(regions: Sequence[Region], *, patience_s: float = 60) -> None:
    """Until the relays know all that was written before."""
    begin_s = time.monotonic()
    for region, peer in zip(regions, reversed(regions), strict=True):
        lag = f'kv_relay_lag_seconds{{peer="{peer.name}"}}'
        while await asyncio.to_thread(region.relay.metric, lag) >= time.monotonic() - begin_s:
            assert time.monotonic() - begin_s < patience_s, f"the relay of {region.name} is behind {peer.name}"
            await asyncio.sleep(0.1)


def on_both_sides(operations: Sequence[Operation], cut_ns: int, healed_ns: int) -> set[str]:
    """Keys that two regions wrote between the two moments."""
    wrote: dict[str, set[str]] = defaultdict(set)
    for each in operations:
        if each.kind is Kind.WRITE and each.outcome is Outcome.OK and cut_ns <= each.begin and each.end <= healed_ns:
            wrote[each.key].add(each.region)
    return {key for key, regions in wrote.items() if len(regions) > 1}


def conflicts(regions: Sequence[Region]) -> tuple[int, list[str]]:
    """-> how many were counted, and the ids of those that were logged."""
    processes = [process for region in regions for process in (*region.pods, region.relay)]
    counted = sum(int(process.metric("kv_conflicts_total")) for process in processes)
    lines = [json.loads(line) for process in processes for line in process.log().splitlines() if '"conflict"' in line]
    return counted, [line["id"] for line in lines]
