"""docs/service-api.md is under test: what the service has must be in it, and nothing it has not."""

import re
from pathlib import Path

from kvservice.http.problems import KINDS
from kvservice.settings import Settings
from kvservice.telemetry import Telemetry

PAGE = (Path(__file__).parents[3] / "docs" / "service-api.md").read_text()


def test_every_problem_has_its_section_with_its_status() -> None:
    assert dict(re.findall(r"^### (\S+)\n(\d+)\.", PAGE, re.MULTILINE)) == {
        kind.slug: str(kind.status) for kind in KINDS
    }


def test_every_setting_is_named() -> None:
    assert set(re.findall(r"`(KV_[A-Z_]+)`", PAGE)) == {f"KV_{name.upper()}" for name in Settings.model_fields}


def test_every_metric_is_listed() -> None:
    telemetry = Telemetry(edges_s=(), build="b", version="v", region="r", revision="s")
    exported = set(re.findall(r"^# TYPE (kv_\S+)", telemetry.page().decode(), re.MULTILINE))

    assert set(re.findall(r"^\| `(kv_\w+)`", PAGE, re.MULTILINE)) == exported
