"""The rollout: `advance(state, facts, now) -> (state, effects)`, and the words it is spoken in.

machine: what a pass does and in which order. canary: the phases with a canary under way. looks: the clock of a share.
traffic: pods and weights of a region. requests: what people ask for. transitions, reasons: the closed lists.
model: the words.
"""

from kvoperator.core.rollout.machine import advance

__all__ = ["advance"]
