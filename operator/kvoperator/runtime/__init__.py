"""The process: settings, logs, kopf as the informer, and the wiring of everything else."""
