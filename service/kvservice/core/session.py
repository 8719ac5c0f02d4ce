"""Sessions: what a client has seen, carried by the client itself as a signed token of bounded size.

A session holds the versions that its requests wrote and read, each with the region in which it did. From it follows
which answers would take the client back in time: read-your-writes and monotonic reads (Terry et al., "Session
Guarantees for Weakly Consistent Replicated Data", 1994). In the region where a version was seen, the store read at
quorum is always good enough, and only cached copies need a look; elsewhere the store, too, may be behind.

At most ENTRIES records are remembered one by one. Those beyond, the longest unseen, leave a floor: the highest version
among them and the time, by which copies and other regions are judged as if it were any record's. So a bound costs
reads of the store and refusals elsewhere, never a silent step back. What is older than LIFE_S is forgotten: by then it
has reached every region and left every cache, unless a region was cut off for longer.

Token: base64url of format (1 byte), issued (8, us), number of regions (1) and their names (1 + n each), number of
floors (1) with region (1), version (8), time (8, us) each, number of entries (1) with region (1), hash (8), version (8)
each, oldest first, and the first 16 bytes of an HMAC-SHA256 over all that.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from kvservice.core.ports import Copy, Key
from kvservice.errors import InvalidSession

ENTRIES = 32
LIFE_S = 86_400
TOKENS = 8  # that a client may send at once: one for each of its answers that were under way together
MAX_CHARS = 2_048  # of one token; the largest that is ever issued is far below
_LIFE_US = LIFE_S * 1_000_000
_SKEW_US = 1_000_000  # two pods' clocks differ by less
_FORMAT = 1
_MAC_BYTES = 16
_FLOOR, _ENTRY, _ISSUED = Struct(">BQQ"), Struct(">B8sQ"), Struct(">BQ")


class _Seen(NamedTuple):
    version: int
    region: str


class _Floor(NamedTuple):
    version: int
    at_us: int


class Session:
    """Made by `Sessions`. `is_carried`: the client sent a token, or asked for one."""

    def __init__(self, here: str, now_us: int, seal: Callable[[bytes], bytes], *, is_carried: bool) -> None:
        self._here = here
        self._now_us = now_us
        self._seal = seal
        self.is_carried = is_carried
        self._seen: dict[bytes, _Seen] = {}  # oldest first
        self._floors: dict[str, _Floor] = {}  # by region

    def allows_copy(self, key: Key, copy: Copy, version: int) -> bool:
        """Whether a cached copy of that version takes the client at least to where it was."""
        seen = self._seen.get(_hash(key))
        if seen is not None:
            return version >= seen.version
        floor = self._floors.get(self._here)
        filled_us = self._now_us - round(copy.age_s * 1_000_000)
        is_late = floor is None or filled_us > floor.at_us + _SKEW_US or version >= floor.version
        return is_late and version >= self._floor_elsewhere()

    def allows_stored(self, key: Key, version: int) -> bool:
        """The same for what the store of this region answered at quorum (0: it has never heard of the key)."""
        seen = self._seen.get(_hash(key))
        if seen is not None:
            return seen.region == self._here or version >= seen.version
        return version >= self._floor_elsewhere()

    def allows_range(self, namespace: str, id_: str) -> bool:
        """Whether the store of this region has all that the session saw under an id, as far as it can be known without
        asking: everything that was seen was seen here."""
        mine = _partition(namespace, id_)
        seen_here = (seen.region == self._here for hash_, seen in self._seen.items() if hash_[:4] == mine)
        return all(seen_here) and not self._floor_elsewhere()

    def highest(self, key: Key) -> int:
        """The highest version of the key that the session knows of, 0 if none: a write must go beyond it."""
        seen = self._seen.get(_hash(key))
        return seen.version if seen else 0

    def saw(self, key: Key, version: int) -> None:
        """`version` was written or read here."""
        hash_ = _hash(key)
        known = self._seen.pop(hash_, None)
        if known is None or version >= known.version:
            known = _Seen(version, self._here)
        self._remember(hash_, known)

    def token(self) -> str:
        regions = sorted({self._here, *self._floors, *(seen.region for seen in self._seen.values())})
        number = {region: index for index, region in enumerate(regions)}
        parts = [_ISSUED.pack(_FORMAT, self._now_us), bytes([len(regions)])]
        parts += [bytes([len(name)]) + name for name in map(str.encode, regions)]
        parts += [bytes([len(self._floors)])]
        parts += [_FLOOR.pack(number[region], *floor) for region, floor in sorted(self._floors.items())]
        parts += [bytes([len(self._seen)])]
        parts += [_ENTRY.pack(number[seen.region], hash_, seen.version) for hash_, seen in self._seen.items()]
        body = b"".join(parts)
        return urlsafe_b64encode(body + self._seal(body)).decode().rstrip("=")

    def merge(self, body: bytes) -> None:
        """Adds what a token says; it is known to be ours."""
        regions, at = _regions(body)
        for _ in range(body[at]):
            index, version, at_us = _FLOOR.unpack_from(body, at + 1)
            self._raise_floor(regions[index], version, at_us)
            at += _FLOOR.size
        at += 1
        for _ in range(body[at]):
            index, hash_, version = _ENTRY.unpack_from(body, at + 1)
            known = self._seen.pop(hash_, None)
            new = _Seen(version, regions[index])
            is_better = known is None or (version, new.region == self._here) > (
                known.version,
                known.region == self._here,
            )
            self._remember(hash_, new if is_better or known is None else known)
            at += _ENTRY.size

    def _floor_elsewhere(self) -> int:
        return max((floor.version for region, floor in self._floors.items() if region != self._here), default=0)

    def _remember(self, hash_: bytes, seen: _Seen) -> None:
        if seen.version < self._now_us - _LIFE_US:
            return
        self._seen[hash_] = seen
        if len(self._seen) > ENTRIES:
            evicted = self._seen.pop(next(iter(self._seen)))
            self._raise_floor(evicted.region, evicted.version, self._now_us)

    def _raise_floor(self, region: str, version: int, at_us: int) -> None:
        if at_us < self._now_us - _LIFE_US:
            return
        known = self._floors.get(region, _Floor(0, 0))
        self._floors[region] = _Floor(max(version, known.version), max(at_us, known.at_us))


class Sessions:
    """Opens and signs tokens. All pods of all regions share the secret."""

    def __init__(self, secret: bytes, region: str, now_us: Callable[[], int]) -> None:
        self._secret = secret
        self._region = region
        self._now_us = now_us

    def open(self, header: str | None) -> Session:
        """From the value of `KV-Session`: tokens as issued, comma between them; empty: begin one; None: not sent.
        Raises InvalidSession."""
        session = Session(self._region, self._now_us(), self._mac, is_carried=header is not None)
        tokens = [token.strip() for token in (header or "").split(",") if token.strip()]
        if len(tokens) > TOKENS:
            raise InvalidSession(
                f"KV-Session holds {len(tokens)} tokens, at most {TOKENS} are looked at; send the last"
            )
        for token in tokens:
            session.merge(self._opened(token))
        return session

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")[:_MAC_BYTES]

    def _opened(self, token: str) -> bytes:
        try:
            sealed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (UnicodeEncodeError, Base64Error):
            sealed = b""
        body, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
        if len(token) > MAX_CHARS or not body or not hmac.compare_digest(self._mac(body), mac):
            raise InvalidSession(
                "KV-Session is no token of this service, or of pods with another KV_SESSION_SECRET; "
                "send one as it was received, or an empty one to begin anew"
            )
        try:
            format_, issued_us = _ISSUED.unpack_from(body)
        except StructError:  # signed by us, but by no build that we know
            format_, issued_us = 0, 0
        if format_ != _FORMAT or issued_us < self._now_us() - _LIFE_US:
            raise InvalidSession(
                f"KV-Session is older than {LIFE_S} s, or of another build; send an empty one to begin anew"
            )
        return body


def _regions(body: bytes) -> tuple[list[str], int]:
    """-> the names of the token's regions, and where they end."""
    at = _ISSUED.size
    count, at = body[at], at + 1
    names = []
    for _ in range(count):
        end = at + 1 + body[at]
        names.append(body[at + 1 : end].decode())
        at = end
    return names, at


def _partition(namespace: str, id_: str) -> bytes:
    return blake2b(f"{namespace}\0{id_}".encode(), digest_size=4).digest()


def _hash(key: Key) -> bytes:
    """8 bytes: 4 of the id, 4 of the item. Two keys that share it are taken for one, which asks too much, never too
    little."""
    return _partition(key.namespace, key.id) + blake2b(key.item.encode(), digest_size=4).digest()
