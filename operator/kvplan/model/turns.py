"""How long a request waits for those behind it, at a pool that is served in turns (`Station.in_turns`).

Who comes while a turn is under way that has T still to go waits for T and for those who came in that turn before him;
he leaves with those who came in it after him. Both are n T on average, with n services coming in the time of one: being
held is n / (1 + n) of the wait. n is the load where arrivals are Poisson, and there it also tells how many rests of a
service the wait of a visit has, u = n / (1 - n); so n = u / (1 + u), also where pools are chosen by what they hold and
fewer come.

That is what the last visit adds. Being held at an earlier one does others no harm: it lets those go first that would
have had to wait for the next visit, the more so, the shorter the gap in between. How much of it counts was found by
simulation (bench/fitting/turns.py).
"""

import math
from collections.abc import Sequence

BETWEEN = (-1.83, 0.39, 1.8)  # log-odds that it counts: at a gap of a service; times log(gap); after the first visit


def held(
    *,
    wait: float,
    rest: float,
    service: float,
    gaps: Sequence[float],
    leaves: bool,
    between: tuple[float, float, float] = BETWEEN,
) -> float:
    """Mean seconds of a request's visits together. `wait` is the usual one of a visit, `rest` what is left of a service
    at a random moment, `gaps` are the times between its visits. Without `leaves` the last visit's does not count.
    `between`: other numbers than those that are known, to fit them."""
    constant, growth, later = between
    odds = (
        math.exp(constant + (later if number else 0.0)) * (gap / service) ** growth for number, gap in enumerate(gaps)
    )
    u = wait / rest
    return float(wait * u / (1 + 2 * u) * (leaves + sum(each / (1 + each) for each in odds)))
