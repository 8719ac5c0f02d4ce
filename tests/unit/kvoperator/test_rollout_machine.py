"""The rollout's rules, one by one, in a world of dictionaries whose clock is a variable."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from kvoperator.api.spec import KVClusterSpec, OnFailure, Region, Release, Rollout, Step
from kvoperator.api.status import Counts, Outcome, Phase, RolloutStatus, Verdict
from kvoperator.core.revision import revision
from kvoperator.core.rollout import advance
from kvoperator.core.rollout.model import Effects, Facts, Malformed, RegionFacts, Request, RevisionFacts, Verb

START = datetime(2026, 1, 1, tzinfo=UTC)
REGIONS = ("eu-west", "us-east")


def a_spec(
    image: str = "kv:1", regions: tuple[str, ...] = REGIONS, replicas: int = 4, **rollout: object
) -> KVClusterSpec:
    settings: dict[str, object] = {
        "steps": [Step(traffic=25, hold="60s"), Step(traffic=50, hold="60s")],
        "bake": "60s",
        "interval": "10s",
        "progress_deadline": "5m",
        "no_data_deadline": "10m",
    }
    return KVClusterSpec(
        release=Release(image=image),
        regions=[Region(name=name, zones=["a"], replicas=replicas) for name in regions],
        rollout=Rollout.model_validate(settings | rollout),
    )


def name_of(image: str) -> str:
    return revision(a_spec(image)).name


@dataclass
class World:
    """Pods that become ready and gateways that confirm when `settle` says so."""

    spec: KVClusterSpec = field(default_factory=a_spec)
    state: RolloutStatus = field(default_factory=RolloutStatus)
    now: datetime = START
    pods: dict[str, dict[str, RevisionFacts]] = field(default_factory=dict)
    weights: dict[str, dict[str, int] | None] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    effects: Effects = field(default_factory=lambda: Effects(regions={}))

    def advance(self, outcome: Outcome | None = None, request: Request | Malformed | None = None) -> Effects:
        verdicts = tuple(
            Verdict(region=region.name, gate=gate.value, outcome=outcome, at=self.now, message="as told")
            for region in self.spec.regions
            for gate in self.spec.rollout.gates
            if outcome
        )
        return self.advance_with(verdicts, request)

    def advance_with(self, verdicts: tuple[Verdict, ...], request: Request | Malformed | None = None) -> Effects:
        regions = {
            region.name: RegionFacts(self.pods.get(region.name, {}), self.weights.get(region.name))
            for region in self.spec.regions
        }
        facts = Facts(self.spec, revision(self.spec), regions, verdicts, request)
        self.state, self.effects = advance(
            RolloutStatus.model_validate_json(self.state.model_dump_json()), facts, self.now
        )
        again, idle = advance(self.state, facts, self.now)
        assert (again, idle.events) == (self.state, ())
        self.events += [event.reason for event in self.effects.events]
        self.messages += [event.message for event in self.effects.events]
        return self.effects

    def settle(self) -> None:
        """Kubernetes and the gateways do as the last pass said."""
        for name, plan in self.effects.regions.items():
            self.pods[name] = {r: RevisionFacts(n, n, n) for r, n in plan.replicas.items()}
            self.weights[name] = dict(plan.weights)

    def run(self, duration_s: float, outcome: Outcome = Outcome.PASS) -> None:
        """Let time pass second by second in a world in which all goes as asked."""
        end = self.now + timedelta(seconds=duration_s)
        while self.now < end:
            self.now += timedelta(seconds=1)
            if self.advance().look:
                self.advance(outcome)
            self.settle()

    def until(self, reached: Callable[["World"], bool], outcome: Outcome = Outcome.PASS) -> None:
        for _ in range(3000):
            if reached(self):
                return
            self.run(1, outcome)
        raise AssertionError(f"never reached; now {self.state.phase} {self.events}")

    def want(self, image: str, **rollout: object) -> None:
        self.spec = a_spec(image, **rollout)  # type: ignore[arg-type]

    def ask(self, verb: Verb, identity: str = "1", revision: str | None = None) -> Effects:
        return self.advance(request=Request(identity, verb, "ann", revision))

    def canary_weights(self) -> dict[str, int]:
        canary = self.state.canary.name if self.state.canary else ""
        return {name: plan.weights.get(canary, 0) for name, plan in self.effects.regions.items()}

    def set_pods(self, region: str, image: str, **changes: object) -> None:
        name = name_of(image)
        self.pods[region][name] = replace(self.pods[region].get(name, RevisionFacts()), **changes)  # type: ignore[arg-type]


@pytest.fixture
def serving() -> World:
    """kv:1 serves everywhere."""
    world = World()
    world.run(5)
    assert world.state.phase is Phase.DONE
    return world


@pytest.fixture
def stepping(serving: World) -> World:
    """kv:2 holds its first step's 25 %, and its clock runs."""
    serving.want("kv:2")
    serving.until(lambda w: w.state.step_started_at is not None)
    serving.events.clear()
    serving.messages.clear()
    return serving


