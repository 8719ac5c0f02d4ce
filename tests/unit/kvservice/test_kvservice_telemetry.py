import re

import pytest

from kvservice.telemetry import CODES, ROUTES, Telemetry


def telemetry(*edges_s: float) -> Telemetry:
    return Telemetry(edges_s=edges_s, build="b1", version="1", region="here", revision="r1")


def test_all_request_label_sets_are_there_at_zero_before_the_first_request() -> None:
    found = re.findall(
        r'^kv_http_requests_total\{code="(\d+)",method="(\w+)",route="(\w+)"\} 0.0$', telemetry().page().decode(), re.M
    )

    assert set(found) == {(str(code), method, route) for code in CODES for route in ROUTES for method in ROUTES[route]}


@pytest.mark.parametrize("edge", ["0.03", "0.1", "2.0", "30.0"])
def test_slo_thresholds_are_bucket_edges(edge: str) -> None:
    page = telemetry(0.03, 0.1, 2, 30).page().decode()

    assert f'kv_http_request_duration_seconds_bucket{{le="{edge}",method="GET",route="record"}} 0.0' in page


def test_an_unknown_method_makes_no_new_series() -> None:
    one = telemetry()
    one.request("BREW", "other", 405, 0.001)

    assert 'kv_http_requests_total{code="405",method="other",route="other"} 1.0' in one.page().decode()
    assert "BREW" not in one.page().decode()
