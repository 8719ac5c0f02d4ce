"""What the demo prints: progress, the timeline of a rollout, the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from kvctl.demo.observe import Watch
from kvctl.demo.report import Terms
from kvctl.load.report import Tally
from kvctl.rollout.view import tally as tally_of

_AT_LEAST_EVERY_S = 5.0


class Show:
    """`began` is when the demo began (monotonic)."""

    def __init__(self, console: Console, began: float) -> None:
        self.console, self._began = console, began

    def now(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """One line of progress."""
        self.console.print(Text(f"[{self.now():4.0f} s] {text}"), soft_wrap=True)

    def chapter(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold"))

    @contextmanager
    def timeline(self, tallies: dict[str, Tally]) -> Iterator["Timeline"]:
        """The timeline of one rollout, fed with `show` every second."""
        with self.console.status("", spinner="dots") as status:
            self.console.print(Text(_HEADER, style="dim"), soft_wrap=True)
            yield Timeline(self.console, status, tallies)


_HEADER = f"{'t':>6}  {'phase':<11} {'canary weight in Envoy':<38} {'p95 ms stable/canary':<21} {'failed':>6}  verdicts"


class Timeline:
    """Prints a line when something but the time has changed, and every five seconds; a terminal has the latest too."""

    def __init__(self, console: Console, status: Status, tallies: dict[str, Tally]) -> None:
        self._console, self._status, self._tallies = console, status, tallies
        self._last: tuple[str, ...] = ()
        self._printed_at = float("-inf")

    def show(self, watch: Watch) -> None:
        state = watch.cluster.get("status", {}).get("rollout", {})
        weights = " ".join(f"{region} {share}%" for region, share in watch.shares.items())
        verdicts = tally_of(state.get("verdicts", []))
        failed = sum(tally.failed for tally in self._tallies.values())
        changed = (str(state.get("phase", "")), weights, verdicts, str(failed))
        now = watch.now()
        hold = (state.get("hold") or {}).get("reason", "")
        line = f"{now:5.1f}s  {changed[0]:<11} {weights:<38} {_p95(watch):<21} {failed:>6}  {verdicts} {hold}".rstrip()
        self._status.update(Text(line))
        if changed != self._last or now - self._printed_at >= _AT_LEAST_EVERY_S:
            self._last, self._printed_at = changed, now
            self._console.print(Text(line), soft_wrap=True)


def _p95(watch: Watch) -> str:
    """`12 / 310`: the slowest revision of each arm; `-` where Prometheus has no answer."""
    arms = []
    for canary in (False, True):
        found = [
            1000 * seconds
            for revision, seconds in watch.p95_s.items()
            if (revision not in watch.old) == canary and seconds == seconds  # NaN: no requests
        ]
        arms.append(f"{max(found):.0f}" if found else "-")
    return " / ".join(arms)


def ending(console: Console, report: dict[str, Any], terms: Terms, where: str) -> None:
    """What was shown, in a few lines."""
    good, bad = report["good"], report["bad"]
    console.print()
    console.print(_sentence("good", good), soft_wrap=True)
    if bad:
        took, share = bad["detect_to_zero_s"], bad["max_share"]
        console.print(_sentence("bad ", bad), soft_wrap=True)
        console.print(
            Text(
                f"      first slow sample in Prometheus -> weight 0 in Envoy: {took} s "
                f"(interval {terms.interval_s:g} s); largest share {share} %"
            ),
            soft_wrap=True,
        )
    for violation in report["violations"]:
        console.print(Text(f"  did not hold: {violation}", style="red"), soft_wrap=True)
    console.print(Text(f"report: {where}"))


def _sentence(name: str, entry: dict[str, Any]) -> Text:
    return Text(
        f"{name}  {entry['image']}: {entry['outcome']} after {entry['seconds']} s; "
        f"{entry['requests']} requests, {entry['failed_requests']} failed"
    )


NEXT = """It is still running. Next, for example:
  eval $(kvctl dev env --name demo)
  kvctl rollout status demo      # or: watch, pause, abort, retry
  kvctl load --cluster demo --duration 20s
  kubectl patch kvcluster demo --type merge -p '{"spec": {"release": {"image": "kvservice:1.0.0"}}}'
  kvctl dev down --name demo     # ends all of it"""
