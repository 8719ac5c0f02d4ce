"""`ports.Metrics` by prometheus-api-client, which is synchronous: each query runs in a thread of its own.

No retries: the next look is the retry, and a gate that waits through retries would hold a bad canary's traffic up.
"""

import asyncio

import requests
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect
from urllib3.util.retry import Retry

from kvoperator.core.judge import Samples, read

TIMEOUT_S = 2


class Prometheus:
    def __init__(self, url: str) -> None:
        self._client = PrometheusConnect(url, retry=Retry(total=0, raise_on_status=False), timeout=TIMEOUT_S)

    async def query(self, promql: str) -> Samples | str:
        """NaN and infinities are left out by `read`: they are no counts."""
        try:
            return read(await asyncio.to_thread(self._client.custom_query, promql))
        # The client lets both families through, and an answer of another shape (a scalar, HTML) is neither.
        except (PrometheusApiClientException, requests.RequestException, KeyError, TypeError, ValueError) as error:
            return f"Prometheus gave no answer: {type(error).__name__} {str(error)[:300]}"
