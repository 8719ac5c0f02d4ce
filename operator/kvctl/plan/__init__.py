"""`kvctl plan`: sizes, latency and cost of a KVCluster before there is one; `kvplan` does the sums."""
