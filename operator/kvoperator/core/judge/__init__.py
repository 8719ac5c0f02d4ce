"""The judge: objectives -> PromQL, counts -> Verdict."""
