"""Objectives -> PromQL: requests of canary and stable since the share began, in all regions at once.

Counts, not rates or quantiles: errors and slow requests are shares of requests, and shares can be tested. A histogram
must have an edge at each threshold; without it the answer is empty, which the judge reads as NoData.
"""

from dataclasses import dataclass
from datetime import datetime

from kvoperator.api.spec import KVClusterSpec
from kvoperator.core.judge.objectives import Objective, objectives
from kvoperator.core.naming import CLUSTER_LABEL, REGION_LABEL, REVISION_LABEL, metric_label
from kvoperator.core.revision import number
from kvoperator.core.rollout.model import Look

REGION, REVISION = metric_label(REGION_LABEL), metric_label(REVISION_LABEL)
WINDOW_S = 120  # of what is observed beside the gates
_CLUSTER = metric_label(CLUSTER_LABEL)
_HISTOGRAM = "kv_http_request_duration_seconds"


@dataclass(frozen=True)
class Question:
    """How one objective is counted. Both queries answer one sample a region and revision."""

    objective: Objective
    total: str
    bad: str

    @property
    def promql(self) -> tuple[str, str]:
        return (self.total, self.bad)


def questions(namespace: str, cluster: str, look: Look, spec: KVClusterSpec, now: datetime) -> tuple[Question, ...]:
    """What to ask Prometheus for `look`, at `now`."""
    revisions = "|".join(name for name in (look.canary, look.stable) if name)
    pods = f'{_pods(namespace, cluster)},{REVISION}=~"{revisions}",route="record"'
    window_s = max(1, int((now - look.since).total_seconds()))
    return tuple(_question(objective, pods, window_s) for objective in objectives(spec))


def scraped_pods(namespace: str, cluster: str) -> str:
    """Pods whose metrics Prometheus has, a region and revision."""
    return f'count by ({REGION}, {REVISION}) (up{{{_pods(namespace, cluster)},{REVISION}!=""}} == 1)'


def observed_rates(namespace: str, cluster: str) -> str:
    """Requests a second of the last minutes, a region."""
    return f"sum by ({REGION}) (rate({_HISTOGRAM}_count{{{_records(namespace, cluster)}}}[{WINDOW_S}s]))"


def observed_p95s(namespace: str, cluster: str) -> str:
    """Seconds, of the last minutes, a region: interpolated in the histogram's buckets."""
    buckets = f"rate({_HISTOGRAM}_bucket{{{_records(namespace, cluster)}}}[{WINDOW_S}s])"
    return f"histogram_quantile(0.95, sum by ({REGION}, le) ({buckets}))"


def _question(objective: Objective, pods: str, window_s: int) -> Question:
    if objective.threshold_s is None:
        total = _increase("kv_http_requests_total", pods, window_s)
        return Question(objective, total, _increase("kv_http_requests_total", f'{pods},code=~"5.."', window_s))
    total = _increase(f"{_HISTOGRAM}_count", pods, window_s)
    fast = _increase(f"{_HISTOGRAM}_bucket", f'{pods},le=~"{_edge(objective.threshold_s)}"', window_s)
    return Question(objective, total, f"{total} - {fast}")


def _increase(metric: str, labels: str, window_s: int) -> str:
    return f"sum by ({REGION}, {REVISION}) (increase({metric}{{{labels}}}[{window_s}s]))"


def _pods(namespace: str, cluster: str) -> str:
    return f'namespace="{namespace}",{_CLUSTER}="{cluster}"'


def _records(namespace: str, cluster: str) -> str:
    """Of the record routes, which are what the SLO is about."""
    return f'{_pods(namespace, cluster)},route="record"'


def _edge(threshold_s: float) -> str:
    """The `le` of a bucket as clients print it: 0.1, and for whole numbers 1 or 1.0."""
    edge = number(threshold_s).replace(".", "[.]")
    return edge if "[.]" in edge else f"{edge}|{edge}[.]0"
