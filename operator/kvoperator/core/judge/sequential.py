"""Anytime-valid tests of bad shares: look as often as you like, a good canary is accused with a chance below alpha.

Both are e-values on a share's cumulative counts: under the null hypothesis their mean is at most 1 at any time, so by
Ville's inequality they ever reach 1/alpha with a chance of at most alpha. They keep no state but the counts.

Two samples: R. J. Turner, A. Ly, P. D. Grünwald, "Generic E-variables for exact sequential k-sample tests that allow
for optional stopping", Journal of Statistical Planning and Inference 230 (2024), 106116. For alternatives (s, c) it is
the likelihood ratio against the mixed share m = (n_c c + n_s s) / (n_c + n_s). The gateway deals each request at
random, at a weight that stays the same while a share is held; with that weight in m the product is exactly a
supermartingale whenever canary's share <= stable's, even if both drift together. We put the part of requests seen in
its place, so that a gateway that misses its weight a little does not look like evidence. At any one number of requests
that is still exactly an e-value (one block of theirs); that looking often does no harm then is not covered by the
theorem, and the A/A simulation in the tests is why we trust it. A mean of e-values over a fixed grid is an e-value.
"""

from functools import lru_cache
from math import exp, log, log1p

from kvoperator.api.status import Counts

_LN10 = log(10)
# Odds of the canary's bad share relative to the allowed one's: where an accusation would matter.
_WORSE = (1.2, 1.7, 2.4, 3.5, 6.0, 12.0, 40.0)
# Odds of the canary's bad share relative to stable's, and how much of the bet goes there.
_APART = ((1.6, 1.0), (2.4, 1.0), (5.0, 1.0), (20.0, 0.5))


def canary_is_worse(canary: Counts, stable: Counts, allowed: float) -> float:
    """log10 of the e-value against "canary's bad share <= stable's"; `allowed` (a share) only places the bets."""
    total = canary.total + stable.total
    if total <= 0:
        return 0.0
    bad, good = canary.bad + stable.bad, total - canary.bad - stable.bad
    part = canary.total / total
    terms = []
    for weight, s, c in _pairs(allowed):
        mixed = part * c + (1 - part) * s
        likelihood = _log_likelihood(canary, c) + _log_likelihood(stable, s)
        terms.append(log(weight) + likelihood - bad * log(mixed) - good * log1p(-mixed))
    return _log_sum(terms) / _LN10


def share_is_exceeded(canary: Counts, allowed: float) -> float:
    """log10 of the e-value against "canary's bad share <= allowed": a mixture of likelihood ratios."""
    base = _log_likelihood(canary, allowed)
    terms = [_log_likelihood(canary, _share(worse * _odds(allowed))) - base for worse in _WORSE]
    return (_log_sum(terms) - log(len(terms))) / _LN10


@lru_cache(maxsize=64)
def _pairs(allowed: float) -> tuple[tuple[float, float, float], ...]:
    """(weight, stable's share, canary's share) of each bet; the weights sum to 1."""
    whole = len(_WORSE) * sum(weight for _, weight in _APART)
    odds = [worse * _odds(allowed) for worse in _WORSE]
    return tuple((weight / whole, _share(o / apart), _share(o)) for o in odds for apart, weight in _APART)


def _log_likelihood(counts: Counts, share: float) -> float:
    return counts.bad * log(share) + (counts.total - counts.bad) * log1p(-share)


def _log_sum(terms: list[float]) -> float:
    """log of the sum of exp(term), without overflow."""
    most = max(terms)
    return most + log(sum(exp(term - most) for term in terms))


def _odds(share: float) -> float:
    return share / (1 - share)


def _share(odds: float) -> float:
    return odds / (1 + odds)
