"""How a pod ends: unready at once, serving on, no request lost."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx


async def slow_body(begun: asyncio.Event, go: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"begin "
    begun.set()
    await go.wait()
    yield b"end"


async def until_refused(pod: Any) -> None:
    """Until the data port takes no more connections."""
    async with httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(pod.url)
            except httpx.ConnectError:
                return
            except httpx.TransportError:
                pass  # it waited in the kernel's backlog when the socket closed, which drops it unanswered
            await asyncio.sleep(0.01)


async def test_requests_in_flight_end_well_and_the_pod_exits_0(start_pod: Any) -> None:
    pod = start_pod(KV_DRAIN_S="0.5")
    go = asyncio.Event()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"{pod.url}/v1/kv/demo", timeout=30, limits=limits) as client:
        begun = [asyncio.Event() for _ in range(20)]
        bodies = [slow_body(event, go) for event in begun]
        writes = [asyncio.create_task(client.put(f"/{number}", content=body)) for number, body in enumerate(bodies)]
        for event in begun:
            await event.wait()
        pod.process.send_signal(signal.SIGTERM)
        await until_refused(pod)
        still_answers = (await client.get(f"{pod.admin}/healthz")).status_code
        await asyncio.sleep(0.5)  # longer than uvicorn lets pass before it looks at what is still under way
        go.set()
        answers = await asyncio.gather(*writes)

    assert still_answers == 200
    assert [answer.status_code for answer in answers] == [201] * 20
    assert await asyncio.to_thread(pod.process.wait, 30) == 0


def test_a_client_that_heeds_readiness_sees_no_failure(start_pod: Any) -> None:
    """As a gateway does: it goes on with its connections until it sees the pod unready."""
    pod = start_pod(KV_DRAIN_S="3")
    codes: list[int] = []
    closes: list[str | None] = []
    unready = threading.Event()

    def load() -> None:
        with httpx.Client(timeout=10) as client:
            while not unready.is_set():
                answer = client.put(f"{pod.url}/v1/kv/demo/a", content=b"x")
                codes.append(answer.status_code)
                closes.append(answer.headers.get("connection"))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(codes) < 100:
        unready.wait(0.01)
    pod.process.send_signal(signal.SIGTERM)
    while pod.ready():
        pass
    seen = len(codes)
    while len(codes) < seen + 50:
        unready.wait(0.01)
    unready.set()
    for thread in threads:
        thread.join()

    assert {*codes} <= {201, 204}
    assert {*closes[:100]} == {None}
    assert {*closes[-20:]} == {"close"}
    assert pod.process.wait(30) == 0


def test_the_pod_says_draining_and_serves_on(start_pod: Any) -> None:
    pod = start_pod(KV_DRAIN_S="60")
    pod.process.send_signal(signal.SIGTERM)
    while pod.ready():
        pass

    assert httpx.get(f"{pod.admin}/readyz").text == "draining\n"
    assert httpx.get(f"{pod.url}/v1/kv/demo/a").headers["connection"] == "close"
    pod.process.send_signal(signal.SIGTERM)  # a second one hurries
    assert pod.process.wait(30) == 0


def test_ctrl_c_ends_it_without_a_wait(start_pod: Any) -> None:
    pod = start_pod(KV_DRAIN_S="60")
    pod.process.send_signal(signal.SIGINT)

    assert pod.process.wait(30) == 0
    assert "Traceback" not in pod.log()
