"""From a workload to regions, sizes, a latency and a bill."""
