"""The rollout against everything at once: a random world, and the promises that hold in it at every pass."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvoperator.api.spec import KVClusterSpec, OnFailure, Region, Release, Rollout, Step
from kvoperator.api.status import Outcome, Phase, RolloutStatus, Verdict
from kvoperator.core.revision import revision
from kvoperator.core.rollout import advance
from kvoperator.core.rollout.model import Effects, Event, Facts, RegionFacts, Request, RevisionFacts, Verb
from kvoperator.core.rollout.transitions import Transition

FEW, MANY = 5, 11
REGIONS = ("r1", "r2", "r3")
IMAGES = [f"kv:{n}" for n in range(4)]
PLANS = (
    [Step(traffic=20, hold="30s"), Step(traffic=50, hold="60s")],
    [Step(traffic=5, hold="20s"), Step(traffic=5, hold="20s"), Step(traffic=90, hold="0s")],
    [Step(traffic=40, hold="90s")],
)
BY_EVENT: dict[str, list[Transition]] = {}
for transition in Transition:
    BY_EVENT.setdefault(transition.value.event, []).append(transition)


class RolloutWorld(RuleBasedStateMachine):
    """Pods, gateways, verdicts, people and time do as they like; the machine must keep its promises."""

    @initialize(plan=st.sampled_from(PLANS), on_failure=st.sampled_from(OnFailure), bake=st.sampled_from(["0s", "45s"]))
    def begin(self, plan: list[Step], on_failure: OnFailure, bake: str) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.state = RolloutStatus()
        self.image, self.count, self.replicas = "kv:0", 2, FEW
        self.plan, self.on_failure, self.bake = plan, on_failure, bake
        self.pods: dict[str, dict[str, RevisionFacts]] = {name: {} for name in REGIONS}
        self.actual: dict[str, dict[str, int]] = {name: {} for name in REGIONS}  # what the gateway really does
        self.silent: set[str] = set()  # gateways that do not tell
        self.effects = Effects(regions={})
        self.requests = 0
        self.share: object = None
        self.in_force_since = self.now  # the share, in every region, by the gateways' doing and not by their word
        self.do_pass()

    # --- the world

    @property
    def spec(self) -> KVClusterSpec:
        return KVClusterSpec(
            release=Release(image=self.image),
            regions=[Region(name=name, zones=["a"], replicas=self.replicas) for name in REGIONS[: self.count]],
            rollout=Rollout(
                steps=self.plan,
                bake=self.bake,
                interval="10s",
                on_failure=self.on_failure,
                progress_deadline="4m",
                no_data_deadline="5m",
            ),
        )

    def facts(self, outcome: Outcome | None, request: Request | None) -> Facts:
        spec = self.spec
        verdicts = tuple(
            Verdict(region=region.name, gate=gate.value, outcome=outcome, at=self.now)
            for region in spec.regions
            for gate in spec.rollout.gates
            if outcome
        )
        regions = {
            name: RegionFacts(dict(self.pods[name]), None if name in self.silent else dict(self.actual[name]))
            for name in REGIONS
        }
        return Facts(spec, revision(spec), regions, verdicts, request)

    def do_pass(self, outcome: Outcome | None = None, request: Request | None = None) -> None:
        facts, before = self.facts(outcome, request), self.state
        restarted = RolloutStatus.model_validate_json(before.model_dump_json(by_alias=True))
        self.state, self.effects = advance(restarted, facts, self.now)
        again, idle = advance(self.state, facts, self.now)
        assert again == self.state, "the same inputs again changed the state"
        assert idle.events == (), "the same inputs again were told again"
        self.check_events(before, self.effects.events)
        self.check_weights(before)
        self.check_pods()
        self.check_hold(before)
        self.check_promotion(before, facts, outcome)
        self.check_refused(before, request)

    # --- the promises

    def check_events(self, before: RolloutStatus, events: tuple[Event, ...]) -> None:
        """Every Event, and every change of phase, is one of the table's transitions, taken from where it may be."""
        phases = {before.phase}
        for event in events:
            taken = [t.value for t in BY_EVENT[event.reason] if phases & t.value.sources]
            assert taken, f"{event.reason} from {phases}"
            phases = {rule.to or phase for rule in taken for phase in phases & rule.sources}
        assert self.state.phase in phases

    def check_weights(self, before: RolloutStatus) -> None:
        canary = self.state.canary.name if self.state.canary else None
        for name, plan in self.effects.regions.items():
            assert sum(plan.weights.values()) == 100
            assert all(weight >= 0 for weight in plan.weights.values())
            ready = self.pods[name].get(canary or "", RevisionFacts()).ready
            share = plan.weights.get(canary or "", 0)
            assert share * self.replicas <= 100 * ready, "more traffic than ready pods can carry"
            assert share <= self.state.traffic
            if self.state.phase in (Phase.PREFLIGHT, Phase.ROLLING_BACK):
                assert share == 0

    def check_pods(self) -> None:
        """Nothing that carries traffic, or may, loses pods."""
        for name, plan in self.effects.regions.items():
            for revision_name, pods in self.pods[name].items():
                if name in self.silent or self.actual[name].get(revision_name):
                    assert plan.replicas.get(revision_name, 0) >= pods.replicas

    def check_hold(self, before: RolloutStatus) -> None:
        """A share that passes was really in force everywhere, without a break, for as long as was asked."""
        if any(event.reason in ("StepPassed", "Promoted") for event in self.effects.events):
            step = self.plan[min(before.step, len(self.plan) - 1)]
            hold = self.bake if before.phase is Phase.BAKING else step.hold
            assert self.now - self.in_force_since >= timedelta(seconds=int(hold[:-1])), "a hold was shortened"
        canary, regions = self.state.canary, REGIONS[: self.count]
        held = canary and all(self.actual[name].get(canary.name) == self.state.traffic for name in regions)
        share = (canary, self.state.traffic, self.state.step, self.state.phase)
        if not held or share != self.share:
            self.in_force_since = self.now
        self.share = share

    def check_promotion(self, before: RolloutStatus, facts: Facts, outcome: Outcome | None) -> None:
        if not any(event.reason == "Promoted" for event in self.effects.events):
            return
        assert self.state.stable == before.canary == facts.wanted
        for name in REGIONS[: self.count]:
            assert self.actual[name] == {facts.wanted.name: 100}, "promoted before every region had it"
        if self.bake != "0s":
            assert outcome is Outcome.PASS or before.looked_at
            said = {(v.region, v.gate): v.outcome for v in (facts.verdicts or before.verdicts)}
            for name in REGIONS[: self.count]:
                for gate in ("availability", "latency"):
                    assert said[name, gate] is Outcome.PASS

    def check_refused(self, before: RolloutStatus, request: Request | None) -> None:
        if request and request.verb is Verb.RETRY and before.refused:
            return
        if before.refused and self.state.canary and self.state.canary.name == before.refused.revision:
            assert self.state.phase is Phase.ROLLING_BACK, "a refused release came back unasked"

    @invariant()
    def stable_is_never_lost(self) -> None:
        if hasattr(self, "state"):
            assert self.state.stable is not None

    # --- what may happen

    @rule()
    def the_world_does_as_asked(self) -> None:
        for name, plan in self.effects.regions.items():
            self.pods[name] = {r: RevisionFacts(n, n, n) for r, n in plan.replicas.items()}
            self.actual[name] = {r: w for r, w in plan.weights.items() if w}
        self.silent.clear()
        self.do_pass()

    @rule(region=st.sampled_from(REGIONS))
    def one_gateway_does_as_asked(self, region: str) -> None:
        if region in self.effects.regions:
            self.actual[region] = {r: w for r, w in self.effects.regions[region].weights.items() if w}
        self.do_pass()

    @rule(region=st.sampled_from(REGIONS), ready=st.integers(0, MANY), image=st.sampled_from(IMAGES))
    def pods_change(self, region: str, ready: int, image: str) -> None:
        name = revision(self.spec.model_copy(update={"release": Release(image=image)})).name
        if pods := self.pods[region].get(name):
            ready = min(ready, pods.replicas)
            self.pods[region][name] = replace(pods, ready=ready, scraped=ready)
        self.do_pass()

    @rule(region=st.sampled_from(REGIONS))
    def deployments_are_scaled_as_asked(self, region: str) -> None:
        if plan := self.effects.regions.get(region):
            seen = self.pods[region]
            self.pods[region] = {
                r: replace(seen.get(r, RevisionFacts()), replicas=n, ready=min(n, seen.get(r, RevisionFacts()).ready))
                for r, n in plan.replicas.items()
            }
        self.do_pass()

    @rule(region=st.sampled_from(REGIONS))
    def a_gateway_falls_silent(self, region: str) -> None:
        self.silent.add(region)
        self.do_pass()

    @rule(image=st.sampled_from(IMAGES))
    def another_release_is_wanted(self, image: str) -> None:
        self.image = image
        self.do_pass()

    @rule(plan=st.sampled_from(PLANS))
    def steps_are_edited(self, plan: list[Step]) -> None:
        before = self.state
        self.plan = plan
        self.do_pass()
        if before.phase in (Phase.ROLLED_BACK, Phase.FROZEN):
            assert self.state.phase is before.phase, "editing steps revived a rollout"

    @rule(count=st.integers(1, 3))
    def regions_come_and_go(self, count: int) -> None:
        self.count = count
        self.do_pass()

    @rule(more=st.integers(1, 3))
    def regions_are_given_more_pods(self, more: int) -> None:
        """As `replicas: auto` may at any time."""
        self.replicas = min(self.replicas + more, MANY)
        self.do_pass()

    @rule(verb=st.sampled_from(Verb), replay=st.booleans())
    def somebody_asks(self, verb: Verb, replay: bool) -> None:
        self.requests += 0 if replay and self.requests else 1
        self.do_pass(request=Request(str(self.requests), verb, "ann"))

    @rule(seconds=st.sampled_from([1, 9, 10, 31, 61, 130, 301]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.do_pass()

    @precondition(lambda self: self.effects.look)
    @rule(outcome=st.sampled_from([*Outcome, Outcome.PASS, Outcome.PASS]))
    def a_look_is_made(self, outcome: Outcome) -> None:
        before = self.state
        self.do_pass(outcome)
        passed = [event for event in self.effects.events if event.reason in ("StepPassed", "Promoted")]
        if passed and before.step_started_at:
            assert outcome is Outcome.PASS
        if outcome is Outcome.FAIL and before.phase in (Phase.STEPPING, Phase.BAKING):
            assert self.state.phase in (Phase.ROLLING_BACK, Phase.FROZEN)

    @precondition(lambda self: self.state.phase is not Phase.FROZEN)
    @rule(rounds=st.integers(5, 40))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self.now += timedelta(seconds=5)
            self.do_pass()
            if self.effects.look:
                self.do_pass(Outcome.PASS)
            self.the_world_does_as_asked()


TestRolloutWorld = RolloutWorld.TestCase
TestRolloutWorld.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