@pytest.fixture
def baking(stepping: World) -> World:
    stepping.until(
        lambda w: w.state.phase is Phase.BAKING and w.state.step_started_at is not None and w.state.traffic == 100
    )
    stepping.events.clear()
    return stepping


# --- first release


def test_the_first_release_gets_all_traffic_and_is_done_when_every_region_is_ready() -> None:
    world = World()
    world.advance()
    assert {tuple(plan.weights.values()) for plan in world.effects.regions.values()} == {(100,)}
    world.settle()
    world.set_pods("us-east", "kv:1", ready=3)
    world.advance()
    assert world.state.phase is Phase.PROVISIONING
    world.settle()
    world.advance()
    assert world.state.phase is Phase.DONE  # type: ignore[comparison-overlap]  # it has moved on
    assert world.events == ["Provisioning", "Provisioned"]


def test_a_first_release_that_never_got_ready_is_replaced_directly() -> None:
    world = World()
    world.advance()
    world.want("kv:2")
    world.advance()
    assert world.state.stable == revision(world.spec)
    assert world.effects.regions["eu-west"].weights == {name_of("kv:2"): 100}


# --- the good way


def test_a_good_release_goes_through_every_step_and_bake_in_order(serving: World) -> None:
    serving.events.clear()
    serving.want("kv:2")
    asked = []
    while serving.state.phase is not Phase.DONE or "Promoted" not in serving.events:
        serving.run(1)
        asked.append(serving.canary_weights()["eu-west"])
    assert [weight for i, weight in enumerate(asked) if i == 0 or weight != asked[i - 1]] == [0, 25, 50, 100, 0]
    assert serving.events == [
        "ReleaseStarted",
        "StepStarted",
        "StepPassed",
        "StepStarted",
        "StepPassed",
        "BakeStarted",
        "Promoted",
    ]
    assert serving.state.stable == revision(serving.spec)


def test_the_pods_that_serve_after_promotion_are_those_that_were_judged(baking: World) -> None:
    judged = baking.state.canary
    before = baking.pods["eu-west"][name_of("kv:2")]
    baking.until(lambda w: w.state.phase is Phase.DONE)
    assert baking.state.stable == judged
    assert baking.effects.regions["eu-west"].replicas == {name_of("kv:2"): before.replicas}
    assert baking.effects.regions["eu-west"].weights == {name_of("kv:2"): 100}


def test_the_old_stable_keeps_all_its_pods_while_the_new_one_bakes(baking: World) -> None:
    assert baking.effects.regions["eu-west"].replicas == {name_of("kv:1"): 4, name_of("kv:2"): 4}


def test_a_step_never_ends_before_its_hold_is_over(stepping: World) -> None:
    started = stepping.state.step_started_at
    assert started
    stepping.until(lambda w: "StepPassed" in w.events)
    assert stepping.now - started >= timedelta(seconds=60)


def test_a_bake_of_no_time_promotes_on_confirmation_without_a_verdict(stepping: World) -> None:
    stepping.want("kv:2", bake="0s")
    stepping.until(lambda w: w.state.phase is Phase.BAKING)
    looks = stepping.state.looked_at
    stepping.run(3)
    assert stepping.state.phase is Phase.DONE
    assert stepping.state.looked_at is None
    assert looks


