"""Python client of the service: regions with failover, sessions, hedging, a retry budget, deadlines."""
