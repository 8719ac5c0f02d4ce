"""Pods and their cache: one that hangs or forgets changes no answer."""

import signal
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.real
SUSPECT = "kv_cache_suspect_keys"


def kept(valkey: Any) -> bytes:
    """The payload of demo/a, without the trailer."""
    entry: bytes = valkey.client.get("kv1:demo:a")
    return entry[:-17]


def test_a_pod_whose_cache_hangs_answers_from_the_store_and_tells_it_later(start_pod: Any, valkey: Any) -> None:
    pods = [start_pod(KV_CACHE_URLS=valkey.url) for _ in range(2)]
    url, other = (f"{pod.url}/v1/kv/demo/a" for pod in pods)
    httpx.put(url, content=b"one")
    httpx.get(other)
    valkey.process.send_signal(signal.SIGSTOP)
    answers = [httpx.put(url, content=b"two").status_code, httpx.get(url).content, httpx.get(other).content]
    was_ready, was_suspect = pods[0].ready(), pods[0].metric(SUSPECT)
    valkey.process.send_signal(signal.SIGCONT)
    wait_until_mended(pods[0])

    assert answers == [204, b"two", b"two"]
    assert (was_ready, was_suspect) == (True, 1)
    assert kept(valkey).endswith(b"two")
    assert httpx.get(other).content == b"two"


def test_a_cache_that_was_emptied_is_filled_again(start_pod: Any, valkey: Any) -> None:
    pod = start_pod(KV_CACHE_URLS=valkey.url)
    url = f"{pod.url}/v1/kv/demo/a"
    httpx.put(url, content=b"one")
    valkey.client.flushall()

    assert httpx.get(url).content == b"one"
    assert kept(valkey).endswith(b"one")
    assert "age" in httpx.get(url).headers


def wait_until_mended(pod: Any) -> None:
    for _ in range(600):
        if pod.metric(SUSPECT) == 0:
            return
    pytest.fail("the key is suspect after 600 looks")