def test_two_steps_of_the_same_share_are_each_held(stepping: World) -> None:
    stepping.want("kv:2", steps=[Step(traffic=25, hold="60s"), Step(traffic=25, hold="60s")])
    first = stepping.state.step_started_at
    assert first
    stepping.until(lambda w: w.state.phase is Phase.BAKING)
    assert stepping.now - first >= timedelta(seconds=120)


# --- preflight


def test_the_canary_gets_no_traffic_before_its_pods_are_ready_and_scraped_everywhere(serving: World) -> None:
    serving.want("kv:2")
    serving.advance()
    serving.settle()
    serving.set_pods("us-east", "kv:2", scraped=0)
    serving.advance()
    assert serving.state.phase is Phase.PREFLIGHT
    assert serving.canary_weights() == {"eu-west": 0, "us-east": 0}
    assert serving.state.hold
    assert serving.state.hold.message == "us-east: Prometheus sees 0 of 1 pods"
    serving.settle()
    serving.advance()
    assert serving.canary_weights() == {"eu-west": 25, "us-east": 25}


def test_pods_that_do_not_get_ready_in_time_end_the_release_with_their_own_problem(serving: World) -> None:
    serving.want("kv:2")
    serving.advance()
    serving.pods["eu-west"][name_of("kv:2")] = RevisionFacts(1, 0, 0, problem="ErrImagePull kv:2")
    serving.now += timedelta(minutes=5)
    serving.advance()
    assert serving.state.phase is Phase.ROLLED_BACK  # it never had weight, so the gateways have nothing to confirm
    assert serving.state.refused
    assert serving.state.refused.reason == "CanaryNotReady"
    assert "ErrImagePull kv:2" in serving.state.refused.message


def test_a_release_does_not_start_while_stable_is_not_ready_but_a_person_may_promote_it(serving: World) -> None:
    serving.want("kv:2")
    serving.set_pods("eu-west", "kv:1", ready=1)
    serving.advance()
    serving.pods["eu-west"][name_of("kv:2")] = serving.pods["us-east"][name_of("kv:2")] = RevisionFacts(4, 4, 4)
    serving.advance()
    assert serving.state.hold
    assert serving.state.hold.reason == "StableNotReady"
    serving.ask(Verb.PROMOTE)
    assert serving.canary_weights() == {"eu-west": 100, "us-east": 100}


def test_prometheus_down_in_preflight_holds_and_does_not_blame_the_pods(serving: World) -> None:
    serving.want("kv:2", progress_deadline="1m", no_data_deadline="1h")
    serving.advance()
    serving.settle()
    for region in REGIONS:
        serving.set_pods(region, "kv:2", scraped=None)
    serving.advance()
    serving.now += timedelta(minutes=30)
    serving.advance()
    assert serving.state.phase is Phase.PREFLIGHT
    assert serving.state.hold
    assert serving.state.hold.reason == "MetricsUnavailable"


# --- verdicts


def test_a_fail_in_one_region_takes_the_weight_in_every_region_in_the_same_pass(stepping: World) -> None:
    stepping.now += timedelta(seconds=10)
    failed = Verdict(
        region="us-east",
        gate="latency",
        outcome=Outcome.FAIL,
        at=stepping.now,
        canary=Counts(total=240, bad=31),
        stable=Counts(total=4560, bad=12),
        evidence=6.1,
        bound=2.8,
        message="too slow",
    )
    stepping.advance_with((failed,))
    assert stepping.state.phase is Phase.ROLLING_BACK
    assert stepping.canary_weights() == {"eu-west": 0, "us-east": 0}
    assert stepping.state.refused
    assert stepping.state.refused.message == (
        "us-east latency: canary 31 bad of 240, stable 12 bad of 4560, "
        "evidence 10^6.1 of the 10^2.8 that means Fail. too slow"
    )
    assert stepping.events == ["RollingBack"]


def test_rolled_back_only_when_every_gateway_has_confirmed_and_pods_go_region_by_region(stepping: World) -> None:
    stepping.now += timedelta(seconds=10)
    stepping.advance(Outcome.FAIL)
    canary = name_of("kv:2")
    stepping.weights["eu-west"] = {name_of("kv:1"): 100}
    stepping.weights["us-east"] = None
    stepping.advance()
    assert stepping.state.phase is Phase.ROLLING_BACK
    assert canary not in stepping.effects.regions["eu-west"].replicas
    assert stepping.effects.regions["us-east"].replicas[canary] == 1
    stepping.settle()
    stepping.advance()
    assert stepping.state.phase is Phase.ROLLED_BACK  # type: ignore[comparison-overlap]  # it has moved on
    assert canary not in stepping.effects.regions["us-east"].replicas


