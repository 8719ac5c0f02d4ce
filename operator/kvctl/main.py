"""`kvctl`: mounts the commands, and turns whatever goes wrong into one line.

Each command lives in a module of its own; this one owns only the menu, `--version` and the last line of defence.
"""

import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from kvctl.calibrate.command import calibrate
from kvctl.crd import crd
from kvctl.demo.command import demo
from kvctl.dev import app as dev
from kvctl.errors import KvctlError
from kvctl.lint import lint
from kvctl.load.command import load
from kvctl.plan.command import app as plan
from kvctl.rollout.command import app as rollout
from kvctl.simulate.command import simulate
from kvdev.errors import KvdevError
from kvplan.errors import KvplanError

app = typer.Typer(
    name="kvctl",
    help="One manifest gives you a multi-region key-value service that keeps its SLO. Steer it, load it, try it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"kvctl {version('kvcluster')}")
        raise typer.Exit


@app.callback()
def menu(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before any command."""


app.command()(demo)
app.add_typer(dev, name="dev")
app.command()(lint)
app.command()(crd)
app.command()(load)
app.command()(calibrate)
app.add_typer(rollout, name="rollout")
app.add_typer(plan, name="plan")
app.command()(simulate)


def main() -> None:
    """The console script: never lets a stack trace out; details of the unexpected go to a file."""
    sys.exit(run(sys.argv[1:], log=_state_home() / "kvctl" / "last-error.log"))


def run(arguments: list[str], *, log: Path) -> int:
    """Run one command line; returns the exit code. `log` receives the trace of an unexpected error."""
    try:
        code = app(arguments, prog_name="kvctl", standalone_mode=False)
    except typer.TyperException as error:  # the command line itself: unknown option, missing argument
        return _say(error.format_message() or str(error), error.exit_code)
    except typer.Abort:
        return _say("stopped", 130)
    except KvctlError as error:
        return _say(str(error), error.exit_code)
    except KvdevError as error:
        return _say(str(error), 1)
    except KvplanError as error:
        return _say(str(error), 2)
    except BrokenPipeError:  # the reader (head, less) has gone: nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        return _say(f"unexpected {type(error).__name__}: {_first_line(error)} (details: {log})", 1)
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    if message:
        print(f"kvctl: {message}", file=sys.stderr)
    return code


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0]


def _state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


if __name__ == "__main__":
    main()
