"""Real parts for all integration tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kvparts import StartPod, Valkey, pods, valkeys


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with valkeys(tmp_path) as server:
        yield server


@pytest.fixture
def start_pod(tmp_path: Path) -> Iterator[StartPod]:
    """Pods of one test."""
    with pods(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPod]:
    """Pods of all tests of a module."""
    with pods(tmp_path_factory.mktemp("pods")) as start:
        yield start
