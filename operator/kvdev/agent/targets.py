"""Prometheus' scrape targets, from pods' annotations: `pods.json` in the folder that Prometheus reads (file_sd)."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kvdev.agent.volumes import replace

Object = dict[str, Any]

SCRAPE, PORT = "prometheus.io/scrape", "prometheus.io/port"
FINISHED = ("Succeeded", "Failed")


def targets(pods: Iterable[Object]) -> list[Object]:
    """Groups of file_sd: one for each pod that asks to be scraped, has an address and has not finished.

    A pod's labels become its metrics' labels, all but letters and digits as `_`; namespace, pod and node win.
    """
    return [
        {"targets": [f"{pod['status']['podIP']}:{pod['metadata']['annotations'][PORT]}"], "labels": _labels(pod)}
        for pod in sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))
        if _is_scraped(pod)
    ]


def _is_scraped(pod: Object) -> bool:
    annotations, status = pod["metadata"].get("annotations") or {}, pod.get("status") or {}
    wanted = annotations.get(SCRAPE) == "true" and annotations.get(PORT, "").isdecimal()
    return wanted and bool(status.get("podIP")) and status.get("phase") not in FINISHED


def _labels(pod: Object) -> dict[str, str]:
    metadata = pod["metadata"]
    own = {"namespace": metadata["namespace"], "pod": metadata["name"], "node": pod["spec"].get("nodeName", "")}
    return {_metric_label(name): value for name, value in (metadata.get("labels") or {}).items()} | own


def _metric_label(label: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in label)


class Targets:
    """Writes the file when it would change. `on_change` is for the informer of pods."""

    def __init__(self, folder: Path, pods: Mapping[tuple[str, str], Object]) -> None:
        self._path, self._pods = folder / "pods.json", pods
        self._changed = asyncio.Event()

    def on_change(self, _event: str, _pod: Object) -> None:
        self._changed.set()

    async def run(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        written = ""
        while True:
            text = json.dumps(targets(self._pods.values()), indent=1)
            if text != written:
                replace(self._path, text.encode(), 0o600)
                written = text
            await self._changed.wait()
            self._changed.clear()
