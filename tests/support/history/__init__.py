"""Histories: what clients saw of the service, recorded or simulated, and the checker that judges them."""
