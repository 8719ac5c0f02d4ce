"""Sessions: what a client has seen, carried by the client itself as a signed token of bounded size.

A session holds the versions that its requests wrote and read, each with a region whose store has it. From it follows
which answers would take the client back in time: read-your-writes and monotonic reads (Terry et al., "Session
Guarantees for Weakly Consistent Replicated Data", 1994). In that region the store read at quorum is always good enough,
and only cached copies need a look; elsewhere the store, too, may be behind.

At most ENTRIES records are remembered one by one. Those beyond, the longest unseen, leave a floor for their region: the
highest version among them and the time, by which copies and other regions are judged; and their bits in a Bloom filter,
which says for most other records that no floor concerns them. So the bound costs some reads of the store and some
refusals elsewhere, never a silent step back. What is older than LIFE_S is forgotten: by then it has reached every
region and left every cache, unless a region was cut off for longer.

An entry is proven if it is the highest that the session ever saw of the record. One that is not stands beside the
floors: it comes from a read that did not ask the session, or from a token beside another one that may have forgotten
more of the record than this one knows.

Token: sealed (`kvservice.core.sealed`), of format (1 byte), issued (8, us), number of floors (1) with region (4, hash),
version (8), time (8, us) each, the filter (128) if there is a floor, number of entries (1) with proven (1), region (4),
hash (8), version (8) each, oldest first.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from struct import Struct
from typing import Any, NamedTuple

from kvservice.core import sealed
from kvservice.core.ports import Copy, Key
from kvservice.errors import InvalidSession

ENTRIES = 32
REGIONS = 16  # with a floor of their own; those beyond share one, which is elsewhere for everybody
LIFE_S = 86_400
TOKENS = 8  # that a client may send at once: one for each of its answers that were under way together
_LIFE_US = LIFE_S * 1_000_000
_SKEW_US = 1_000_000  # two pods' clocks differ by less
_FORMAT = 2
_LABEL = b"session\0"
_FILTER_BYTES = 128  # 3 bits a record: of 100 forgotten ones, 2 % of all others are taken for forgotten
_ISSUED, _FLOOR, _ENTRY = Struct(">BQ"), Struct(">4sQQ"), Struct(">?4s8sQ")
_OTHERS = bytes(4)
_MAX_BYTES = (
    _ISSUED.size + 1 + (REGIONS + 1) * _FLOOR.size + _FILTER_BYTES + 1 + ENTRIES * _ENTRY.size + sealed.MAC_BYTES
)
MAX_CHARS = -(-_MAX_BYTES * 4 // 3)  # of one token


class _Seen(NamedTuple):
    version: int
    region: bytes
    is_proven: bool


class _Floor(NamedTuple):
    version: int
    at_us: int


class _Known(NamedTuple):
    """What a token says. `seen`: oldest first. `floors`: by region. `forgotten`: the filter."""

    seen: dict[bytes, _Seen]
    floors: dict[bytes, _Floor]
    forgotten: int = 0


class Session:
    """Made by `Sessions`. `is_carried`: the client sent a token, or asked for one. `is_satisfied`: no answer given so
    far was marked as older than what the session has seen."""

    def __init__(
        self, here: bytes, now_us: Callable[[], int], seal: Callable[[bytes], str], *, is_carried: bool
    ) -> None:
        self._here = here
        self._now_us = now_us
        self._seal = seal
        self._seen: dict[bytes, _Seen] = {}  # oldest first
        self._floors: dict[bytes, _Floor] = {}
        self._forgotten = 0
        self.is_carried = is_carried
        self.is_satisfied = True

    def allows_copy(self, key: Key, copy: Copy, version: int) -> bool:
        """Whether a cached copy of that version takes the client at least to where it was."""
        if not self._seen and not self._floors:
            return True
        seen, floors = self._about(key)
        if seen is not None and version < seen.version:
            return False
        filled_us = self._now_us() - round(copy.age_s * 1_000_000)
        return all(
            version >= floor.version or (region == self._here and filled_us > floor.at_us + _SKEW_US)
            for region, floor in floors.items()
        )

    def allows_stored(self, key: Key, version: int) -> bool:
        """The same for what the store of this region answered at quorum (0: it has never heard of the key)."""
        seen, floors = self._about(key)
        if seen is not None and seen.region != self._here and version < seen.version:
            return False
        return all(version >= floor.version or region == self._here for region, floor in floors.items())

    def items_elsewhere(self, namespace: str, id_: str) -> dict[bytes, int] | None:
        """The id's items that this region's store may lack: the version seen of each, by `hash_of`. None: it is no
        longer known which they are."""
        if any(region != self._here for region in self._floors):
            return None
        mine, own = _partition(namespace, id_), hash_of(Key(namespace, id_))
        items = ((hash_, seen) for hash_, seen in self._seen.items() if hash_[:4] == mine and hash_ != own)
        return {hash_: seen.version for hash_, seen in items if seen.region != self._here}

    def highest(self, key: Key) -> int:
        """The highest version of the key that the session may know of, 0 if none: a write must go beyond it."""
        seen, floors = self._about(key)
        return max([seen.version if seen else 0, *(floor.version for floor in floors.values())])

    def saw(self, key: Key, version: int, *, origin: str | None = None, is_proven: bool = True) -> None:
        """`version` was written here, or found in this region's store; with `origin`, found in its cache only, and
        written in that region. `is_proven`: the session was asked before it was answered."""
        hash_ = hash_of(key)
        known = self._seen.get(hash_)
        is_proven = is_proven or (known.is_proven if known else not self._is_forgotten(hash_))
        seen = _Seen(version, self._here if origin is None else _region(origin), is_proven)
        self._remember(hash_, self._higher(seen, known)._replace(is_proven=is_proven))
        self._forget()

    def token(self) -> str:
        parts = [_ISSUED.pack(_FORMAT, self._now_us()), bytes([len(self._floors)])]
        parts += [_FLOOR.pack(region, *floor) for region, floor in sorted(self._floors.items())]
        parts += [self._forgotten.to_bytes(_FILTER_BYTES, "big")] if self._floors else []
        parts += [bytes([len(self._seen)])]
        parts += [_ENTRY.pack(seen.is_proven, seen.region, hash_, seen.version) for hash_, seen in self._seen.items()]
        return self._seal(b"".join(parts))

    def merge(self, body: bytes) -> None:
        """Adds what a token says; it is known to be ours. What is merged allows what both allowed."""
        other = _decoded(body)
        if other.floors != self._floors:  # equal ones forgot the same: one token follows from the other
            _doubt(self._seen, other)
            _doubt(other.seen, _Known(self._seen, self._floors, self._forgotten))
        for region, floor in other.floors.items():
            self._raise_floor(region, floor)
        if self._floors:
            self._forgotten |= other.forgotten
        for hash_, seen in other.seen.items():
            known = self._seen.get(hash_)
            is_proven = seen.is_proven and (known is None or known.is_proven)
            self._remember(hash_, self._higher(seen, known)._replace(is_proven=is_proven))
        self._forget()

    def _about(self, key: Key) -> tuple[_Seen | None, Mapping[bytes, _Floor]]:
        """-> what is known of the key, and the floors that may concern it."""
        hash_ = hash_of(key)
        seen = self._seen.get(hash_)
        is_free = seen.is_proven if seen else not self._is_forgotten(hash_)
        return seen, {} if is_free else self._floors

    def _higher(self, seen: _Seen, known: _Seen | None) -> _Seen:
        """Of two of one version, the one that is here is the easier to satisfy."""
        return seen if known is None else max(seen, known, key=lambda each: (each.version, each.region == self._here))

    def _remember(self, hash_: bytes, seen: _Seen) -> None:
        self._seen.pop(hash_, None)
        if seen.version >= self._now_us() - _LIFE_US:
            self._seen[hash_] = seen

    def _forget(self) -> None:
        """The oldest entries beyond the bound, into floors."""
        while len(self._seen) > ENTRIES:
            oldest = next(iter(self._seen))
            evicted = self._seen.pop(oldest)
            self._raise_floor(evicted.region, _Floor(evicted.version, self._now_us()))
            self._forgotten |= _bits(oldest)

    def _raise_floor(self, region: bytes, floor: _Floor) -> None:
        if floor.at_us < self._now_us() - _LIFE_US:
            return
        if region not in self._floors and len(self._floors.keys() - {_OTHERS}) >= REGIONS:
            region = _OTHERS
        known = self._floors.get(region, floor)
        self._floors[region] = _Floor(max(floor.version, known.version), max(floor.at_us, known.at_us))

    def _is_forgotten(self, hash_: bytes) -> bool:
        return self._forgotten & (bits := _bits(hash_)) == bits


class Sessions:
    """Opens and signs tokens. All pods of all regions share the secret."""

    def __init__(self, secret: bytes, region: str, now_us: Callable[[], int]) -> None:
        self._secret = secret
        self._region = _region(region)
        self._now_us = now_us

    def open(self, header: str | None) -> Session:
        """From the value of `KV-Session`: tokens as issued, comma between them; empty: begin one; None: not sent.
        Raises InvalidSession."""
        session = Session(self._region, self._now_us, self._sealed, is_carried=header is not None)
        tokens = [token.strip() for token in (header or "").split(",") if token.strip()]
        if len(tokens) > TOKENS:
            raise InvalidSession(
                f"KV-Session holds {len(tokens)} tokens, at most {TOKENS} are looked at; send the last"
            )
        for token in tokens:
            session.merge(self._opened(token))
        return session

    def _sealed(self, body: bytes) -> str:
        return sealed.seal(self._secret, _LABEL, body)

    def _opened(self, token: str) -> bytes:
        body = sealed.opened(self._secret, _LABEL, token, MAX_CHARS)
        if body is None:
            raise InvalidSession(
                "KV-Session is no token of this service, or of pods with another KV_SESSION_SECRET; "
                "send one as it was received, or an empty one to begin anew"
            )
        format_, issued_us = _ISSUED.unpack_from(body)
        if format_ != _FORMAT or issued_us < self._now_us() - _LIFE_US:
            raise InvalidSession(
                f"KV-Session is older than {LIFE_S} s, or of another build; send an empty one to begin anew"
            )
        return body


def _doubt(seen: dict[bytes, _Seen], other: _Known) -> None:
    """What another token may have forgotten, and does not remember, is not proven beside it."""
    for hash_, each in seen.items():
        if hash_ not in other.seen and other.floors and other.forgotten & _bits(hash_) == _bits(hash_):
            seen[hash_] = each._replace(is_proven=False)


def _decoded(body: bytes) -> _Known:
    at = _ISSUED.size
    floors = {region: _Floor(version, at_us) for region, version, at_us in _unpacked(_FLOOR, body, at)}
    at += 1 + len(floors) * _FLOOR.size
    forgotten = 0
    if floors:
        forgotten, at = int.from_bytes(body[at : at + _FILTER_BYTES], "big"), at + _FILTER_BYTES
    seen = {hash_: _Seen(version, region, proven) for proven, region, hash_, version in _unpacked(_ENTRY, body, at)}
    return _Known(seen, floors, forgotten)


def _unpacked(shape: Struct, body: bytes, at: int) -> Iterator[tuple[Any, ...]]:
    """As many as the byte at `at` says, from there on."""
    return shape.iter_unpack(body[at + 1 : at + 1 + body[at] * shape.size])


def _bits(hash_: bytes) -> int:
    """A record's bits in the filter. Multiplied by the golden ratio, all bits of the hash have a say."""
    mixed = int.from_bytes(hash_, "big") * 0x9E37_79B9_7F4A_7C15 >> 16
    return 1 << (mixed >> 38 & 1023) | 1 << (mixed >> 28 & 1023) | 1 << (mixed >> 18 & 1023)


def _region(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=4).digest()


def _partition(namespace: str, id_: str) -> bytes:
    return blake2b(f"{namespace}\0{id_}".encode(), digest_size=4).digest()


def hash_of(key: Key) -> bytes:
    """8 bytes: 4 of the id, 4 of the item. Two keys that share it are taken for one, which asks too much, never too
    little."""
    return _partition(key.namespace, key.id) + blake2b(key.item.encode(), digest_size=4).digest()
