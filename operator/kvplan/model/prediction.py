"""What `predict` answers. Times in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    mean: float
    quantiles: Mapping[float, float]  # percentile (50, 95, 99, 99.9 at least) -> seconds
    within: Mapping[float, float]  # threshold that was asked about, in seconds -> share of the requests within it


@dataclass(frozen=True)
class Part:
    """What one step of a class takes, wait and service together; `wait` is the mean of the waiting alone."""

    name: str  # of the station or pause; the second visit of one station is `pod (2)`
    mean: float
    p95: float
    wait: float


@dataclass(frozen=True)
class ClassPrediction:
    name: str
    share: float
    latency: Latency
    parts: tuple[Part, ...]  # in the order of the steps; percentiles of parts do not add up


@dataclass(frozen=True)
class StationLoad:
    name: str
    utilisation: float  # with what hedges and retries add
    wait: float  # mean wait of a visit
    erlang_wait: float  # the same by M/M/c, which knows no CV: the cross-check
    saturates_at: float  # rate of the whole system at which utilisation is 1


@dataclass(frozen=True)
class Prediction:
    """`stations` are ordered by what they limit: the first is the bottleneck, the second the next one.

    `beyond`: why the model is not to be trusted here, in a sentence that ends with "use --simulate"; None within its
    competence (CV up to 1.5, load up to .95). `closed_forms`: name -> value of what is printed beside: Little's law's
    number in the system, M/M/c's p95 of independent stations.
    """

    rate: float
    latency: Latency
    classes: tuple[ClassPrediction, ...]
    stations: tuple[StationLoad, ...]
    gave_up: float  # share of the requests whose client had no answer in time on any try; 0 without a timeout
    beyond: str | None
    closed_forms: Mapping[str, float]
