"""The command `kvservice`. Exit codes: 0 done, 1 could not start, 2 wrong settings or usage."""

import argparse
import asyncio
import sys
from importlib.metadata import version

from kvservice.errors import KvError, SettingsError
from kvservice.settings import Settings, load, table


def main() -> int:
    arguments = _parser().parse_args()
    try:
        settings = load()
        if arguments.version:
            print(f"kvservice {version('kvcluster')} (build {settings.build})")
        elif arguments.command == "serve":
            _serve(settings)
        else:
            _parser().print_help()
    except KvError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return 0


def _serve(settings: Settings) -> None:
    import uvloop

    from kvservice import lifecycle, logs

    logs.start()
    if sys.stdout.isatty():
        url = f"http://{settings.bind}:{settings.port}/v1/kv/demo/hello"
        print(f"Try: curl -X PUT --data world {url}; curl {url}    Ctrl-C ends.", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(lifecycle.serve(settings, version("kvcluster")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kvservice", description="Keeps records: bytes by namespace and id, over HTTP.")
    parser.add_argument("--version", action="store_true", help="print version and build")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser(
        "serve",
        help="serve until SIGTERM or Ctrl-C; needs no settings to serve a file kv.db on 127.0.0.1:8080",
        description="Serves until SIGTERM or Ctrl-C. Settings are environment variables:\n\n" + table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
