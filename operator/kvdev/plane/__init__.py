"""The cluster's own processes: slot, keys, command lines, life and death. Knows no Kubernetes object."""
