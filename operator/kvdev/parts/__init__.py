"""The real programs a cluster is made of: finds each, or brings it here. Starts none of them.

Each part is had in the order that costs the least: what the machine has, then the cache, then a download or a compile.
"""

from kvdev.parts.catalog import Programs, find, versions

__all__ = ["Programs", "find", "versions"]
