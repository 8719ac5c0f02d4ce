"""The judge: objectives -> PromQL, counts -> Verdict.

What a pass does: `questions` for the look that is due, run every `promql` of theirs, give the answers to `judge`.
"""

from kvoperator.core.judge.queries import Question, observed_p95s, observed_rates, questions, scraped_pods
from kvoperator.core.judge.samples import Samples, read
from kvoperator.core.judge.verdicts import judge

__all__ = ["Question", "Samples", "judge", "observed_p95s", "observed_rates", "questions", "read", "scraped_pods"]
