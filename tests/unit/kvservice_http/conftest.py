"""The application with fake use cases; an in-process client needs no closing."""

import httpx
import pytest
from kvhttp import Service


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def client(service: Service) -> httpx.AsyncClient:
    return service.serve()
