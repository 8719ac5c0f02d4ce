"""`python -m kvdev.agent --state DIR`: puts the parts together, runs until SIGTERM, then ends all pods' processes.

Logs are JSON lines on stderr, one for each change of state.
"""

import argparse
import asyncio
import fcntl
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from kvdev.agent import nodes
from kvdev.agent.addresses import Addresses
from kvdev.agent.events import Events
from kvdev.agent.logs import Logs
from kvdev.agent.objects import Objects
from kvdev.agent.pod import Surroundings
from kvdev.agent.pods import Pods
from kvdev.agent.provisioner import Provisioner
from kvdev.agent.targets import Targets
from kvdev.client import Api, Informer
from kvdev.errors import KvdevError
from kvdev.gateway import Gateway
from kvdev.state import ClusterState, load

log = logging.getLogger("kvdev.agent")

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """A record as one line of JSON, its extra fields beside the event."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event = {"time": moment, "level": record.levelname.lower(), "event": record.getMessage(), **fields}
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


def main() -> int:
    parser = argparse.ArgumentParser(prog="kvdev.agent", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the cluster's folder, with its cluster.json")
    arguments = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    failed = False
    try:
        state = load(arguments.state)
        with _alone(state):
            asyncio.run(serve(state))
    except* (KvdevError, OSError) as group:
        for error in group.exceptions:
            print(f"kvdev agent: {error}", file=sys.stderr)
        failed = True
    return int(failed)


async def serve(state: ClusterState) -> None:
    """Run every part until SIGTERM or SIGINT; a part that breaks ends the agent with its error."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    api = await Api.connect(state.kubeconfig)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as http:
            await _run(state, api, http, stop)
    finally:
        await api.close()


async def _run(state: ClusterState, api: Api, http: aiohttp.ClientSession, stop: asyncio.Event) -> None:
    ours = nodes.of_cluster(state)
    services = Informer(api, "/api/v1/services")
    pod_objects = Informer(api, "/api/v1/pods", on_change=lambda event, pod: on_pod(event, pod))
    addresses = Addresses(state.pod_network, services.items, pod_objects.items)
    around = Surroundings(state, api, addresses, Objects(api), Events(api), http, state.kubeconfig.read_text())
    pods = Pods({node.name: node.address for node in ours}, around)
    targets = Targets(state.targets, pod_objects.items)

    def on_pod(event: str, pod: dict[str, object]) -> None:
        pods.on_change(event, pod)
        targets.on_change(event, pod)

    pods.end_leftovers()
    log.info("agent started", extra={"cluster": state.name, "nodes": [node.name for node in ours]})
    parts = [
        services.run(),
        pod_objects.run(),
        targets.run(),
        around.events.run(),
        Provisioner(api, state.volumes).run(),
        Logs(pods, pod_objects.items, state.pki).run([node.address for node in ours], nodes.LOGS_PORT),
        Gateway(state, api).run(),
        *(nodes.keep(node, api) for node in ours),
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in parts]
            await stop.wait()
            for task in running:
                task.cancel()
    finally:
        await pods.end_all()
        log.info("agent ended", extra={"cluster": state.name})


@contextmanager
def _alone(state: ClusterState) -> Iterator[None]:
    """Two agents would kill each other's pods."""
    with (state.directory / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KvdevError(f"another agent runs for cluster {state.name} already; end it first") from None
        yield


if __name__ == "__main__":
    sys.exit(main())
