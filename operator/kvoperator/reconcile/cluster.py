"""One pass over one KVCluster: observe -> decide -> report -> act.

The rollout's state is written to status **before** anything is done about it, and never after: status is the log that
a restart goes on from. Killed before the write, the pass has not happened: the same facts give the same answer again.
Killed after it, the next pass finds the state, computes the same plan from it and does what is still missing, because
every plan follows from state and facts alone and every write repairs a difference. What is waited for (a hold, a
deadline) starts at a time that is in status, so it is never shortened: a hold whose start was not yet written starts
later. The write names the version it was made from; if a person or another operator was quicker, nothing is done.
Events follow the write: a crash between the two loses one, and never repeats one.

The one thing written afterwards is what the world refused (`problems`), which steers nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from pydantic import ValidationError

from kvoperator.api.spec import KVClusterSpec
from kvoperator.api.status import ConditionStatus, KVClusterStatus, Phase, RolloutStatus, Verdict
from kvoperator.core import naming
from kvoperator.core.judge import Samples, judge, questions, scraped_pods
from kvoperator.core.manifests import Cluster, Object, tokens
from kvoperator.core.revision import revision
from kvoperator.core.rollout.machine import advance
from kvoperator.core.rollout.model import Effects, Event, Facts, Look, RegionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.requests import parse
from kvoperator.core.status import Problem, status
from kvoperator.errors import ApiError, ConflictError, StatusUnreadableError
from kvoperator.ports import KVCLUSTER, Clock, KubeApi, Metrics
from kvoperator.reconcile.act import Act
from kvoperator.reconcile.mirror import Key, Mirror
from kvoperator.reconcile.observe import observe
from kvoperator.reconcile.queue import Again

# Prometheus cannot be watched: in Preflight it is asked this often whether it has found the canary's pods.
SCRAPE_POLL = timedelta(seconds=2)

_log = structlog.get_logger()


class Reconciler:
    def __init__(self, kube: KubeApi, metrics: Metrics, clock: Clock, mirror: Mirror) -> None:
        self._kube, self._metrics, self._clock, self._mirror = kube, metrics, clock, mirror
        self._problems: dict[Key, list[Problem]] = {}  # of the last pass, so that status does not flicker
        self._given_tokens: set[str] = set()  # uids

    async def reconcile(self, key: Key) -> Again:
        """Asks nobody and writes nothing if all is as it should be. Raises ApiError if status could not be written."""
        observed = self._mirror.get((KVCLUSTER.name, *key))
        if observed is None or "deletionTimestamp" in observed["metadata"]:
            return Again()  # owner references do the rest
        previous, cluster = _known(observed), _described(observed)
        if isinstance(cluster, Problem):
            await self._report(observed, None, previous.rollout, {}, [cluster])
            return Again()
        state, effects, facts = await self._decide(observed, cluster, previous.rollout)
        problems = self._problems.get(key, [])
        observed = await self._report(observed, cluster.spec, state, facts.regions, problems)
        await self._tell(observed, effects.events)
        revisions = {known.name: known for known in (state.stable, state.canary) if known}
        errors = await self._give_tokens(observed, cluster)
        errors += await Act(self._kube, self._mirror, cluster, revisions).carry_out(effects.regions)
        if (found := _problems(errors)) != problems:
            self._problems[key] = found
            await self._report(observed, cluster.spec, state, facts.regions, found)
        return Again(self._wake_at(state, effects), failed=bool(errors))

    async def _decide(
        self, observed: Object, cluster: Cluster, stored: RolloutStatus
    ) -> tuple[RolloutStatus, Effects, Facts]:
        facts = self._facts(observed, cluster, None)
        state, effects = advance(stored, facts, self._clock.now())
        if state.phase is Phase.PREFLIGHT:  # only here it counts whom Prometheus sees; so ask, and think again
            facts = self._facts(observed, cluster, await self._scraped(cluster))
            state, effects = advance(stored, facts, self._clock.now())
        if effects.look is None:
            return state, effects, facts
        verdicts = await self._look(cluster, effects.look)
        facts = replace(self._facts(observed, cluster, None), verdicts=verdicts)
        state, final = advance(state, facts, self._clock.now())
        return state, replace(final, events=(*effects.events, *final.events)), facts

    def _facts(self, observed: Object, cluster: Cluster, scraped: Samples | None) -> Facts:
        children = self._mirror.children((cluster.namespace, cluster.name))
        asked = (observed["metadata"].get("annotations") or {}).get(naming.REQUEST_ANNOTATION)
        regions = observe(cluster, children, scraped)
        return Facts(cluster.spec, revision(cluster.spec), regions, request=parse(asked) if asked else None)

    async def _scraped(self, cluster: Cluster) -> Samples | None:
        answer = await self._metrics.query(scraped_pods(cluster.namespace, cluster.name))
        return None if isinstance(answer, str) else answer

    async def _look(self, cluster: Cluster, look: Look) -> tuple[Verdict, ...]:
        asked = questions(cluster.namespace, cluster.name, look, cluster.spec, self._clock.now())
        queries = sorted({promql for question in asked for promql in question.promql})
        answers = await asyncio.gather(*(self._metrics.query(promql) for promql in queries))
        return judge(look, cluster.spec, asked, dict(zip(queries, answers, strict=True)), self._clock.now())

    async def _give_tokens(self, observed: Object, cluster: Cluster) -> list[ApiError]:
        """Makes the Secret with the tokens unless all is well, which it cannot be without: nobody may look for it."""
        conditions = _known(observed).conditions
        if any(one.type == "Ready" and one.status is ConditionStatus.TRUE for one in conditions):
            self._given_tokens.discard(cluster.uid)
        elif cluster.uid not in self._given_tokens:
            try:
                await self._kube.create(tokens(cluster))
            except ApiError as error:
                return [error]
            self._given_tokens.add(cluster.uid)
        return []

    async def _report(
        self,
        observed: Object,
        spec: KVClusterSpec | None,
        state: RolloutStatus,
        regions: Mapping[str, RegionFacts],
        problems: list[Problem],
    ) -> Object:
        """Writes the status if it is another than the one that is there; the object as it is then."""
        previous, generation = _known(observed), observed["metadata"]["generation"]
        wanted = status(generation, spec, state, regions, self._clock.now(), previous, problems)
        if wanted == previous:
            return observed
        body = wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
        answer = await self._kube.write_status(observed, body)
        self._mirror.put(answer)
        return answer

    async def _tell(self, observed: Object, events: tuple[Event, ...]) -> None:
        name, namespace = observed["metadata"]["name"], observed["metadata"]["namespace"]
        for event in events:
            _log.info("event", namespace=namespace, cluster=name, reason=event.reason, message=event.message)
            try:
                await self._kube.post_event(observed, event, self._clock.now())
            except ApiError as error:
                _log.warning("event_lost", namespace=namespace, cluster=name, error=str(error))

    def _wake_at(self, state: RolloutStatus, effects: Effects) -> datetime | None:
        poll = self._clock.now() + SCRAPE_POLL if state.phase is Phase.PREFLIGHT else None
        return min((at for at in (effects.wake_at, poll) if at), default=None)


def _known(observed: Object) -> KVClusterStatus:
    """The status that is there. To take one that cannot be read for none would serve the newest release to all."""
    try:
        return KVClusterStatus.model_validate(observed.get("status") or {})
    except ValidationError as error:
        where = error.errors()[0]
        field = ".".join(map(str, where["loc"]))
        raise StatusUnreadableError(
            f"status.{field}: {where['msg']}; only the operator writes status. Put it right, or clear it to start anew"
        ) from error


def _described(observed: Object) -> Cluster | Problem:
    metadata = observed["metadata"]
    try:
        spec = KVClusterSpec.model_validate(observed["spec"])
    except ValidationError as error:
        wrong = [f"spec.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]]
        return Problem(Reason.INVALID_SPEC, "; ".join(wrong))
    return Cluster(metadata["name"], metadata["namespace"], metadata["uid"], spec)


def _problems(errors: list[ApiError]) -> list[Problem]:
    reasons = {True: Reason.FIELD_CONFLICT, False: Reason.APPLY_FAILED}
    problems = [Problem(reasons[isinstance(error, ConflictError)], str(error)) for error in errors]
    return sorted(problems, key=str)
