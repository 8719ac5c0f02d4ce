"""The Cassandra store: one row a record, its envelope in one cell; one datacenter a region.

`store` means the port's operations, `conditional` carries a conditional write through lost answers, `requests` is the
driver as coroutines.
"""

from kvservice.store.cassandra.store import CassandraStore

__all__ = ["CassandraStore"]
