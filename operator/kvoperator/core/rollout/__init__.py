"""The rollout: `advance(state, facts, now) -> (state, effects)`, and the words it is spoken in."""
