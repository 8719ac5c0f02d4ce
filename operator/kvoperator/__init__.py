"""The control plane: reconciles a KVCluster into regional deployments and rolls releases out behind SLO gates."""