def test_freeze_keeps_weights_and_pods_and_says_why(stepping: World) -> None:
    stepping.want("kv:2", on_failure=OnFailure.FREEZE)
    before = stepping.effects.regions
    stepping.now += timedelta(seconds=10)
    stepping.advance(Outcome.FAIL)
    stepping.run(3600)
    assert stepping.state.phase is Phase.FROZEN
    assert stepping.effects.regions == before
    assert stepping.state.hold
    assert stepping.state.hold.reason == "GateFailed"
    assert stepping.events == ["Frozen"]


def test_a_bad_bake_goes_back_to_the_stable_that_was_kept(baking: World) -> None:
    baking.run(15, Outcome.FAIL)
    assert baking.state.phase is Phase.ROLLED_BACK
    assert baking.effects.regions["eu-west"].weights == {name_of("kv:1"): 100}


def test_bake_is_judged_alone_and_a_step_against_stable(stepping: World) -> None:
    def next_look() -> str | None:
        stepping.now += timedelta(seconds=10)
        look = stepping.advance().look
        assert look
        assert (look.canary, look.since) == (name_of("kv:2"), stepping.state.step_started_at)
        return look.stable

    assert next_look() == name_of("kv:1")
    stepping.until(lambda w: w.state.phase is Phase.BAKING and w.state.traffic == 100 and bool(w.state.step_started_at))
    assert next_look() is None


def test_no_data_within_the_hold_is_normal_and_holds_afterwards(stepping: World) -> None:
    stepping.run(50, Outcome.NO_DATA)
    assert stepping.state.hold is None
    stepping.run(20, Outcome.NO_DATA)
    assert stepping.state.phase is Phase.STEPPING
    assert stepping.state.hold
    assert stepping.state.hold.reason == "NoData"
    assert stepping.events == ["Held"]
    stepping.run(12)
    assert stepping.events == ["Held", "StepPassed", "StepStarted"]


def test_an_error_holds_at_once_and_a_good_release_still_ends_promoted(stepping: World) -> None:
    stepping.run(70, Outcome.ERROR)
    assert stepping.state.hold
    assert stepping.state.hold.reason == "MetricsUnavailable"
    stepping.until(lambda w: w.state.phase is Phase.DONE)
    assert stepping.state.stable == revision(stepping.spec)


@pytest.mark.parametrize(("outcome", "reason"), [(Outcome.NO_DATA, "NoData"), (Outcome.ERROR, "MetricsUnavailable")])
@pytest.mark.parametrize(
    ("policy", "phase"), [(OnFailure.ROLLBACK, Phase.ROLLED_BACK), (OnFailure.FREEZE, Phase.FROZEN)]
)
def test_silence_ends_by_its_deadline_and_policy(
    stepping: World, outcome: Outcome, reason: str, policy: OnFailure, phase: Phase
) -> None:
    stepping.want("kv:2", on_no_data=policy)
    start = stepping.now
    stepping.until(lambda w: w.state.phase is phase, outcome)
    hold_s = 60 if outcome is Outcome.NO_DATA else 0
    assert timedelta(0) <= stepping.now - start - timedelta(seconds=600 + hold_s) <= timedelta(seconds=15)
    said = stepping.state.refused or stepping.state.hold
    assert said
    assert said.reason == reason


def test_a_verdict_missing_for_one_region_does_not_pass(stepping: World) -> None:
    stepping.now += timedelta(seconds=61)
    one = tuple(
        Verdict(region="eu-west", gate=g, outcome=Outcome.PASS, at=stepping.now) for g in ("availability", "latency")
    )
    stepping.advance_with(one)
    assert "StepPassed" not in stepping.events


