"""Plays scenarios: once, or with protections taken away to see what each is worth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvplan.errors import InputError
from kvplan.scenario.engine.arrays import World
from kvplan.scenario.engine.loop import play as play_world
from kvplan.scenario.engine.state import Tally
from kvplan.scenario.file import Scenario
from kvplan.scenario.outcome import Run
from kvplan.scenario.world import world

Progress = Callable[[float, float], None]  # seconds played, of how many

_CHUNK = 5  # seconds between two reports


def say_nothing(_done: float, _all: float) -> None:
    pass


def play(scenario: Scenario, progress: Progress = say_nothing) -> Run:
    """Raises InputError if more is under way than can be held."""
    made = world(scenario)
    end = scenario.warm_up + scenario.duration
    addresses, action = made.addresses(), 0
    for until in [*range(_CHUNK, end, _CHUNK), end]:
        action = play_world(addresses, float(until), action)
        if made.tally[Tally.FULL]:
            raise InputError(
                f"{scenario.name}: at {until - scenario.warm_up} s more than {made.jobs.size} requests wait; "
                "play it with a larger scale, or a shorter duration"
            )
        progress(until, end)
    return Run(scenario, made.seconds, made.latencies, _attempts(made))


def _attempts(made: World) -> dict[str, int]:
    counted = {each.name.lower(): int(made.tally[each]) for each in Tally if each <= Tally.CLOSED}
    return counted | {"inside": int(made.pods["in_flight"].sum())}


@dataclass(frozen=True)
class Variant:
    """`name`: what is told of it, such as "without coalescing"."""

    name: str
    run: Run


def variants(scenario: Scenario) -> Iterator[tuple[str, Scenario]]:
    """As asked; without each of its protections, one at a time; without any."""
    on = scenario.protections.named()
    yield "all protections" if on else "no protections", scenario
    if len(on) > 1:
        for name in on:
            yield f"without {name}", with_protections(scenario, tuple(each for each in on if each != name))
    if on:
        yield "no protections", with_protections(scenario, ())


def with_protections(scenario: Scenario, names: tuple[str, ...]) -> Scenario:
    """With these on and no others. Raises InputError for a name that is none."""
    return scenario.model_copy(update={"protections": scenario.protections.only(names)})
