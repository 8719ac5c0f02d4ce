"""A request's stay at one pool that it visits several times."""

from collections.abc import Sequence
from dataclasses import dataclass

from kvplan.model.grid import Mass, in_a_row
from kvplan.system import Station


@dataclass(frozen=True)
class Traffic:
    """What all classes together do at a station, retries and hedges included."""

    station: Station
    utilisation: float  # of each server
    rate: float  # visits per second at each pool
    scv: float  # of the times between arrivals at a pool
    service: Mass  # law of a visit's service, all visits mixed
    wait: Mass  # law of one visit's wait, with balancing at random
    scv_service: float


def span(traffic: Traffic, services: Sequence[Mass], gaps: Sequence[Mass], *, first_wait: bool = True) -> Mass:
    """From the arrival at the first visit of a station to the end of the last one: len(services) visits with
    len(services) - 1 gaps in between. Without `first_wait` it counts from the first service's begin."""
    waits = [traffic.wait] * (len(services) if first_wait else len(services) - 1)
    return in_a_row([*services, *gaps, *waits])