def test_a_verdict_about_an_earlier_share_is_ignored(stepping: World) -> None:
    started = stepping.state.step_started_at
    assert started
    old = Verdict(region="eu-west", gate="latency", outcome=Outcome.FAIL, at=started - timedelta(seconds=1))
    stepping.advance_with((old,))
    assert (stepping.state.phase, stepping.state.verdicts) == (Phase.STEPPING, [])


# --- pods and gateways


def test_weight_goes_with_lost_pods_in_the_same_pass_and_the_hold_begins_anew(stepping: World) -> None:
    stepping.run(30)
    stepping.set_pods("eu-west", "kv:2", ready=0)
    stepping.advance()
    assert stepping.canary_weights() == {"eu-west": 0, "us-east": 25}
    assert stepping.events == ["ShareLost"]
    back = stepping.now
    stepping.run(3)
    assert stepping.state.step_started_at
    assert stepping.state.step_started_at > back


def test_a_part_of_the_pods_lost_leaves_the_share_the_rest_can_carry(baking: World) -> None:
    baking.set_pods("eu-west", "kv:2", ready=3)
    baking.advance()
    assert baking.effects.regions["eu-west"].weights == {name_of("kv:1"): 25, name_of("kv:2"): 75}


def test_the_pods_for_a_share_are_rounded_up(serving: World) -> None:
    serving.want("kv:2", replicas=3, steps=[Step(traffic=34, hold="60s")])
    serving.advance()
    assert serving.effects.regions["eu-west"].replicas[name_of("kv:2")] == 2


def test_the_next_share_waits_for_its_pods_and_is_judged_meanwhile(stepping: World) -> None:
    def lag(world: World) -> bool:
        for region in REGIONS:
            world.set_pods(region, "kv:2", ready=1)
        return "StepPassed" in world.events

    stepping.until(lag)
    for _ in range(20):
        stepping.now += timedelta(seconds=1)
        stepping.advance()
    assert stepping.canary_weights() == {"eu-west": 25, "us-east": 25}
    assert stepping.effects.regions["eu-west"].replicas[name_of("kv:2")] == 2
    assert stepping.effects.look
    stepping.advance(Outcome.FAIL)
    assert stepping.state.phase is Phase.ROLLING_BACK


def test_the_clock_starts_when_all_gateways_have_confirmed(serving: World) -> None:
    serving.want("kv:2")
    serving.until(lambda w: w.state.phase is Phase.STEPPING)
    serving.weights["us-east"] = None
    serving.advance()
    assert serving.state.step_started_at is None
    serving.now += timedelta(seconds=90)
    serving.settle()
    serving.advance()
    assert serving.state.step_started_at == serving.now


def test_a_gateway_that_says_nothing_for_a_while_neither_restarts_nor_ends_the_hold(stepping: World) -> None:
    started = stepping.state.step_started_at
    stepping.weights["us-east"] = None
    stepping.now += timedelta(seconds=61)
    stepping.advance(Outcome.PASS)
    assert stepping.state.step_started_at == started
    assert "StepPassed" not in stepping.events
    stepping.settle()
    stepping.advance()
    assert "StepPassed" in stepping.events


def test_a_region_added_during_a_step_joins_it_and_the_hold_begins_anew(stepping: World) -> None:
    stepping.run(30)
    stepping.want("kv:2", regions=(*REGIONS, "ap-south"))
    stepping.advance()
    assert stepping.effects.regions["ap-south"].weights == {name_of("kv:1"): 100, name_of("kv:2"): 0}
    added = stepping.now
    stepping.run(3)
    assert stepping.canary_weights()["ap-south"] == 25
    assert stepping.state.step_started_at
    assert stepping.state.step_started_at > added


# --- other releases, other steps


@pytest.mark.parametrize(
    "phase", [Phase.PREFLIGHT, Phase.STEPPING, Phase.BAKING, Phase.ROLLING_BACK, Phase.ROLLED_BACK]
)
def test_a_newer_release_in_any_phase_starts_at_0_against_the_last_good_one(serving: World, phase: Phase) -> None:
    serving.want("kv:2")
    if phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        serving.until(lambda w: w.state.step_started_at is not None)
        serving.now += timedelta(seconds=10)
        serving.advance(Outcome.FAIL)
    if phase is Phase.ROLLED_BACK:
        serving.run(2)
    elif phase is not Phase.ROLLING_BACK:
        serving.advance()
        serving.until(lambda w: w.state.phase is phase)
    assert serving.state.phase is phase
    serving.want("kv:3")
    serving.advance()
    assert serving.state.phase is Phase.PREFLIGHT
    assert serving.canary_weights() == {"eu-west": 0, "us-east": 0}
    assert serving.effects.regions["eu-west"].weights[name_of("kv:1")] == 100
    serving.until(lambda w: w.state.phase is Phase.DONE)
    assert serving.state.stable == revision(serving.spec)


