"""Where the counters come from: the pods' own pages, asked again and again, or Prometheus, which has asked them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import httpx
from prometheus_client.parser import text_string_to_metric_families

from kvctl.calibrate.counts import NAMES, Counts, Sample, counts
from kvctl.errors import MeasureError
from kvoperator.core.naming import CLUSTER_LABEL, metric_label

TIMEOUT_S = 10.0
INTERVAL_S = 5.0
_LEAST_INTERVALS = 6  # to tell three kinds of requests apart

Moment = dict[str, Counts]  # by pod


@dataclass(frozen=True)
class Watched:
    """What each pod counted in each interval; `pod_seconds`: the time of all of them."""

    intervals: tuple[Counts, ...]
    pod_seconds: float
    pods: int


def of_pages(urls: Sequence[str], seconds: float, sleep: Callable[[float], None] = time.sleep) -> Watched:
    """Asks the pages now and then for so long. Raises MeasureError."""
    number = _number(seconds)
    with httpx.Client(timeout=TIMEOUT_S) as client:
        moments = [(time.monotonic(), _pages(client, urls))]
        for _ in range(number):
            sleep(seconds / number)
            moments.append((time.monotonic(), _pages(client, urls)))
    return _watched(moments)


def of_prometheus(url: str, cluster: str, namespace: str, seconds: float) -> Watched:
    """What Prometheus knows of the last seconds. Raises MeasureError."""
    number, now = _number(seconds), time.time()
    selector = f'{{__name__=~"{"|".join(NAMES)}",{metric_label(CLUSTER_LABEL)}="{cluster}",namespace="{namespace}"}}'
    times = [now - seconds + seconds / number * each for each in range(number + 1)]
    with httpx.Client(timeout=TIMEOUT_S) as client:
        moments = [(at, _known(client, url, selector, at)) for at in times]
    if not any(moment for _, moment in moments):
        raise MeasureError(
            f"Prometheus at {url} has no metrics of a KVCluster {cluster} in namespace {namespace} in the last "
            f"{seconds:g} s; expected kv_http_requests_total and process_cpu_seconds_total of its pods"
        )
    return _watched(moments)


def _number(seconds: float) -> int:
    return max(round(seconds / INTERVAL_S), _LEAST_INTERVALS)


def _watched(moments: Sequence[tuple[float, Moment]]) -> Watched:
    """A pod that was not there at both ends of an interval, or began anew in it, is left out of it."""
    intervals, seconds, pods = [], 0.0, set[str]()
    for (began, before), (ended, after) in pairwise(moments):
        for pod in before.keys() & after.keys():
            if after[pod].cpu_s >= before[pod].cpu_s and after[pod].requests >= before[pod].requests:
                intervals.append(after[pod].since(before[pod]))
                seconds += ended - began
                pods.add(pod)
    if not intervals:
        raise MeasureError("no pod was there from one look to the next; try again when they are steady")
    return Watched(tuple(intervals), seconds, len(pods))


def _pages(client: httpx.Client, urls: Sequence[str]) -> Moment:
    found = {}
    for url in urls:
        try:
            samples = [
                Sample(sample.name, sample.labels, sample.value)
                for family in text_string_to_metric_families(_text(client, url))
                for sample in family.samples
            ]
        except ValueError:
            samples = []
        if (pod := counts(samples)) is None:
            raise MeasureError(
                f"{url} is no metrics page of a pod of this service: expected kv_http_requests_total and "
                "process_cpu_seconds_total; it is /metrics of the pod's second port, such as http://pod:9090/metrics"
            )
        found[url] = pod
    return found


def _known(client: httpx.Client, url: str, selector: str, at: float) -> Moment:
    text = _text(client, f"{url.rstrip('/')}/api/v1/query", {"query": selector, "time": f"{at:.3f}"})
    series: dict[str, list[Sample]] = {}
    try:
        for one in httpx.Response(200, text=text).json()["data"]["result"]:
            labels = one["metric"]
            sample = Sample(labels["__name__"], labels, float(one["value"][1]))
            series.setdefault(labels.get("pod") or labels["instance"], []).append(sample)
    except (ValueError, KeyError, TypeError, IndexError):
        raise MeasureError(f"{url} does not answer as Prometheus does: {text[:100]!r}") from None
    return {pod: found for pod, samples in series.items() if (found := counts(samples)) is not None}


def _text(client: httpx.Client, url: str, query: dict[str, str] | None = None) -> str:
    try:
        answer = client.get(url, params=query)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MeasureError(f"{url} gives no answer: {str(error) or type(error).__name__}") from None
    if answer.status_code != 200:
        raise MeasureError(f"{url} answers {answer.status_code}, expected 200")
    return answer.text
