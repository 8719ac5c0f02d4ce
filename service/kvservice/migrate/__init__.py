"""The schema of the Cassandra store: ordered files, and the runner that applies each once.

`files` reads NNNN_*.cql, `lease` lets one runner at a time, `runner` applies what the journal does not name yet.
"""

from kvservice.migrate.runner import migrate

__all__ = ["migrate"]