def test_the_old_canary_keeps_its_pods_until_its_weight_is_gone(baking: World) -> None:
    baking.want("kv:3")
    baking.advance()
    assert baking.effects.regions["eu-west"].replicas[name_of("kv:2")] == 4
    baking.settle()
    baking.advance()
    assert name_of("kv:2") not in baking.effects.regions["eu-west"].replicas


def test_wanting_stable_again_takes_the_canary_back_and_refuses_nothing(stepping: World) -> None:
    stepping.want("kv:1")
    stepping.run(3)
    assert stepping.state.phase is Phase.DONE
    assert stepping.state.refused is None
    assert stepping.events == ["Reverting", "Reverted"]


def test_a_canary_that_is_wanted_again_while_it_is_taken_back_starts_anew(stepping: World) -> None:
    stepping.want("kv:1")
    stepping.advance()
    assert stepping.state.phase is Phase.ROLLING_BACK
    stepping.want("kv:2")
    stepping.advance()
    assert (stepping.state.phase, stepping.canary_weights()["eu-west"]) == (Phase.PREFLIGHT, 0)
    stepping.until(lambda w: w.state.phase is Phase.DONE)
    assert stepping.state.stable == revision(stepping.spec)


def test_a_refused_release_stays_refused_until_somebody_asks(stepping: World) -> None:
    stepping.now += timedelta(seconds=10)
    stepping.run(12, Outcome.FAIL)
    stepping.run(3600)
    assert stepping.state.phase is Phase.ROLLED_BACK
    stepping.want("kv:2", steps=[Step(traffic=1, hold="1s")])
    stepping.run(60)
    assert stepping.state.phase is Phase.ROLLED_BACK
    stepping.want("kv:1")
    stepping.run(5)
    assert stepping.state.phase is Phase.DONE  # type: ignore[comparison-overlap]  # it has moved on
    stepping.want("kv:2")
    stepping.run(5)
    assert stepping.state.phase is Phase.ROLLED_BACK
    stepping.ask(Verb.RETRY)
    assert stepping.state.phase is Phase.PREFLIGHT
    stepping.until(lambda w: w.state.phase is Phase.DONE)
    assert stepping.state.stable == revision(stepping.spec)


def test_edited_steps_change_the_share_but_neither_the_step_nor_the_canary(stepping: World) -> None:
    stepping.want("kv:2", steps=[Step(traffic=10, hold="60s"), Step(traffic=50, hold="60s")])
    stepping.advance()
    assert stepping.canary_weights()["eu-west"] == 10
    assert stepping.state.step == 0


def test_fewer_steps_clamp_the_index(stepping: World) -> None:
    stepping.until(lambda w: w.state.step == 1 and w.state.traffic == 50)
    stepping.want("kv:2", steps=[Step(traffic=30, hold="60s")])
    stepping.advance()
    assert (stepping.state.step, stepping.canary_weights()["eu-west"]) == (0, 30)


def test_a_canary_is_not_scaled_down_while_it_is_routed(stepping: World) -> None:
    stepping.until(lambda w: w.state.step == 1 and bool(w.state.step_started_at) and w.state.traffic == 50)
    stepping.want("kv:2", steps=[Step(traffic=5, hold="60s")])
    stepping.advance()
    assert stepping.canary_weights()["eu-west"] == 5
    assert stepping.effects.regions["eu-west"].replicas[name_of("kv:2")] == 2


# --- requests


def test_promote_goes_straight_to_100_and_is_still_judged_there(stepping: World) -> None:
    stepping.ask(Verb.PROMOTE)
    stepping.run(5)
    assert stepping.canary_weights() == {"eu-west": 100, "us-east": 100}
    stepping.run(12, Outcome.FAIL)
    assert stepping.state.phase is Phase.ROLLED_BACK


