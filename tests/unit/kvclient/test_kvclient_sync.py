"""The client for threads: the same answers, from anywhere, and nothing left behind."""

import asyncio
import gc
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from inspect import Parameter, isfunction, signature
from typing import Any

import httpx
import pytest

from kvclient import AsyncClient, AsyncSession, Client, ClientClosed, Delete, Item, Session, Unavailable, Written


def answered(request: httpx.Request) -> httpx.Response:
    """The id is the value."""
    if request.url.path.endswith("/items"):
        shown = {"version": "7", "contentType": "x/y", "value": "dg=="}
        items = [{"item": "b", **shown}] if "page" in request.url.params else [{"item": "a", **shown}]
        return httpx.Response(200, json={"items": items, "next": None if "page" in request.url.params else "more"})
    if request.method == "POST":
        return httpx.Response(200, json={"results": [{"status": 204, "version": "8"}]})
    if request.method in {"PUT", "PATCH", "DELETE"}:
        return httpx.Response(204, headers={"etag": '"8"', "kv-session": "t1"})
    value = request.url.path.rsplit("/", 1)[1].encode()
    return httpx.Response(200, headers={"etag": '"7"', "kv-session": "t2"}, content=value)


def client(answer: Any = answered, **options: Any) -> Client:
    return Client("http://eu", transport=httpx.MockTransport(answer), **options)


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kvclient"]


def test_all_calls_give_what_the_asynchronous_ones_do() -> None:
    with client() as kv:
        record = kv.get("demo", "a")
        assert record is not None
        assert record.value == b"a"
        assert kv.get("demo", "a", known=record) is not None
        head = kv.head("demo", "a")
        assert head is not None
        assert head.version == 7
        assert kv.exists("demo", "a")
        written = Written(8, created=False, replayed=False)
        assert kv.put("demo", "a", b"v", ttl_s=1, if_match=7) == written
        assert kv.patch("demo", "a", {"b": 1}) == written
        assert kv.delete("demo", "a", "item", if_match=7) == written
        assert kv.write_many("demo", [Delete("a")]) == [written]
        items = [Item(name, b"v", "x/y", 7, None) for name in "ab"]
        assert list(kv.items("demo", "a", prefix="p")) == items
        assert kv.get_many("demo", []) == []


@pytest.mark.parametrize(("sync", "asynchronous"), [(Client, AsyncClient), (Session, AsyncSession)])
def test_both_have_the_same_calls_with_the_same_arguments(sync: type, asynchronous: type) -> None:
    def calls(kind: type) -> dict[str, list[Parameter]]:
        methods = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
        return {name: list(signature(call).parameters.values()) for name, call in methods.items() if isfunction(call)}

    theirs = calls(asynchronous)
    del theirs["page"]  # what `items` of both is made of
    if "aclose" in theirs:
        theirs["close"] = theirs.pop("aclose")

    assert calls(sync) == theirs


def test_sessions_carry_their_tokens() -> None:
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("kv-session"))
        return answered(request)

    with client(answer) as kv, kv.session() as session:
        session.put("demo", "a", b"v")
        session.get("demo", "a")
        kv.get("demo", "a")

    assert sent == ["", "t1", None]
    assert str(session) == "t2"


def test_threads_share_a_client() -> None:
    with client() as kv, ThreadPoolExecutor(16) as pool:
        records = list(pool.map(lambda id_: kv.get("demo", id_), map(str, range(500))))

    assert [record and record.value for record in records] == [str(number).encode() for number in range(500)]


def test_errors_come_to_who_called() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with client(refuse, deadline_s=0.05) as kv, pytest.raises(Unavailable, match="refused"):
        kv.get("demo", "a")


def test_it_works_inside_a_running_event_loop() -> None:
    async def story() -> bool:
        with client() as kv:
            return kv.exists("demo", "a")

    assert asyncio.run(story())


def test_closing_ends_the_thread_and_may_be_done_again() -> None:
    kv = client()
    session = kv.session()
    assert workers()
    kv.close()
    kv.close()

    assert not workers()
    with pytest.raises(ClientClosed, match="the client is closed; make a new one"):
        session.get("demo", "a")


def test_closing_ends_the_calls_under_way() -> None:
    begun = threading.Event()

    async def hang(_request: httpx.Request) -> httpx.Response:
        begun.set()
        await asyncio.sleep(1e6)
        raise AssertionError

    kv = client(hang, deadline_s=1e6)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(kv.get, "demo", "a")
        assert begun.wait(10)
        kv.close()
        with pytest.raises(ClientClosed, match="while the call was under way"):
            call.result(10)


def test_a_client_that_was_forgotten_is_closed() -> None:
    kv = client()
    session = kv.session()
    thread = workers()[0]
    del kv
    gc.collect()
    assert session.exists("demo", "a")  # a session keeps its client
    del session
    gc.collect()
    thread.join(10)

    assert not thread.is_alive()


def test_a_wrong_client_leaves_no_thread() -> None:
    with pytest.raises(ValueError, match="home is 'us'"):
        Client("http://eu", home="us")
    assert not workers()


def test_after_a_fork_the_client_is_refused_and_the_parents_goes_on() -> None:
    with client() as kv:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of later Pythons: threads and forks do not go together
            child = os.fork()
        if child == 0:
            try:
                kv.get("demo", "a")
            except ClientClosed as error:
                os.write(writing, str(error).encode())
            kv.close()
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as said:
            message = said.read()
        os.waitpid(child, 0)

        assert message.startswith(f"the client was made in process {os.getpid()}, this is {child}: ")
        assert kv.exists("demo", "a")
