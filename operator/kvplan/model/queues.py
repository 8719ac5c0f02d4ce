"""One queue in front of some servers: how long the wait is, and how even the stream that leaves.

In all of it: `load` is the utilisation of each server, `servers` their number, `arrivals` the squared CV (SCV) of the
times between arrivals, `services` that of the service times.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from kvplan.laws import NOTHING, Floats, Gamma, Law
from kvplan.model.grid import Grid, Mass, of_law, remaining


def erlang_c(load: float, servers: int) -> float:
    """Probability that an arrival waits, in M/M/c (Erlang 1917)."""
    offered = load * servers
    log_all_busy = servers * math.log(offered) - offered - special.gammaln(servers + 1) if offered else -math.inf
    blocked = math.exp(log_all_busy) / float(special.pdtr(servers, offered))
    return blocked / (1 - load * (1 - blocked))


def markov_wait(load: float, servers: int, mean: float) -> float:
    """Mean wait of M/M/c with services of `mean` seconds."""
    return erlang_c(load, servers) * mean / (servers * (1 - load))


def wait(load: float, servers: int, arrivals: float, laws: Sequence[tuple[float, Law]], grid: Grid) -> Mass:
    """The wait of GI/G/m, services being a mixture of (weight, law), weights summing to 1, of mean above 0.

    It is 0 or a geometric sum of independent parts. With one server and Poisson arrivals a part is what remains of a
    service, which is exact (Pollaczek 1930, Khinchine 1932). With m servers it is an m-th of that, or of an exponential
    service, with the probabilities of `weight_of_law`. Its length is set so that the mean wait is that of `mean_wait`.
    """
    mean = sum(weight * law.mean for weight, law in laws)
    services = scv_of(laws)
    average = mean_wait(load, servers, arrivals, services) * mean
    if not average:
        return of_law(NOTHING, grid)
    waits = waiting_share(load, servers, arrivals, services)
    again = _again(load, arrivals, services)
    kept = weight_of_law(load, servers) if services > 1 else 1.0
    whole = mean * (1 + kept * (services - 1) / 2)
    stretch = round(average / waits * (1 - again) / whole, 9)  # 1 where the formula is exact
    part = remaining([(weight, law.scaled(stretch)) for weight, law in laws], grid).transform
    if kept < 1:
        part = kept * part + (1 - kept) * of_law(Gamma(mean * stretch, 1.0), grid).transform
    return Mass(grid, average, transform=(1 - waits) + waits * (1 - again) * part / (1 - again * part))


def weight_of_law(load: float, servers: int) -> float:
    """How much of the services' law a queue sees. Many servers end services as a Poisson stream would over times that
    are short beside a service, whatever its law; a queue's memory is 1 / (m (1 - load)^2) mean services long. Between
    the two we interpolate: 1 for one server, 0 for very many; 1.7 fits simulations of lognormal services."""
    memory = 1 / (servers * (1 - load) ** 2)
    return memory / (memory + 1.7 * (1 - 1 / servers))


def scv_of(laws: Sequence[tuple[float, Law]]) -> float:
    """Of a mixture."""
    mean = sum(weight * law.mean for weight, law in laws)
    return sum(weight * law.mean**2 * (1 + law.scv) for weight, law in laws) / mean**2 - 1


def mean_wait(load: float, servers: int, arrivals: float, services: float) -> float:
    """Of GI/G/m, in mean services. One server: Krämer, Langenbach-Belz 1976, exact for Poisson arrivals, without their
    correction for less even ones, as Whitt 1983. More: Whitt 1993, "Approximations for the GI/G/m queue", sec. 2, with
    `weight_of_law` for CVs above 1."""
    half = (arrivals + services) / 2
    if not half:
        return 0.0
    if servers > 1:
        if services > 1:
            half = (arrivals + 1 + weight_of_law(load, servers) * (services - 1)) / 2
        return _correction(load, servers, arrivals, min(services, 1.0)) * half * markov_wait(load, servers, 1.0)
    bend = (1 - min(arrivals, 1.0)) ** 2 / (3 * load * half)
    return math.exp(-(1 - load) * bend) * half * load / (1 - load)


def waiting_share(load: float, servers: int, arrivals: float, services: float) -> float:
    """Probability that an arrival waits, in GI/G/m. One server: `_again`; more: Whitt 1993, sec. 3; Erlang C for
    Poisson arrivals."""
    if servers == 1:
        return _again(load, arrivals, services)
    known, room = erlang_c(load, servers), (1 - load) * math.sqrt(servers)
    heavy = min(1.0, known * _tails((1 + services) * room / (arrivals + services), room))
    light = min(1.0, known * _tails(2 * room / (1 + arrivals), room))
    share = load**2 * heavy + (1 - load**2) * light
    if servers < 7 or arrivals >= 1:
        return share
    spread = (arrivals + services) / (1 + services)
    gap = (servers - servers * load - 0.5) / math.sqrt(servers * load * spread)
    many = arrivals * share + (1 - arrivals) * float(special.ndtr(-gap))
    part = min(1.0, max(0.0, 2 * (1 - arrivals) * (gap - 0.5))) if gap < 1 else 1.0
    return part * many + (1 - part) * share


def carried(times: Floats) -> Floats:
    """How much of a stream's unevenness over `times`, in memories of a queue that it goes through, comes out again: all
    of it over long ones. 1 - (1 - c(t)) / (2 t), c being the autocorrelation of a reflected Brownian motion (Whitt, You
    2018, "Heavy-traffic limit of the GI/GI/1 stationary departure process and its variance function")."""
    t = np.clip(times, 1e-6, 1e6)
    root = np.sqrt(t)
    inner = (t**2 + 2 * t - 1) * (2 * special.ndtr(root) - 1) - t**2
    density = np.exp(-t / 2) / math.sqrt(2 * math.pi)
    return np.asarray(np.clip((inner + 2 * density * root * (1 + t)) / (2 * t), 0, 1))


def _again(load: float, arrivals: float, services: float) -> float:
    """Probability of one more part in the geometric sum: that a wait is not 0 in GI/G/1 (Krämer, Langenbach-Belz
    1976), `load` for Poisson arrivals."""
    if arrivals <= 1:
        bend = (1 + arrivals + load * services) / (1 + load * (services - 1) + load**2 * (4 * arrivals + services))
    else:
        bend = 4 * load / (arrivals + load**2 * (4 * arrivals + services))
    return load + (arrivals - 1) * load * (1 - load) * bend


def _correction(load: float, servers: int, arrivals: float, services: float) -> float:
    """Whitt 1993, sec. 2: his phi."""
    gamma = min(0.24, (1 - load) * (servers - 1) * (math.sqrt(4 + 5 * servers) - 2) / (16 * servers * load))
    fixed_service = 1 + gamma
    fixed_arrivals = (1 - 4 * gamma) * math.exp(-2 * (1 - load) / (3 * load))
    half = (arrivals + services) / 2
    even = min(1.0, (fixed_service + fixed_arrivals) / 2) ** (2 * (1 - half)) if half < 1 else 1.0
    if arrivals >= services:
        whole = 4 * arrivals - 3 * services
        return (4 * (arrivals - services) * fixed_service + services * even) / whole if whole else 1.0
    return ((services - arrivals) * fixed_arrivals + (services + 3 * arrivals) * even) / (4 * half)


def _tails(high: float, low: float) -> float:
    """P(a standard normal variable is above `high`) over P(it is above `low`)."""
    return math.exp(float(special.log_ndtr(-high)) - float(special.log_ndtr(-low)))