def test_abort_rolls_back_and_refuses_in_the_actors_name(stepping: World) -> None:
    stepping.ask(Verb.ABORT)
    assert stepping.canary_weights() == {"eu-west": 0, "us-east": 0}
    assert stepping.state.refused
    assert (stepping.state.refused.reason, stepping.state.refused.message) == ("Aborted", "aborted by ann")
    stepping.run(60)
    assert stepping.state.phase is Phase.ROLLED_BACK


def test_a_pause_lets_no_step_end_but_a_fail_still_rolls_back(stepping: World) -> None:
    stepping.ask(Verb.PAUSE)
    stepping.run(1000)
    assert (stepping.state.phase, stepping.state.step) == (Phase.STEPPING, 0)
    stepping.run(12, Outcome.FAIL)
    assert stepping.state.phase is Phase.ROLLED_BACK
    assert stepping.state.paused_by is None


def test_resume_counts_the_hold_from_the_steps_start(stepping: World) -> None:
    stepping.ask(Verb.PAUSE)
    stepping.run(100)
    stepping.ask(Verb.RESUME, "2")
    assert "StepPassed" in stepping.events


def test_a_pause_stops_the_clock_of_no_data(stepping: World) -> None:
    stepping.ask(Verb.PAUSE)
    stepping.run(2000, Outcome.NO_DATA)
    assert stepping.state.phase is Phase.STEPPING


def test_retry_takes_a_frozen_release_back_to_0(stepping: World) -> None:
    stepping.want("kv:2", on_failure=OnFailure.FREEZE)
    stepping.run(12, Outcome.FAIL)
    stepping.ask(Verb.RETRY)
    assert stepping.canary_weights() == {"eu-west": 0, "us-east": 0}
    stepping.until(lambda w: w.state.phase is Phase.DONE)


def test_promote_of_a_frozen_release_is_judged_afresh(stepping: World) -> None:
    stepping.want("kv:2", on_failure=OnFailure.FREEZE)
    stepping.run(12, Outcome.FAIL)
    stepping.ask(Verb.PROMOTE)
    stepping.until(lambda w: w.state.phase is Phase.DONE)


@pytest.mark.parametrize(
    ("verb", "revision", "said"),
    [
        (Verb.RESUME, None, "it is not paused"),
        (Verb.RETRY, None, "the rollout is Stepping; retry is possible in Frozen, RolledBack"),
        (Verb.ABORT, "0123456789", "it names revision 0123456789, the rollout is about"),
    ],
)
def test_what_cannot_be_done_is_refused_once_with_the_reason(
    stepping: World, verb: Verb, revision: str | None, said: str
) -> None:
    before = stepping.state
    stepping.ask(verb, "7", revision)
    assert stepping.events == ["RequestRefused"]
    assert said in stepping.messages[-1]
    assert "ann" in stepping.messages[-1]
    assert stepping.state == before.model_copy(update={"last_request": "7"})


def test_a_request_is_carried_out_once(stepping: World) -> None:
    stepping.ask(Verb.PAUSE, "1")
    stepping.ask(Verb.RESUME, "2")
    stepping.ask(Verb.RESUME, "2")
    assert stepping.events == ["PauseRequested", "ResumeRequested"]


def test_a_malformed_request_is_complained_about_once(stepping: World) -> None:
    for _ in range(3):
        stepping.advance(request=Malformed("malformed-1", "not JSON"))
    assert stepping.messages == ["not JSON"]


# --- when to wake up


def test_wake_at_names_the_next_look_the_holds_end_and_the_deadlines(stepping: World) -> None:
    started = stepping.state.step_started_at
    assert started
    stepping.now = started
    assert stepping.advance().wake_at == started + timedelta(seconds=10)
    stepping.now = started + timedelta(seconds=55)
    assert stepping.advance(Outcome.PASS).wake_at == started + timedelta(seconds=60)
    stepping.set_pods("eu-west", "kv:2", ready=0)
    assert stepping.advance().wake_at == stepping.now + timedelta(minutes=5)


def test_nothing_to_wait_for_when_done(serving: World) -> None:
    assert serving.advance().wake_at is None
    assert serving.effects.look is None
