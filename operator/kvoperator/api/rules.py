"""Every rule that crosses fields or compares durations, told twice: as CEL for the API server and as Python for `lint`.

Both tell it in the same words; tests/contract/test_crd_manifests.py holds them together on a real API server.
What one field alone can say (type, bounds, pattern, no repetition) stands at the field, in `spec.py`. As on the server,
a rule is only asked once all fields are sound by themselves.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvoperator.api.spec import PERCENTILE_HELP, PERCENTILE_PATTERN, KVClusterSpec, Region
from kvoperator.api.units import seconds


@dataclass(frozen=True)
class Breach:
    """What breaks a rule: `sentence` names value and rule, `path` the field."""

    path: str
    value: object
    sentence: str


@dataclass(frozen=True)
class Rule:
    """`cel` and `message` (a CEL expression) stand at the schema node `at`; `field` is CEL's fieldPath below it.

    `check` is None where there is nothing left to check here: the API server alone knows the object as it was, and the
    models check the keys of a map, which a structural schema cannot.
    """

    at: str
    says: str
    cel: str
    message: str
    check: Callable[[KVClusterSpec], Iterator[Breach]] | None
    field: str = ""


def _at_least(at: str, least: str, why: str, read: Callable[[KVClusterSpec], str]) -> Rule:
    """A duration of its own with a lower bound, which no pattern can say."""
    sentence = f"is shorter than {least}, {why}"

    def check(spec: KVClusterSpec) -> Iterator[Breach]:
        if seconds(value := read(spec)) < seconds(least):
            yield Breach(at, value, f"{value} {sentence}")

    cel = f"duration(self) >= duration('{least}')"
    return Rule(at, f"Not shorter than {least}, {why}.", cel, f"self + ' {sentence}'", check)


def _steps_rise(spec: KVClusterSpec) -> Iterator[Breach]:
    traffic = [step.traffic for step in spec.rollout.steps]
    for index in range(1, len(traffic)):
        if traffic[index] <= traffic[index - 1]:
            sentence = f"traffic goes {traffic}; each step must have more than the one before"
            yield Breach(f"spec.rollout.steps[{index}].traffic", traffic[index], sentence)
            return


def _holds_fit_looks(spec: KVClusterSpec) -> Iterator[Breach]:
    interval = spec.rollout.interval
    for index, step in enumerate(spec.rollout.steps):
        if seconds(step.hold) < seconds(interval):
            sentence = f"hold {step.hold} is shorter than rollout.interval {interval}: no look at the gates would fit"
            yield Breach(f"spec.rollout.steps[{index}].hold", step.hold, sentence)


def _no_data_deadline_fits_a_look(spec: KVClusterSpec) -> Iterator[Breach]:
    deadline, interval = spec.rollout.no_data_deadline, spec.rollout.interval
    if seconds(deadline) < seconds(interval):
        sentence = (
            f"{deadline} is shorter than rollout.interval {interval}: one look without data would end the rollout"
        )
        yield Breach("spec.rollout.noDataDeadline", deadline, sentence)


def _gateway(region: Region) -> str:
    if region.gateway is None:
        return region.name
    return f"{region.gateway.namespace}/{region.gateway.name}" if region.gateway.namespace else region.gateway.name


def _own_gateways(spec: KVClusterSpec) -> Iterator[Breach]:
    gateways = [_gateway(region) for region in spec.regions]
    shared = [name for name, count in Counter(gateways).items() if count > 1]
    if shared:
        second = [index for index, name in enumerate(gateways) if name == shared[0]][1]
        sentence = f"the Gateways of the regions are {json.dumps(gateways)}; each region must have one of its own"
        yield Breach(f"spec.regions[{second}].gateway", shared[0], sentence)


def _latency_within_bounds(spec: KVClusterSpec) -> Iterator[Breach]:
    for percentile, limit in spec.slo.latency.items():
        if not 0 < seconds(limit) <= 60:
            yield Breach(f"spec.slo.latency.{percentile}", limit, f"{limit} is not above 0s and at most 60s")


def _latency_does_not_fall(spec: KVClusterSpec) -> Iterator[Breach]:
    limits = {percentile: seconds(limit) for percentile, limit in spec.slo.latency.items()}
    for low, limit in limits.items():
        if any(float(low) <= float(high) and limit > limits[high] for high in limits):
            value = spec.slo.latency[low]
            sentence = f"{value} for percentile {low} is longer than what a higher (or equal) percentile is given"
            yield Breach(f"spec.slo.latency.{low}", value, sentence)


# `namespace` is a reserved word of CEL, hence its underscores.
_GATEWAYS = (
    "self.regions.map(r, has(r.gateway)"
    " ? (has(r.gateway.__namespace__) ? r.gateway.__namespace__ + '/' : '') + r.gateway.name : r.name)"
)
_SAME_NAME = (
    "(has(r.gateway) ? (has(o.gateway) ? r.gateway.name == o.gateway.name : r.gateway.name == o.name)"
    " : (has(o.gateway) ? r.name == o.gateway.name : r.name == o.name))"
)
_SAME_NAMESPACE = (
    "(has(r.gateway) && has(r.gateway.__namespace__)"
    " ? has(o.gateway) && has(o.gateway.__namespace__) && r.gateway.__namespace__ == o.gateway.__namespace__"
    " : !(has(o.gateway) && has(o.gateway.__namespace__)))"
)
_PERCENTILES = f"self.all(p, p.matches(r'{PERCENTILE_PATTERN}'))"
_FALLS = "double(p) <= double(q) && duration(self[p]) > duration(self[q])"
_SHORT_HOLDS = "self.steps.filter(s, duration(s.hold) < duration(self.interval))"

RULES = (
    Rule(
        at="spec",
        field=".regions",
        says="Each region has a Gateway of its own (without `gateway`: the one of the region's name).",
        cel=f"self.regions.all(r, self.regions.exists_one(o, {_SAME_NAME} && {_SAME_NAMESPACE}))",
        message=f"'the Gateways of the regions are %s; each region must have one of its own'.format([{_GATEWAYS}])",
        check=_own_gateways,
    ),
    Rule(
        at="spec.rollout",
        field=".steps",
        says="Each step has more traffic than the one before.",
        cel="self.steps.map(s, s.traffic).isSorted()"
        " && self.steps.all(s, self.steps.exists_one(t, t.traffic == s.traffic))",
        message="'traffic goes %s; each step must have more than the one before'"
        ".format([self.steps.map(s, s.traffic)])",
        check=_steps_rise,
    ),
    Rule(
        at="spec.rollout",
        field=".steps",
        says="No hold is shorter than `interval`: at least one look at the gates must fit into a step.",
        cel="self.steps.all(s, duration(s.hold) >= duration(self.interval))",
        message="'hold %s is shorter than rollout.interval %s: no look at the gates would fit'"
        f".format([{_SHORT_HOLDS}[0].hold, self.interval])",
        check=_holds_fit_looks,
    ),
    Rule(
        at="spec.rollout",
        field=".noDataDeadline",
        says="`noDataDeadline` is not shorter than `interval`.",
        cel="duration(self.noDataDeadline) >= duration(self.interval)",
        message="self.noDataDeadline + ' is shorter than rollout.interval ' + self.interval"
        " + ': one look without data would end the rollout'",
        check=_no_data_deadline_fits_a_look,
    ),
    _at_least("spec.rollout.interval", "1s", "the least time between two looks", lambda s: s.rollout.interval),
    _at_least(
        "spec.rollout.progressDeadline", "1s", "in which no pod gets ready", lambda s: s.rollout.progress_deadline
    ),
    _at_least("spec.cache.ttl", "1s", "the least time an entry is kept", lambda s: s.cache.ttl),
    Rule(
        at="spec.slo.latency",
        says="Keys are percentiles: 1 to 99.999, at most three decimals.",
        cel=_PERCENTILES,
        message=f"self.filter(p, !p.matches(r'{PERCENTILE_PATTERN}'))[0] + ' {PERCENTILE_HELP}'",
        check=None,
    ),
    Rule(
        at="spec.slo.latency",
        says="A higher percentile is not given less time than a lower one.",
        cel=f"!{_PERCENTILES} || !self.exists(p, self.exists(q, {_FALLS}))",
        message=f"self.filter(p, self.exists(q, {_FALLS})).map(p, self[p] + ' for percentile ' + p)[0]"
        " + ' is longer than what a higher (or equal) percentile is given'",
        check=_latency_does_not_fall,
    ),
    Rule(
        at="spec.slo.latency.*",
        says="A threshold is above 0s and at most 60s.",
        cel="duration(self) > duration('0s') && duration(self) <= duration('60s')",
        message="self + ' is not above 0s and at most 60s'",
        check=_latency_within_bounds,
    ),
    Rule(
        at="spec.storage.embedded.size",
        says="A volume may grow, never shrink (only the API server can tell: `kvctl lint` does not know the old size).",
        cel="quantity(self).compareTo(quantity(oldSelf)) >= 0",
        message="self + ' is smaller than ' + oldSelf + ', which it was: a volume may grow, never shrink'",
        check=None,
    ),
)
