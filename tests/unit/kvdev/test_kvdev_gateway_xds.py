"""Files are written make before break, and only when they differ. Envoy is scripted: it tells what it has taken."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kvdev.gateway.plan import Resources
from kvdev.gateway.xds import Xds

CONFIG = "default/eu/8080"


class Envoy:
    """An admin port that has taken the files on disk at every second look, and notes what was on disk at each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen: list[dict[str, Any]] = []
        self.deaf = False

    def on_disk(self) -> dict[str, Any]:
        files = {path.stem if path.parent.name == "rds" else path.parent.name: path for path in self.files()}
        return {name: json.loads(path.read_text()) for name, path in files.items()}

    def files(self) -> list[Path]:
        return [*self.directory.glob("[cl]ds/*.json"), *self.directory.glob("rds/*.json")]

    async def stats(self, request: web.Request) -> web.Response:
        self.seen.append(self.on_disk())
        taken = {} if self.deaf or len(self.seen) % 2 else self.seen[-1]
        scopes = {"cds": "cluster_manager.cds", "lds": "listener_manager.lds"}
        lines = ["cluster_manager.warming_clusters: 0"]
        for name in self.seen[-1]:
            config = name.replace("_", "/")
            scope = scopes.get(name, f"http.{config}.rds.{config}")
            lines.append(f'{scope}.version_text: "{taken.get(name, {}).get("version_info", "before")}"')
        return web.Response(text="\n".join(lines))


@pytest.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[tuple[Envoy, str]]:
    scripted = Envoy(tmp_path)
    app = web.Application()
    app.router.add_get("/stats", scripted.stats)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    for folder in ("lds", "cds", "rds", "eds"):
        (tmp_path / folder).mkdir()
    yield scripted, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def resources(*clusters: str, routed: str = "") -> Resources:
    named = {name: {"name": name} for name in clusters}
    return Resources(
        clusters=named,
        endpoints=named,
        routes={CONFIG: {"name": CONFIG, "to": routed}},
        listeners={"http": {"name": "http"}},
    )


def names(file: dict[str, Any]) -> set[str]:
    return {resource["name"] for resource in file["resources"]}


def routed(disk: dict[str, Any]) -> str:
    target: str = disk["default_eu_8080"]["resources"][0]["to"]
    return target


async def test_routes_name_a_new_cluster_only_when_envoy_has_it(envoy: tuple[Envoy, str]) -> None:
    scripted, url = envoy
    xds = Xds(scripted.directory, url)
    await xds.apply(resources("shop/old/80", routed="old"))
    scripted.seen.clear()
    await xds.apply(resources("shop/old/80", "shop/new/80", routed="new"))
    assert len(scripted.seen) == 2
    assert all(routed(disk) == "old" and "shop/new/80" in names(disk["cds"]) for disk in scripted.seen)
    assert routed(scripted.on_disk()) == "new"


async def test_a_cluster_goes_only_when_no_route_in_effect_names_it(envoy: tuple[Envoy, str]) -> None:
    scripted, url = envoy
    xds = Xds(scripted.directory, url)
    await xds.apply(resources("shop/old/80", "shop/new/80", routed="old"))
    await xds.apply(resources("shop/new/80", routed="new"))
    scripted.seen.clear()
    assert not await xds.sweep()
    assert names(scripted.on_disk()["cds"]) == {"shop/old/80", "shop/new/80"}
    assert await xds.sweep()
    assert names(scripted.on_disk()["cds"]) == {"shop/new/80"}
    assert [path.name for path in scripted.directory.glob("eds/*")] == ["shop_new_80.json"]


async def test_an_earlier_runs_clusters_wait_for_their_turn_too(envoy: tuple[Envoy, str]) -> None:
    scripted, url = envoy
    await Xds(scripted.directory, url).apply(resources("shop/old/80", routed="old"))
    again = Xds(scripted.directory, url)
    await again.apply(resources("shop/new/80", routed="new"))
    assert names(scripted.on_disk()["cds"]) == {"shop/old/80", "shop/new/80"}


async def test_a_change_of_weights_asks_envoy_nothing_and_writes_one_file(envoy: tuple[Envoy, str]) -> None:
    scripted, url = envoy
    xds = Xds(scripted.directory, url)
    await xds.apply(resources("shop/old/80", routed="old"))
    scripted.seen.clear()
    before = {path: path.stat().st_ino for path in scripted.directory.glob("*/*.json")}
    await xds.apply(resources("shop/old/80", routed="new"))
    assert await xds.sweep()
    after = {path: path.stat().st_ino for path in scripted.directory.glob("*/*.json")}
    assert scripted.seen == []
    assert [path.name for path in before if before[path] != after[path]] == ["default_eu_8080.json"]


async def test_the_same_again_writes_nothing_also_after_a_restart(envoy: tuple[Envoy, str]) -> None:
    scripted, url = envoy
    await Xds(scripted.directory, url).apply(resources("shop/old/80"))
    before = {path: path.stat().st_ino for path in scripted.directory.glob("*/*.json")}
    await Xds(scripted.directory, url).apply(resources("shop/old/80"))
    assert {path: path.stat().st_ino for path in scripted.directory.glob("*/*.json")} == before


async def test_clusters_that_envoy_does_not_take_do_not_hold_up_the_routes(
    envoy: tuple[Envoy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted, url = envoy
    monkeypatch.setattr("kvdev.gateway.xds.PATIENCE_S", 0.05)
    scripted.deaf = True
    await Xds(scripted.directory, url).apply(resources("shop/old/80", routed="old"))
    assert routed(scripted.on_disk()) == "old"


async def test_without_envoy_everything_is_written_for_its_start(tmp_path: Path) -> None:
    for folder in ("lds", "cds", "rds", "eds"):
        (tmp_path / folder).mkdir()
    xds = Xds(tmp_path, "http://127.0.0.1:1")
    await xds.apply(resources("shop/old/80", routed="old"))
    assert await xds.sweep()
    assert names(Envoy(tmp_path).on_disk()["lds"]) == {"http"}
