"""Counts -> Verdicts: one a region and gate.

Fail needs evidence (an anytime-valid test), a bad share above what the objective allows, and one above stable's: a
region that is equally bad with both is not the canary's fault. Pass needs `minRequests`. All else is NoData or Error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import log10

from kvoperator.api.spec import Gate, KVClusterSpec
from kvoperator.api.status import Counts, Outcome, Verdict
from kvoperator.core.judge.objectives import Objective
from kvoperator.core.judge.queries import Question
from kvoperator.core.judge.samples import Samples
from kvoperator.core.judge.sequential import canary_is_worse, share_is_exceeded
from kvoperator.core.rollout.model import Look

NONE_COUNTED = Counts()
ALPHA = 0.01  # chance that a look-as-you-like share of a good canary is ever failed, over all regions and objectives
_GRAVITY = (Outcome.PASS, Outcome.NO_DATA, Outcome.ERROR, Outcome.FAIL)


@dataclass(frozen=True)
class Finding:
    """What one objective says of one region."""

    outcome: Outcome
    message: str
    query: str
    canary: Counts = NONE_COUNTED
    stable: Counts = NONE_COUNTED
    evidence: float | None = None


def judge(
    look: Look,
    spec: KVClusterSpec,
    questions: tuple[Question, ...],
    answers: Mapping[str, Samples | str],
    now: datetime,
) -> tuple[Verdict, ...]:
    """`answers`: each question's PromQL -> samples, or in one line why there are none."""
    tests = max(1, len(questions) * len(spec.regions))
    bound = log10(tests / ALPHA)
    verdicts = []
    for region in spec.regions:
        for gate in spec.rollout.gates:
            own = [question for question in questions if question.objective.gate is gate]
            found = [_examine(look, spec, region.name, question, answers, bound) for question in own]
            verdicts.append(_verdict(region.name, gate, found, bound, now))
    return tuple(verdicts)


def _verdict(region: str, gate: Gate, findings: list[Finding], bound: float, now: datetime) -> Verdict:
    """The gravest finding speaks for the gate; among equals the one with the most evidence."""
    worst = max(findings, key=lambda found: (_GRAVITY.index(found.outcome), found.evidence or 0.0))
    return Verdict(
        region=region,
        gate=gate,
        outcome=worst.outcome,
        at=now,
        canary=worst.canary,
        stable=worst.stable,
        evidence=None if worst.evidence is None else round(worst.evidence, 2),
        bound=None if worst.evidence is None else round(bound, 2),
        query=worst.query,
        message=worst.message,
    )


def _examine(
    look: Look,
    spec: KVClusterSpec,
    region: str,
    question: Question,
    answers: Mapping[str, Samples | str],
    bound: float,
) -> Finding:
    canary = _arm(question, answers, region, look.canary)
    if isinstance(canary, Finding):
        return canary
    if look.stable is None:
        evidence = share_is_exceeded(canary, question.objective.allowed)
        return _weigh(question, canary, None, evidence, bound, spec.rollout.min_requests)
    stable = _arm(question, answers, region, look.stable)
    if isinstance(stable, Finding):
        return stable
    evidence = canary_is_worse(canary, stable, question.objective.allowed)
    return _weigh(question, canary, stable, evidence, bound, spec.rollout.min_requests)


def _weigh(
    question: Question, canary: Counts, stable: Counts | None, evidence: float, bound: float, min_requests: int
) -> Finding:
    objective = question.objective
    arms = (canary, stable) if stable else (canary,)
    guilty = _share(canary) > objective.allowed and (stable is None or _share(canary) > _share(stable))
    said = _sentence(objective, canary, stable)
    outcome = Outcome.PASS
    if guilty and evidence >= bound:
        outcome = Outcome.FAIL
    elif min(arm.total for arm in arms) < min_requests:
        outcome, said = Outcome.NO_DATA, f"{said}; at least {min_requests} requests are needed of each"
    return Finding(outcome, said, question.bad, canary, stable or NONE_COUNTED, evidence)


def _arm(question: Question, answers: Mapping[str, Samples | str], region: str, revision: str) -> Counts | Finding:
    """Requests of one revision, or why they are not known."""
    numbers = []
    for promql in question.promql:
        answer = answers.get(promql, "the query was not answered")
        if isinstance(answer, str):
            return Finding(Outcome.ERROR, answer, promql)
        if (region, revision) not in answer:
            return Finding(Outcome.NO_DATA, f"Prometheus has no counts of {revision} in {region}", promql)
        numbers.append(answer[region, revision])
    total, bad = numbers
    return Counts(total=round(total, 1), bad=round(min(bad, total), 1))


def _share(counts: Counts) -> float:
    return counts.bad / counts.total if counts.total else 0.0


def _sentence(objective: Objective, canary: Counts, stable: Counts | None) -> str:
    said = f"{_amount(canary)} of the canary's requests were {objective.bad}"
    if stable is not None:
        said += f", {_amount(stable)} of stable's"
    return f"{said}; {100 * objective.allowed:.3g} % are allowed"


def _amount(counts: Counts) -> str:
    return f"{100 * _share(counts):.2f} % ({counts.bad:.0f} of {counts.total:.0f})"
