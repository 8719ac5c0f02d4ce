"""The embedded cluster: a real Kubernetes control plane whose pods run as local processes. Never for production."""
