"""The command `kvservice`. Exit codes: 0 done, 1 could not start, 2 wrong settings or usage."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

from kvservice.errors import KvError, SettingsError
from kvservice.settings import Settings, load, table


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    try:
        settings = load()
        if arguments.version:
            print(f"kvservice {version('kvcluster')} (build {settings.build})")
        elif arguments.command is None:
            parser.print_help()
        else:
            _COMMANDS[arguments.command](settings)
    except KvError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(settings: Settings) -> None:
    from kvservice import lifecycle

    if sys.stdout.isatty():
        scheme = "https" if settings.tls_certificate else "http"
        url = f"{scheme}://{settings.bind}:{settings.port}/v1/kv/demo/hello"
        print(f"Try: curl -X PUT --data world {url}; curl {url}    Ctrl-C ends.", flush=True)
    _run(lifecycle.serve(settings, version("kvcluster")))


def _relay(settings: Settings) -> None:
    from kvservice import following

    _run(following.relay(settings, version("kvcluster")))


def _migrate(settings: Settings) -> None:
    from kvservice import parts
    from kvservice.migrate import migrate

    if not settings.cassandra_points:
        raise SettingsError("KV_CASSANDRA_POINTS is empty: name some nodes; the embedded store needs no migration")
    nodes = parts.nodes(settings)
    replication = settings.cassandra_replication or {nodes.datacenter: 1}
    _run(migrate(nodes, settings.cassandra_keyspace, replication, lambda line: print(line, flush=True)))


def _run(work: Coroutine[Any, Any, object]) -> None:
    import uvloop

    from kvservice import logs

    logs.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


_COMMANDS = {"serve": _serve, "relay": _relay, "migrate": _migrate}
_ABOUT = {
    "serve": ("serve until SIGTERM or Ctrl-C; needs no settings to serve a file kv.db on 127.0.0.1:8080", ""),
    "relay": (
        "follow the change feeds of the other regions (KV_PEERS, KV_RELAY_TOKEN); one such process a region",
        "KV_REGION=eu KV_PEERS=us=http://127.0.0.2:8080 KV_RELAY_TOKEN=secret",
    ),
    "migrate": (
        "make the tables in the Cassandra of KV_CASSANDRA_POINTS, or bring them up to date; twice is as good as once",
        "KV_CASSANDRA_POINTS=127.0.0.1 KV_CASSANDRA_REPLICATION=eu-west=3,us-east=3",
    ),
}
"""Command -> what it does, and the settings of an example."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kvservice", description="Keeps records: bytes by namespace and id, over HTTP.")
    parser.add_argument("--version", action="store_true", help="print version and build")
    commands = parser.add_subparsers(dest="command")
    for name, (about, example) in _ABOUT.items():
        commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.\n\n  {f'{example} kvservice {name}'.strip()}\n\n"
            f"Settings are environment variables:\n\n{table()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
