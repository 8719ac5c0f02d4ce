"""The traffic of a system once retries and hedges have brought theirs: they make stations slower, and slower stations
make more of them. Found by repeated substitution from none on: the state of a system that was well before."""

from collections.abc import Mapping
from dataclasses import replace

from kvplan.errors import AmplifiedError
from kvplan.laws import Law
from kvplan.model.flows import Extras, traffics
from kvplan.model.grid import Grid, Mass
from kvplan.model.path import Path
from kvplan.model.visits import Traffic
from kvplan.system import System

_ROUNDS = 300
_CLOSE = 1e-4  # of tries, or copies, a request


def settled(system: System, found: Mapping[str, Traffic], grid: Grid) -> Mapping[str, Traffic]:
    """Station -> its traffic, from the traffic `found` without retries and hedges. Raises AmplifiedError if a station
    cannot do the work that they make, or if they find no end."""
    extras, laws = Extras(), dict[Law, Mass]()
    for _ in range(_ROUNDS):
        before, extras = extras, _extras(system, Path(found, grid, laws))
        if _is_close(before, extras):
            return found
        found = traffics(system, extras)
        if any(each.utilisation >= 1 for each in found.values()):
            break
    raise _amplified(system, extras, found)


def _extras(system: System, path: Path) -> Extras:
    hedged = {
        visit: path.copy(visit).tail(visit.hedge_after) for _, visit in system.visits() if visit.hedge_after is not None
    }
    if system.timeout is None or not system.retries:
        return Extras({}, hedged)
    late = {each.name: path.one_try(replace(each, from_service=False)).tail(system.timeout) for each in system.classes}
    return Extras({name: sum(share**n for n in range(system.retries + 1)) for name, share in late.items()}, hedged)


def _is_close(before: Extras, now: Extras) -> bool:
    return all(abs(tries - before.tries.get(name, 1.0)) < _CLOSE for name, tries in now.tries.items()) and all(
        abs(share - before.hedged.get(visit, 0.0)) < _CLOSE for visit, share in now.hedged.items()
    )


def _amplified(system: System, extras: Extras, found: Mapping[str, Traffic]) -> AmplifiedError:
    busiest = max(found, key=lambda name: found[name].utilisation)
    retried = max(extras.tries.values(), default=1.0) - 1
    cause = "retries" if retried >= max(extras.hedged.values(), default=0.0) else "hedges"
    return AmplifiedError(busiest, found[busiest].utilisation, system.rate, cause, system.loads()[busiest])
