"""Keeps the promises of `ports` with the real parts: the official Kubernetes client and prometheus-api-client."""
