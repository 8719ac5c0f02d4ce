"""Which shard has a key: the one whose hash with the key is the highest, so that a shard that goes takes only its own
keys with it. Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998)."""

import re
from collections.abc import Sequence
from hashlib import blake2b


def shard_of(key: bytes, shards: Sequence[bytes]) -> int:
    """The index of the key's shard; the shards' order does not matter."""
    return max(range(len(shards)), key=lambda index: (_weight(key, shards[index]), shards[index]))


def shard_name(url: str) -> bytes:
    """What shards are told apart by: the URL, without the password that may change."""
    return re.sub(r"//[^@/]*@", "//", url).encode()


def _weight(key: bytes, shard: bytes) -> bytes:
    return blake2b(shard + b"\0" + key, digest_size=8).digest()
