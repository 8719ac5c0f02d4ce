"""`kvoperator`: the command of the operator's image. Everything that can be set is an environment variable."""

import argparse
import asyncio
import sys
from importlib.metadata import version

from kvoperator.errors import OperatorError
from kvoperator.runtime import app, logs
from kvoperator.runtime.settings import PREFIX, Settings, settings


def main() -> None:
    """Exits 0 when told to stop, 1 when it cannot begin, 2 when it is called wrongly."""
    _arguments().parse_args()
    try:
        known = settings()
        logs.configure(known)
        asyncio.run(app.run(known))
    except OperatorError as error:
        sys.exit(f"kvoperator: {error}")


def _arguments() -> argparse.ArgumentParser:
    lines = [f"  {PREFIX}{name.upper():<16} {field.description or ''}" for name, field in Settings.model_fields.items()]
    parser = argparse.ArgumentParser(
        prog="kvoperator",
        description="The KVCluster operator. Runs until SIGTERM; logs in by KUBECONFIG if set, else as a pod.",
        epilog="environment:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kvoperator {version('kvcluster')}")
    return parser
