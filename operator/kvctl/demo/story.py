"""The demo, step by step: bring all up, release a good build, release a slow one, take all down."""

import asyncio
import fcntl
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from kvctl.demo import deploy, images, show
from kvctl.demo.observe import Watch, cluster_path
from kvctl.demo.report import Seen, Terms, bad_entry, good_entry, violations
from kvctl.errors import DemoError
from kvctl.kube import Kube
from kvctl.load import targets
from kvctl.load.client import Load
from kvctl.load.report import summary
from kvctl.load.schedule import Plan
from kvdev import cluster, parts
from kvdev.client import Api
from kvdev.state import ClusterState, directory_of, home
from kvoperator.api.units import seconds

NAME, NAMESPACE = "demo", deploy.NAMESPACE
BUILD = Path("build")
MANIFEST = Path(__file__).parent / "demo.yaml"
RATE = 45.0  # requests a second and region
READY_WITHIN_S = 180.0
SETTLED_WITHIN_S = 240.0
_SETTLED = ("Done", "RolledBack", "Frozen")


async def tell(console: Console, *, keep: bool) -> list[str]:
    """The whole demo; returns what did not hold. Raises DemoError or KvdevError when it could not be carried on."""
    view = show.Show(console, time.monotonic())
    async with _cluster(view, keep=keep) as state:
        api = await Api.connect(state.kubeconfig)
        try:
            report, terms = await _measured(view, state, api)
            if report["violations"]:
                view.say(f"not all held; the logs are in {_save_logs()}")
        finally:
            await api.close()
    path = BUILD / "demo" / "report.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    show.ending(console, report, terms, str(path))
    if keep:
        console.print(f"\n{show.NEXT}", markup=False, highlight=False, soft_wrap=True)
    found: list[str] = report["violations"]
    return found


@asynccontextmanager
async def _cluster(view: show.Show, *, keep: bool) -> AsyncIterator[ClusterState]:
    """The embedded cluster, fresh. It goes in the end, and its logs are saved when the story did not end well."""
    (BUILD / "demo").mkdir(parents=True, exist_ok=True)
    with _alone():
        if directory_of(NAME).exists():
            view.say("taking down what an earlier demo left")
            await cluster.down(NAME, say=view.say)
        view.say("building images")
        await asyncio.to_thread(images.build_all)
        try:
            yield await cluster.up(NAME, say=view.say)
        except BaseException:
            view.say(f"not carried through; the logs are in {_save_logs()}")
            raise
        finally:
            if not keep:
                view.say("taking everything down")
                await cluster.down(NAME, say=view.say)


@contextmanager
def _alone() -> Iterator[None]:
    """One demo at a time: two would take each other's cluster down. The lock ends with the process, however it ends."""
    path = home().parent / "kvctl" / "demo.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("another `kvctl demo` of this user is running; wait for its end, or stop it") from None
        yield


def _save_logs() -> Path:
    """Copy every log out of the cluster's folder, which is about to go."""
    kept = BUILD / "demo" / "logs"
    shutil.rmtree(kept, ignore_errors=True)
    folder = directory_of(NAME)
    for log in (*folder.glob("logs/*"), *folder.glob("pods/**/*.log")):
        target = kept / log.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, target)
    return kept


async def _measured(view: show.Show, state: ClusterState, api: Api) -> tuple[dict[str, Any], Terms]:
    view.say(f"kubectl apply -f {MANIFEST.name}: three regions, release {images.FIRST}")
    await deploy.kubectl(state, "apply", "-f", str(MANIFEST))
    found = await deploy.ready(api, NAME, view.say, READY_WITHIN_S)
    terms = _terms(found)
    where = await asyncio.to_thread(lambda: targets.of_cluster(Kube(state.kubeconfig, NAMESPACE), NAME, []))
    async with Load(where, Plan(rate=RATE, duration_s=3600), run="demo", random=Random(1)) as load:  # noqa: S311
        view.say(f"load: {RATE:g} requests/s in each region, 95 % reads, every value checked")
        await load.prepare()
        setup_s = view.now()
        sending = asyncio.create_task(load.run())
        try:
            good, bad = await _releases(view, state, api, load)
        finally:
            load.stop()
            elapsed_s = await sending  # also when stopped: what is in flight needs its session
        client = summary(load.tallies, elapsed_s)
    return await asyncio.to_thread(_report, setup_s, terms, good, bad, client), terms


async def _releases(view: show.Show, state: ClusterState, api: Api, load: Load) -> tuple[Seen, Seen | None]:
    view.chapter(f"A good release: {images.GOOD}")
    good = await _roll_out(view, state, api, load, images.GOOD)
    if good.phase != "Done":
        return good, None
    view.chapter(f"A bad release: {images.SLOW}, every read 300 ms slower")
    return good, await _roll_out(view, state, api, load, images.SLOW)


async def _roll_out(view: show.Show, state: ClusterState, api: Api, load: Load, image: str) -> Seen:
    """Set the release, and watch until it has come to rest or its time is up."""
    seen = Seen(image)
    found = await api.request("GET", cluster_path(NAMESPACE, NAME))
    async with Watch(state, api, found, load.tallies, seen) as watch:
        patch = json.dumps({"spec": {"release": {"image": image}}})
        await deploy.kubectl(state, "patch", "kvcluster", NAME, "--type=merge", "-p", patch)
        with view.timeline(load.tallies) as timeline:
            while not _is_settled(watch.cluster, image) and watch.now() < SETTLED_WITHIN_S:
                watch.check()
                timeline.show(watch)
                await asyncio.sleep(1)
            timeline.show(watch)
        seen.serving_pods = await watch.serving()
    return seen


def _is_settled(found: dict[str, Any], image: str) -> bool:
    status = found.get("status", {})
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return current and found["spec"]["release"]["image"] == image and status.get("phase") in _SETTLED


def _terms(found: dict[str, Any]) -> Terms:
    rollout = found["spec"]["rollout"]
    return Terms(
        regions=tuple(region["name"] for region in found["spec"]["regions"]),
        steps=tuple(step["traffic"] for step in rollout["steps"]),
        interval_s=seconds(rollout["interval"]),
    )


def _report(setup_s: float, terms: Terms, good: Seen, bad: Seen | None, client: dict[str, Any]) -> dict[str, Any]:
    before = json.loads(setup.read_text()) if (setup := BUILD / "setup.json").is_file() else {}
    return {
        "setup_s": round(before.get("setup_s", 0.0) + setup_s, 1),
        "compile_s": before.get("compile_s"),
        "gate_interval_s": terms.interval_s,
        "parts": parts.versions(),
        "good": good_entry(good, terms),
        "bad": bad_entry(bad, terms) if bad else None,
        "client": client,
        "violations": violations(good, bad, terms),
    }
