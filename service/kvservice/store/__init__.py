"""Implementations of `kvservice.core.ports.Store`."""
