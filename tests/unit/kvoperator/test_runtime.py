"""The process around it all: settings, and what the watches tell."""

import asyncio
from typing import Any

import kopf
import pytest

from kvoperator.errors import SettingsError
from kvoperator.ports import KINDS, KVCLUSTER
from kvoperator.reconcile.mirror import Mirror
from kvoperator.runtime import handlers
from kvoperator.runtime.main import main
from kvoperator.runtime.settings import settings
from kvoperator.runtime.watched import Watched

CONFIG = KINDS["ConfigMap"]


def shop(version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "web", "name": "shop", "resourceVersion": str(version)}}


def config(version: int, name: str = "a") -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "kvoperator", "kvcluster.dev/cluster": "shop"}
    return {"metadata": {"namespace": "web", "name": name, "labels": labels, "resourceVersion": str(version)}}


class Woken:
    """Stands for the queue."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __getattr__(self, verb: str) -> Any:
        return lambda *key: self.said.append(verb)


class Lists:
    """Stands for the API server: it has one config."""

    async def objects(self, kind: Any) -> tuple[list[dict[str, Any]], int]:
        return [{"apiVersion": kind.api_version, "kind": kind.name} | config(5, "kept")], 30


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def watched(woken: Woken) -> Watched:
    stand_ins: tuple[Any, Any] = (Lists(), woken)
    return Watched(stand_ins[0], Mirror(), stand_ins[1])


def test_news_of_a_child_wake_its_cluster_and_old_news_do_not(watched: Watched, woken: Woken) -> None:
    watched.seen(KVCLUSTER, shop(1))
    watched.seen(CONFIG, config(2))
    watched.seen(CONFIG, config(2))

    assert woken.said == ["wake", "wake"]


def test_children_without_a_cluster_wake_nobody(watched: Watched, woken: Woken) -> None:
    watched.seen(CONFIG, config(2))

    assert woken.said == []


def test_the_first_event_opens_the_queue_and_a_deleted_cluster_is_forgotten(watched: Watched, woken: Woken) -> None:
    watched.seen(KVCLUSTER, shop(1))
    watched.told(KVCLUSTER, "DELETED", shop(3), again=False)

    assert woken.said == ["wake", "open", "forget"]


async def test_a_second_list_finds_what_went_away_while_the_watch_was_cut_off(watched: Watched, woken: Woken) -> None:
    watched.seen(KVCLUSTER, shop(1))
    for name in ("kept", "gone"):
        watched.seen(CONFIG, config(5, name))
    watched.told(CONFIG, None, config(5, "kept"), again=False)
    woken.said.clear()

    watched.told(CONFIG, None, config(5, "kept"), again=True)
    while "wake" not in woken.said:  # noqa: ASYNC110
        await asyncio.sleep(0)

    assert woken.said == ["open", "wake"]


def test_no_handler_of_ours_makes_kopf_write_to_an_object(watched: Watched) -> None:
    registry = handlers.registry(watched)

    assert isinstance(registry, kopf.OperatorRegistry)
    assert not list(registry._changing.get_all_handlers())
    assert not list(registry._spawning.get_all_handlers())
    assert len(list(registry._watching.get_all_handlers())) == len(KINDS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PROMETHEUS_URL", "prometheus:9090"), ("HEALTH_PORT", "http"), ("LOG_LEVEL", "loud"), ("NAMESPACE", "")],
)
def test_a_wrong_setting_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("KVOPERATOR_PROMETHEUS_URL", "http://prometheus:9090")
    monkeypatch.setenv(f"KVOPERATOR_{name}", value)

    with pytest.raises(SettingsError, match=f"^KVOPERATOR_{name}: [^\n]+$"):
        settings()


def test_without_what_it_needs_it_ends_with_a_message_and_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KVOPERATOR_PROMETHEUS_URL", raising=False)
    monkeypatch.setattr("sys.argv", ["kvoperator"])

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == "kvoperator: KVOPERATOR_PROMETHEUS_URL: Field required"
