"""The judge's two errors, simulated: good releases failed although looked at 200 times, and bad ones caught.

Beside it stands what a test made for one look (two-proportion z-test, one-sided, the same level) does when it is looked
at as often. Bounded: a few thousand simulated steps, under a minute.
"""

import math
import random

from kvoperator.api.status import Counts
from kvoperator.core.judge.sequential import canary_is_worse

ALPHA = 0.01
LOOKS = 200
A_A_RUNS = 300
POWER_RUNS = 300
Z_BOUND = 2.326  # one-sided 1 %
REQUESTS_PER_LOOK = 40


def binomial(rng: random.Random, count: int, share: float) -> int:
    return sum(rng.random() < share for _ in range(count))


def z_score(canary: Counts, stable: Counts) -> float:
    total = canary.total + stable.total
    pooled = (canary.bad + stable.bad) / total
    spread = math.sqrt(pooled * (1 - pooled) * (1 / canary.total + 1 / stable.total)) if 0 < pooled < 1 else 0.0
    return (canary.bad / canary.total - stable.bad / stable.total) / spread if spread else 0.0


def step(
    rng: random.Random,
    weight: float,
    canary_share: float,
    stable_share: float,
    looks: int,
    per_look: int,
    allowed: float,
) -> tuple[int | None, int | None]:
    """-> requests of the canary at which the e-value, and the z-test, first said Fail (None: never)."""
    counted = [0, 0, 0, 0]  # canary total, bad, stable total, bad
    said: list[int | None] = [None, None]
    for _ in range(looks):
        n_canary = binomial(rng, per_look, weight)
        n_stable = per_look - n_canary
        new = (n_canary, binomial(rng, n_canary, canary_share), n_stable, binomial(rng, n_stable, stable_share))
        counted = [old + more for old, more in zip(counted, new, strict=True)]
        canary, stable = Counts(total=counted[0], bad=counted[1]), Counts(total=counted[2], bad=counted[3])
        if not (canary.total and stable.total):
            continue
        if said[0] is None and canary_is_worse(canary, stable, allowed) >= -math.log10(ALPHA):
            said[0] = counted[0]
        if said[1] is None and z_score(canary, stable) > Z_BOUND:
            said[1] = counted[0]
    return said[0], said[1]


def main() -> None:
    rng = random.Random(20261122)
    print(f"A/A: good releases failed within {LOOKS} looks of {REQUESTS_PER_LOOK} requests ({A_A_RUNS} runs each)")
    print(f"  {'weight':>6} {'bad share':>9} {'ours':>7} {'z-test':>7}")
    for weight in (0.05, 0.25, 0.5):
        for share in (0.01, 0.05):
            runs = [step(rng, weight, share, share, LOOKS, REQUESTS_PER_LOOK, 0.05) for _ in range(A_A_RUNS)]
            ours, z = (sum(run[arm] is not None for run in runs) / A_A_RUNS for arm in (0, 1))
            print(f"  {weight:6.0%} {share:9.1%} {ours:7.1%} {z:7.1%}")
    print(f"\nA/B at 50 %: twice stable's slow share, caught within 900 requests an arm ({POWER_RUNS} runs each)")
    print(f"  {'stable':>6} {'canary':>6} {'caught':>7} {'median requests':>16}")
    for stable in (0.05, 0.08, 0.1):
        firsts = [step(rng, 0.5, 2 * stable, stable, 45, 40, 0.05)[0] for _ in range(POWER_RUNS)]
        caught = sorted(first for first in firsts if first is not None)
        median = caught[len(caught) // 2] if caught else 0
        print(f"  {stable:6.0%} {2 * stable:6.0%} {len(caught) / POWER_RUNS:7.1%} {median:16d}")


if __name__ == "__main__":
    main()
