"""Implementations of `kvservice.core.ports.Cache`."""
