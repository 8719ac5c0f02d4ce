"""Every rule that crosses fields or compares durations, told twice: as CEL for the API server and as Python for `lint`.

Both tell it in the same words; tests/contract/test_crd_manifests.py holds them together on a real API server.
What one field alone can say (type, bounds, pattern, no repetition) stands at the field, in `spec.py`. As on the server,
a rule is only asked once all fields are sound by themselves.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvoperator.api.spec import (
    AUTO,
    PERCENTILE_HELP,
    PERCENTILE_PATTERN,
    TIME_HELP,
    TIME_PATTERN,
    KVClusterSpec,
    Region,
    WriteMode,
)
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


def _copies_are_gone_when_sessions_forget(spec: KVClusterSpec) -> Iterator[Breach]:
    ttl, stale = spec.cache.ttl, spec.cache.stale
    if seconds(ttl) + seconds(stale) > seconds("24h"):
        yield Breach("spec.cache.stale", stale, f"ttl {ttl} and stale {stale} together {_KEPT}")


def _one_storage(spec: KVClusterSpec) -> Iterator[Breach]:
    given = sorted(spec.storage.model_dump(exclude_none=True))
    if len(given) != 1:
        yield Breach("spec.storage", given, _ONE_STORAGE)


def _copies_fit_nodes(spec: KVClusterSpec) -> Iterator[Breach]:
    cassandra = spec.storage.cassandra
    if cassandra and cassandra.replication_factor > cassandra.nodes_per_region:
        copies, nodes = cassandra.replication_factor, cassandra.nodes_per_region
        sentence = f"{copies} copies do not fit on {nodes} nodes a region"
        yield Breach("spec.storage.cassandra.replicationFactor", copies, sentence)


def _every_region_has_contact_points(spec: KVClusterSpec) -> Iterator[Breach]:
    points = spec.storage.external.contact_points if spec.storage.external else None
    for region in spec.regions:
        if points is not None and region.name not in points:
            yield Breach("spec.storage.external.contactPoints", points, f"region {region.name} {_NO_POINTS}")
            return


def _tls_has_a_secret(spec: KVClusterSpec) -> Iterator[Breach]:
    external = spec.storage.external
    if external and external.tls and not external.secret_name:
        yield Breach("spec.storage.external.tls", True, _BARE_TLS)


def _cas_has_a_home(spec: KVClusterSpec) -> Iterator[Breach]:
    for index, namespace in enumerate(spec.namespaces):
        if len(spec.regions) > 1 and namespace.write_mode is WriteMode.CAS and not namespace.home:
            yield Breach(f"spec.namespaces[{index}].home", None, f"namespace {namespace.name} {_NO_HOME}")
            return


def _homes_are_regions(spec: KVClusterSpec) -> Iterator[Breach]:
    regions = {region.name for region in spec.regions}
    for index, namespace in enumerate(spec.namespaces):
        if namespace.home and namespace.home not in regions:
            sentence = f"home {namespace.home} of namespace {namespace.name} is not a region of this KVCluster"
            yield Breach(f"spec.namespaces[{index}].home", namespace.home, sentence)
            return


def _ttls_are_whole(spec: KVClusterSpec) -> Iterator[Breach]:
    for index, namespace in enumerate(spec.namespaces):
        if not (seconds(namespace.ttl) == 0 or 1 <= seconds(namespace.ttl) <= seconds("87600h")):
            yield Breach(f"spec.namespaces[{index}].ttl", namespace.ttl, f"{namespace.ttl} {_TTL}")


def _auto_has_a_workload(spec: KVClusterSpec) -> Iterator[Breach]:
    for index, region in enumerate(spec.regions):
        if region.replicas == AUTO and spec.workload is None:
            yield Breach(f"spec.regions[{index}].replicas", AUTO, f"region {region.name} {_UNSIZED}")
            return


def _auto_has_room(spec: KVClusterSpec) -> Iterator[Breach]:
    for index, region in enumerate(spec.regions):
        least, most = region.min_replicas, region.max_replicas
        if least > most:
            sentence = f"minReplicas {least} is above maxReplicas {most}"
            yield Breach(f"spec.regions[{index}].minReplicas", least, sentence)


def _all_shares_or_none(spec: KVClusterSpec) -> Iterator[Breach]:
    lacking = [region.name for region in spec.regions if region.share is None]
    if 0 < len(lacking) < len(spec.regions):
        yield Breach("spec.regions", lacking, f"region {lacking[0]} {_NO_SHARE}")


def _shares_sum_to_one(spec: KVClusterSpec) -> Iterator[Breach]:
    shares = [region.share for region in spec.regions if region.share is not None]
    if len(shares) == len(spec.regions) and not 0.999 <= sum(shares) <= 1.001:
        yield Breach("spec.regions", shares, f"the shares of the regions sum to {sum(shares):.3f}; expected 1")


def _fixed(at: str, why: str) -> Rule:
    """What may not change once it is set. Only the API server can tell: lint does not know what was."""
    message = f"'%s is not %s, which it was: {why}'.format([self, oldSelf])"
    says = f"May not change: {why} (only the API server can tell: `kvctl lint` does not know the old value)."
    return Rule(at, says, "self == oldSelf", message, check=None)


_ONE_STORAGE = "give exactly one of embedded, cassandra and external"
_NO_POINTS = "has no contact points; give some nodes of its datacenter"
_BARE_TLS = "tls needs a secretName: a Secret whose ca.crt the nodes are checked against"
_NO_HOME = "is cas and has no home; with more than one region, name the one that takes its writes"
_TTL = "is neither 0s (for ever) nor from 1s to 87600h"
_KEPT = "are more than 24h, after which sessions forget what they saw"
_UNSIZED = "has replicas auto, and there is no spec.workload to size it for; give one, or a number"
_NO_SHARE = "has no share, and others have; give all regions one, or none"
_KIND = "(has({0}.embedded) ? 'embedded' : has({0}.cassandra) ? 'cassandra' : 'external')"  # of storage
_REPLICATED = "the copies there are would not follow by themselves"
_PLACED = "data would have to move to where it belongs, which the operator does not do yet"

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
_HOMELESS = "n.writeMode == 'cas' && !has(n.home)"
_LOST = "has(n.home) && !self.regions.exists(r, r.name == n.home)"
_SHARES = "self.regions.map(r, r.share).sum()"
_KNOWN_TIMES = f"self.all(t, t.matches(r'{TIME_PATTERN}'))"
_HAS_POINTS = "r.name in self.storage.external.contactPoints"
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
    Rule(
        at="spec",
        field=".regions",
        says="`replicas: auto` needs a `workload`.",
        cel=f"has(self.workload) || !self.regions.exists(r, r.replicas == '{AUTO}')",
        message=f"'region %s {_UNSIZED}'.format([self.regions.filter(r, r.replicas == '{AUTO}')[0].name])",
        check=_auto_has_a_workload,
    ),
    Rule(
        at="spec.regions[]",
        field=".minReplicas",
        says="`minReplicas` is not above `maxReplicas`.",
        cel="self.minReplicas <= self.maxReplicas",
        message="'minReplicas %d is above maxReplicas %d'.format([self.minReplicas, self.maxReplicas])",
        check=_auto_has_room,
    ),
    Rule(
        at="spec",
        field=".regions",
        says="All regions have a share, or none.",
        cel="self.regions.all(r, has(r.share)) || !self.regions.exists(r, has(r.share))",
        message=f"'region %s {_NO_SHARE}'.format([self.regions.filter(r, !has(r.share))[0].name])",
        check=_all_shares_or_none,
    ),
    Rule(
        at="spec",
        field=".regions",
        says="The shares of the regions sum to 1.",
        cel=f"!self.regions.all(r, has(r.share)) || ({_SHARES} >= 0.999 && {_SHARES} <= 1.001)",
        message=f"'the shares of the regions sum to %.3f; expected 1'.format([{_SHARES}])",
        check=_shares_sum_to_one,
    ),
    Rule(
        at="spec.workload.service",
        says="Keys are times that the planner knows.",
        cel=_KNOWN_TIMES,
        message=f"self.filter(t, !t.matches(r'{TIME_PATTERN}'))[0] + ' {TIME_HELP}'",
        check=None,
    ),
    _at_least("spec.rollout.interval", "1s", "the least time between two looks", lambda s: s.rollout.interval),
    _at_least(
        "spec.rollout.progressDeadline", "1s", "in which no pod gets ready", lambda s: s.rollout.progress_deadline
    ),
    _at_least("spec.cache.ttl", "1s", "the least time an entry is kept", lambda s: s.cache.ttl),
    Rule(
        at="spec.cache",
        field=".stale",
        says="`ttl` and `stale` together are at most 24h, for which sessions remember what they saw.",
        cel="duration(self.ttl) + duration(self.stale) <= duration('24h')",
        message=f"'ttl %s and stale %s together {_KEPT}'.format([self.ttl, self.stale])",
        check=_copies_are_gone_when_sessions_forget,
    ),
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
        at="spec.namespaces[].ttl",
        says="0s, or from 1s to 87600h (ten years).",
        cel="duration(self) == duration('0s')"
        " || (duration(self) >= duration('1s') && duration(self) <= duration('87600h'))",
        message=f"self + ' {_TTL}'",
        check=_ttls_are_whole,
    ),
    Rule(
        at="spec",
        field=".namespaces",
        says="With more than one region, a `cas` namespace has a home.",
        cel=f"size(self.regions) == 1 || !self.namespaces.exists(n, {_HOMELESS})",
        message=f"'namespace %s {_NO_HOME}'.format([self.namespaces.filter(n, {_HOMELESS})[0].name])",
        check=_cas_has_a_home,
    ),
    Rule(
        at="spec",
        field=".namespaces",
        says="A home is a region of the KVCluster.",
        cel=f"!self.namespaces.exists(n, {_LOST})",
        message="'home %s of namespace %s is not a region of this KVCluster'"
        f".format([self.namespaces.filter(n, {_LOST})[0].home, self.namespaces.filter(n, {_LOST})[0].name])",
        check=_homes_are_regions,
    ),
    Rule(
        at="spec.storage",
        says="Exactly one kind of storage.",
        cel="[has(self.embedded), has(self.cassandra), has(self.external)].filter(x, x).size() == 1",
        message=f"'{_ONE_STORAGE}'",
        check=_one_storage,
    ),
    Rule(
        at="spec.storage",
        says="The kind of storage may not change (only the API server can tell).",
        cel=f"{_KIND.format('self')} == {_KIND.format('oldSelf')}",
        message=f"{_KIND.format('oldSelf')} + ' cannot become ' + {_KIND.format('self')}"
        " + ': the records would be left behind; make another KVCluster and move them'",
        check=None,
    ),
    Rule(
        at="spec",
        field=".regions",
        says="With `storage.cassandra` no region is added (only the API server can tell).",
        cel="!has(self.storage.cassandra) || self.regions.all(r, oldSelf.regions.exists(o, o.name == r.name))",
        message=f"'region %s cannot be added with storage.cassandra: {_PLACED}'"
        ".format([self.regions.filter(r, !oldSelf.regions.exists(o, o.name == r.name))[0].name])",
        check=None,
    ),
    Rule(
        at="spec.storage.cassandra",
        field=".replicationFactor",
        says="No more copies than nodes.",
        cel="self.replicationFactor <= self.nodesPerRegion",
        message="'%d copies do not fit on %d nodes a region'.format([self.replicationFactor, self.nodesPerRegion])",
        check=_copies_fit_nodes,
    ),
    _fixed("spec.storage.cassandra.nodesPerRegion", _PLACED),
    _fixed("spec.storage.cassandra.replicationFactor", _REPLICATED),
    _fixed("spec.storage.cassandra.size", "a StatefulSet keeps the size of its volumes"),
    Rule(
        at="spec",
        field=".storage.external.contactPoints",
        says="Every region has contact points.",
        cel=f"!has(self.storage.external) || self.regions.all(r, {_HAS_POINTS})",
        message=f"'region %s {_NO_POINTS}'.format([self.regions.filter(r, !({_HAS_POINTS}))[0].name])",
        check=_every_region_has_contact_points,
    ),
    Rule(
        at="spec.storage.external",
        field=".tls",
        says="`tls` needs a Secret.",
        cel="!self.tls || has(self.secretName)",
        message=f"'{_BARE_TLS}'",
        check=_tls_has_a_secret,
    ),
    _fixed("spec.storage.external.keyspace", "the records are in the other one"),
    _fixed("spec.storage.external.replicationFactor", _REPLICATED),
    Rule(
        at="spec.storage.embedded.size",
        says="A volume may grow, never shrink (only the API server can tell: `kvctl lint` does not know the old size).",
        cel="quantity(self).compareTo(quantity(oldSelf)) >= 0",
        message="self + ' is smaller than ' + oldSelf + ', which it was: a volume may grow, never shrink'",
        check=None,
    ),
)
