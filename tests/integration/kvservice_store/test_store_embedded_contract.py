"""The embedded store keeps the promises of every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from store_contract import StoreContract

from kvservice.store.embedded import EmbeddedStore
from kvservice.telemetry import Telemetry


def pod(folder: Path) -> EmbeddedStore:
    telemetry = Telemetry(edges_s=(), build="", version="", region="", revision="")
    return EmbeddedStore(folder / "store.db", telemetry)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = pod(tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = pod(tmp_path)
    yield store
    await store.close()


class TestEmbedded(StoreContract):
    pass
