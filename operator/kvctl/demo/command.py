"""`kvctl demo`: reads the options; `story` does it."""

import asyncio
import signal
from typing import Annotated

import typer
from rich.console import Console

from kvctl.demo.story import tell
from kvctl.errors import DemoError


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, and say what to try next.")] = False,
) -> None:
    """Watch a real control plane promote a good release and roll a slow one back, under load.

    Starts Kubernetes' own programs, Envoy and Prometheus on loopback, runs the operator and three regions as pods, and
    measures from outside. Writes build/demo/report.json; exits 1 with a list if anything did not hold.

    Examples:

      kvctl demo

      kvctl demo --keep
    """
    try:
        wrong = asyncio.run(_until_told(keep=keep))
    except asyncio.CancelledError:
        raise DemoError("stopped by SIGTERM before its end") from None
    if wrong:
        raise DemoError(f"{len(wrong)} of the demo's promises did not hold: {'; '.join(wrong)}")


async def _until_told(*, keep: bool) -> list[str]:
    """SIGTERM ends it as Ctrl-C does: everything is taken down first."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await tell(Console(), keep=keep)
