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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from pydantic import ValidationError

from kvoperator.api.spec import AUTO, KVClusterSpec
from kvoperator.api.status import ConditionStatus, KVClusterStatus, Phase, RolloutStatus, Verdict
from kvoperator.core import naming
from kvoperator.core.judge import Samples, judge, observed_p95s, observed_rates, questions, scraped_pods
from kvoperator.core.latency import LOOK_EVERY, Comparison, Watch, sights, told
from kvoperator.core.manifests import Cluster, Object, tokens
from kvoperator.core.revision import revision
from kvoperator.core.rollout.machine import advance
from kvoperator.core.rollout.model import Effects, Event, Facts, Look, RegionFacts
from kvoperator.core.rollout.reasons import Reason
from kvoperator.core.rollout.requests import parse
from kvoperator.core.sizing import Size, settled, sizes
from kvoperator.core.status import Outlook, Problem, flips, status
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
        # The planner computes; a thread of its own, so that neither the loop nor a gate's query waits for it.
        self._planner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="planner")
        self._watches: dict[Key, Watch] = {}  # of those with a workload; after a restart the looks begin anew

    async def reconcile(self, key: Key) -> Again:
        """Asks nobody and writes nothing if all is as it should be. Raises ApiError if status could not be written."""
        observed = self._mirror.get((KVCLUSTER.name, *key))
        if observed is None or "deletionTimestamp" in observed["metadata"]:
            self._watches.pop(key, None)
            return Again()  # owner references do the rest
        previous, cluster = _known(observed), _described(observed)
        if isinstance(cluster, Problem):
            await self._report(observed, None, previous.rollout, {}, [cluster], Outlook())
            return Again()
        planned = await self._sizes(cluster.spec)
        cluster = replace(cluster, spec=settled(cluster.spec, planned, previous))
        state, effects, facts = await self._decide(observed, cluster, previous.rollout)
        problems, outlook = self._problems.get(key, []), Outlook(planned)
        observed = await self._report(observed, cluster.spec, state, facts.regions, problems, outlook)
        await self._tell(observed, effects.events)
        revisions = {known.name: known for known in (state.stable, state.canary) if known}
        errors = await self._give_tokens(observed, cluster)
        errors += await Act(self._kube, self._mirror, cluster, revisions).carry_out(effects.regions)
        found, comparison = _problems(errors), await self._compare(key, observed, cluster, facts.regions)
        if found != problems or comparison:
            self._problems[key] = found
            outlook = replace(outlook, comparison=comparison)
            await self._report(observed, cluster.spec, state, facts.regions, found, outlook)
        return Again(self._wake_at(key, state, effects), failed=bool(errors))

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
        outlook: Outlook,
    ) -> Object:
        """Writes the status if it is another than the one that is there; the object as it is then."""
        previous, generation = _known(observed), observed["metadata"]["generation"]
        wanted = status(generation, spec, state, regions, self._clock.now(), previous, problems, outlook)
        if wanted == previous:
            return observed
        body = wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
        answer = await self._kube.write_status(observed, body)
        self._mirror.put(answer)
        await self._tell(answer, flips(previous, wanted))
        return answer

    async def _sizes(self, spec: KVClusterSpec) -> Mapping[str, Size]:
        if all(region.replicas != AUTO for region in spec.regions):
            return {}
        return await asyncio.get_running_loop().run_in_executor(self._planner, sizes, spec)

    async def _compare(
        self, key: Key, observed: Object, cluster: Cluster, regions: Mapping[str, RegionFacts]
    ) -> Comparison | None:
        """Predicted and observed latency, if it is time for a look; last in the pass, for nothing waits for it."""
        if cluster.spec.workload is None or observed["status"]["phase"] == Phase.PROVISIONING:
            self._watches.pop(key, None)
            return None
        watch, now = self._watches.get(key), self._clock.now()
        if watch and now < watch.at + LOOK_EVERY:
            return None
        asked = (build(cluster.namespace, cluster.name) for build in (observed_rates, observed_p95s))
        rates, p95s = await asyncio.gather(*(self._metrics.query(promql) for promql in asked))
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._planner, sights, cluster.spec, regions, rates, p95s)
        comparison, self._watches[key] = told(found, watch, _known(observed), now)
        return comparison

    async def _tell(self, observed: Object, events: tuple[Event, ...]) -> None:
        name, namespace = observed["metadata"]["name"], observed["metadata"]["namespace"]
        for event in events:
            _log.info("event", namespace=namespace, cluster=name, reason=event.reason, message=event.message)
            try:
                await self._kube.post_event(observed, event, self._clock.now())
            except ApiError as error:
                _log.warning("event_lost", namespace=namespace, cluster=name, error=str(error))

    def _wake_at(self, key: Key, state: RolloutStatus, effects: Effects) -> datetime | None:
        poll = self._clock.now() + SCRAPE_POLL if state.phase is Phase.PREFLIGHT else None
        watch = self._watches.get(key)
        look = watch.at + LOOK_EVERY if watch else None
        return min((at for at in (effects.wake_at, poll, look) if at), default=None)


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
