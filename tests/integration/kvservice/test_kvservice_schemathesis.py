"""Schemathesis reads a running pod's OpenAPI document, sends what it describes and what it does not, and looks at every
answer: nothing undocumented, nothing that is the service's fault."""

from collections import Counter
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
TOKEN = "relay-token"


@pytest.fixture(scope="module")
def pod(start_shared_pod: Any) -> Any:
    return start_shared_pod(KV_RELAY_TOKEN=TOKEN)


@pytest.fixture(scope="module")
def schema(pod: Any) -> Any:
    return schemathesis.openapi.from_url(f"{pod.url}/openapi.json")


def overridden(case: Any, mode: GenerationMode) -> dict[str, str]:
    """A deadline that can be met instead of one that is there to be missed; and a session that is begun, because no
    generator can guess a signature."""
    sent = case.headers or {}
    deadline_ms = str(sent.get("KV-Deadline-Ms", ""))
    is_short = deadline_ms.isdecimal() and 1 <= int(deadline_ms) < 5000
    is_guessed = mode is GenerationMode.POSITIVE and "KV-Session" in sent
    return {**({"KV-Deadline-Ms": "5000"} if is_short else {}), **({"KV-Session": ""} if is_guessed else {})}


def statuses_of(operation: Any, mode: GenerationMode, examples: int, session: requests.Session) -> Counter[int]:
    """Sends that many requests to the operation, checks each answer, and counts them by status."""
    statuses: Counter[int] = Counter()
    own = {"Authorization": f"Bearer {TOKEN}"} if operation.path == "/v1/changes" else {}

    @seed(1)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def send(case: Any) -> None:
        response = case.call(session=session, headers={**own, **overridden(case, mode)}, timeout=30)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    send()
    return statuses


@pytest.mark.real
@pytest.mark.counted
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_gets_a_server_error_or_an_undocumented_answer(
    schema: Any, mode: GenerationMode, counted: Any
) -> None:
    examples = counted(short=40, full=500)
    total: Counter[int] = Counter()
    operations = [result.ok() for result in schema.get_all_operations()]
    with requests.Session() as session:
        for operation in operations:
            total += statuses_of(operation, mode, examples, session)
            counted.progress(f"{mode.value} {operation.method.upper()} {operation.path}: {total.total()} sent")
    shown = ", ".join(f"{count} x {status}" for status, count in sorted(total.items()))
    counted.tell(f"{total.total()} {mode.value} requests to {len(operations)} operations: {shown}")
