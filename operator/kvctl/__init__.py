"""The command line: lint, load, rollout verbs, the embedded cluster and the demo."""
