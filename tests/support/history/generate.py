"""Valid histories: clients of a simulated service that keeps all promises, with everything that happens to it.

Two regions, each with three replicas of its store (quorum 2), a cache (set-if-newer, forgetful, sometimes out of
reach) and pods whose clocks differ; replication between them, cut now and then; requests that overlap, fail, or end
without an answer and are tried again with their idempotency key. Time is virtual: a process yields the microseconds
it waits. `history.bugs` changes single methods of this.
"""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from history.model import ABSENT, Consistency, History, Kind, Mode, Operation, Outcome, Record

STEP = 256
EPOCH_US = 10**9
SKEW_US = 50_000
OFTEN, SOMETIMES, RARELY = 0.4, 0.1, 0.03
Process = Generator[int, None, None]


class Envelope(NamedTuple):
    """`value` None: a tombstone. `seen`: of each other region, the highest version among the ancestors."""

    version: int
    region: str
    value: str | None
    seen: Mapping[str, int]


NOTHING = Envelope(0, "", None, {})


class Lost(Exception):  # noqa: N818 - the answer is lost; the write may be done
    pass


class Refused(Exception):  # noqa: N818 - surely not done
    pass


@dataclass
class Region:
    name: str
    replicas: tuple[dict[str, Envelope], ...] = field(default_factory=lambda: ({}, {}, {}))
    cache: dict[str, Envelope] = field(default_factory=dict)
    receipts: dict[str, Envelope] = field(default_factory=dict)


@dataclass
class Pod:
    slot: int
    ahead_us: int
    last: int = 0


@dataclass
class Session:
    name: str
    region: Region
    seen: dict[str, tuple[int, str]] = field(default_factory=dict)


class Wanted(NamedTuple):
    """A write that a client wants."""

    key: str
    value: str | None
    expects: int | None
    token: str | None


class Size(NamedTuple):
    operations: int = 400
    sessions: int = 8
    keys: int = 6


class World:
    def __init__(self, seed: int, mode: Mode, size: Size) -> None:
        self.chance = random.Random(seed)
        self.mode = mode
        self.size = size
        self.now = 0
        self.regions = [Region("east"), Region("west")]
        self.pods = {
            region.name: [Pod(2 * index + pod, self.chance.randint(-SKEW_US, SKEW_US)) for pod in range(2)]
            for index, region in enumerate(self.regions)
        }
        span = size.operations * 2_000 // size.sessions  # about
        self.cuts = [(span // 4, span // 2), (span * 3 // 4, span * 3 // 2)]
        self.operations: list[Operation] = []
        self.conflicts = 0
        self._left = size.operations
        self._values = 0
        self._queue: list[tuple[int, int, Process]] = []
        self._started = 0

    def run(self) -> History:
        for index in range(self.size.sessions):
            self.start(self.client(Session(f"s{index}", self.regions[index % 2])))
        while self._queue:
            self.now, order, process = heappop(self._queue)
            delay = next(process, None)
            if delay is not None:
                heappush(self._queue, (self.now + delay, order, process))
        cuts = [(begin * 1000, end * 1000) for begin, end in self.cuts]
        final = {region.name: self.contents(region) for region in self.regions}
        return History(self.mode, self.operations, final, cuts, self.conflicts)

    def start(self, process: Process) -> None:
        self._started += 1
        heappush(self._queue, (self.now, self._started, process))

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def takes(self, around_us: int) -> int:
        return int(self.chance.expovariate(1 / around_us)) + 1

    def contents(self, region: Region) -> dict[str, Record]:
        keys = {key for replica in region.replicas for key in replica}
        ends = {key: self.newest(region, key, region.replicas) for key in keys}
        return {key: Record(end.version, end.value) for key, end in ends.items() if end.value is not None}

    # Clients

    def client(self, session: Session) -> Process:
        while self._left > 0:
            self._left -= 1
            if self.happens(RARELY):
                session.region = self.chance.choice(self.regions)
            key = f"k{min(self.chance.randrange(self.size.keys), self.chance.randrange(self.size.keys))}"
            if self.happens(OFTEN):
                yield from self.change(session, key)
            else:
                yield from self.look(session, key)
            yield self.takes(1_000)

    def change(self, session: Session, key: str) -> Process:
        """A write or delete, tried again while its outcome is unknown."""
        self._values += 1
        value = None if self.happens(SOMETIMES) else f"v{self._values}"
        expects = None
        if self.mode is Mode.CAS and self.happens(OFTEN):
            expects = session.seen.get(key, (ABSENT, ""))[0]
        token = f"t{self._values}" if self.happens(0.5) else None
        wanted = Wanted(key, value, expects, token)
        region = self.regions[0] if self.mode is Mode.CAS else session.region
        for _ in range(3):
            outcome = yield from self.attempt(session, region, wanted)
            if outcome is not Outcome.UNKNOWN or not token:
                return
            yield self.takes(5_000)

    def attempt(self, session: Session, region: Region, wanted: Wanted) -> Generator[int, None, Outcome]:
        begin, written, created = self.now, None, False
        yield self.takes(200)
        try:
            written, created = yield from self.request(session, region, wanted)
            outcome = Outcome.OK
            self.saw(session, region, wanted.key, written.version)
        except Lost:
            outcome = Outcome.UNKNOWN
        except Refused:
            outcome = Outcome.FAILED
        yield self.takes(200)
        kind = Kind.DELETE if wanted.value is None else Kind.WRITE
        version = written.version if written else None
        told = self.operation(session, region, kind, wanted.key, begin)
        self.operations.append(told(outcome, version, wanted.value, created, wanted.token, wanted.expects))
        return outcome

    def request(self, session: Session, region: Region, wanted: Wanted) -> Generator[int, None, tuple[Envelope, bool]]:
        if self.happens(RARELY):
            raise Refused
        done = yield from self.write(session, region, wanted)
        if self.happens(RARELY):
            raise Lost
        return done

    def look(self, session: Session, key: str) -> Process:
        begin, region = self.now, session.region
        consistency = Consistency.QUORUM if self.happens(SOMETIMES) else Consistency.SESSION
        yield self.takes(200)
        envelope, satisfied = yield from self.read(session, region, key, consistency)
        self.saw(session, region, key, envelope.version)
        yield self.takes(200)
        version = None if envelope.value is None else envelope.version
        told = self.operation(session, region, Kind.READ, key, begin)
        self.operations.append(told(Outcome.OK, version, envelope.value, consistency=consistency, satisfied=satisfied))

    def operation(self, session: Session, region: Region, kind: Kind, key: str, begin: int) -> Callable[..., Operation]:
        name, end = session.name, self.now

        def told(*rest: object, **more: object) -> Operation:
            return Operation(name, region.name, kind, key, begin * 1000, end * 1000, *rest, **more)  # type: ignore[arg-type]

        return told

    # Sessions

    def saw(self, session: Session, region: Region, key: str, version: int) -> None:
        if version >= session.seen.get(key, (0, ""))[0]:
            session.seen[key] = (version, region.name)

    def allows_copy(self, session: Session, key: str, version: int) -> bool:
        return version >= session.seen.get(key, (0, ""))[0]

    def allows_stored(self, session: Session, region: Region, key: str, version: int) -> bool:
        seen, where = session.seen.get(key, (0, region.name))
        return where == region.name or version >= seen

    # A request in a pod

    def read(
        self, session: Session, region: Region, key: str, consistency: Consistency
    ) -> Generator[int, None, tuple[Envelope, bool]]:
        copy = None if consistency is Consistency.QUORUM or self.happens(SOMETIMES) else region.cache.get(key)
        if copy and self.allows_copy(session, key, copy.version):
            return copy, True
        for _ in range(3):
            stored = yield from self.stored(region, key)
            self.start(self.refill(region, key, stored))
            if self.allows_stored(session, region, key, stored.version):
                return stored, True
            yield self.takes(2_000)
        return stored, False

    def write(self, session: Session, region: Region, wanted: Wanted) -> Generator[int, None, tuple[Envelope, bool]]:
        if self.mode is Mode.CAS:
            envelope, created = yield from self.update(session, region, wanted)
        else:
            present = yield from self.stored(region, wanted.key)
            envelope, created = self.claim(session, region, wanted, present), present.value is None
            yield from self.put(region, wanted.key, envelope)
        yield from self.publish(region, wanted.key, envelope)
        return envelope, created and wanted.value is not None

    def update(self, session: Session, region: Region, wanted: Wanted) -> Generator[int, None, tuple[Envelope, bool]]:
        """Atomic: nothing is yielded between the look and the change."""
        yield self.takes(500)
        present = self.newest(region, wanted.key, region.replicas)
        known = region.receipts.get(wanted.token or "")
        if known:
            return known, False
        self.admit(wanted, present)
        envelope = self.claim(session, region, wanted, present)
        self.store_everywhere(region, wanted.key, envelope)
        if self.happens(RARELY):
            raise Lost
        return envelope, present.value is None

    def admit(self, wanted: Wanted, present: Envelope) -> None:
        live = ABSENT if present.value is None else present.version
        if wanted.expects not in (None, live):
            raise Refused

    def claim(self, session: Session, region: Region, wanted: Wanted, present: Envelope) -> Envelope:
        """What the token's first attempt made, or a new envelope."""
        highest = max(present.version, session.seen.get(wanted.key, (0, ""))[0])
        version = self.issue(self.chance.choice(self.pods[region.name]), highest)
        seen = dict(present.seen)
        if present.region not in ("", region.name):
            seen[present.region] = max(present.version, seen.get(present.region, 0))
        seen.pop(region.name, None)
        envelope = Envelope(version, region.name, wanted.value, seen)
        return region.receipts.setdefault(wanted.token, envelope) if wanted.token else envelope

    def issue(self, pod: Pod, highest: int) -> int:
        now = EPOCH_US + self.now + pod.ahead_us
        pod.last = max(now // STEP, highest // STEP + 1, pod.last + 1)
        return pod.last * STEP + pod.slot

    # The store of a region

    def newer(self, one: Envelope, other: Envelope) -> bool:
        return one.version > other.version

    def newest(self, region: Region, key: str, replicas: tuple[dict[str, Envelope], ...]) -> Envelope:
        best = NOTHING
        for replica in replicas:
            each = replica.get(key, NOTHING)
            if self.newer(each, best):
                best = each
        return best

    def stored(self, region: Region, key: str) -> Generator[int, None, Envelope]:
        """Read at quorum, with the repair that makes it final."""
        yield self.takes(300)
        asked = tuple(self.chance.sample(region.replicas, 2))
        best = self.newest(region, key, asked)
        for replica in asked:
            self.apply(replica, key, best)
        return best

    def put(self, region: Region, key: str, envelope: Envelope) -> Process:
        """Acknowledged by two of three replicas; who has it passes it on, whatever becomes of the request."""
        first, second, third = self.chance.sample(region.replicas, 3)
        yield self.takes(300)
        if self.happens(RARELY):
            raise Lost
        self.apply(first, key, envelope)
        self.start(self.pass_on(region, key, envelope, (second, third)))
        if self.happens(RARELY):
            raise Lost
        yield self.takes(300)
        self.apply(second, key, envelope)

    def apply(self, replica: dict[str, Envelope], key: str, envelope: Envelope) -> None:
        if self.newer(envelope, replica.get(key, NOTHING)):
            replica[key] = envelope

    def pass_on(
        self, region: Region, key: str, envelope: Envelope, replicas: tuple[dict[str, Envelope], ...]
    ) -> Process:
        for other in self.regions:
            if other is not region:
                self.start(self.replicate(other, key, envelope))
        for replica in replicas:
            yield self.takes(5_000)
            self.apply(replica, key, envelope)

    def store_everywhere(self, region: Region, key: str, envelope: Envelope) -> None:
        for replica in region.replicas:
            self.apply(replica, key, envelope)
        self.start(self.pass_on(region, key, envelope, ()))

    # Between the regions

    def replicate(self, region: Region, key: str, envelope: Envelope) -> Process:
        yield self.takes(20_000)
        for begin, end in self.cuts:
            if begin <= self.now < end:
                yield from self.wait_for_healing(end)
        self.receive(region, key, envelope)

    def wait_for_healing(self, end: int) -> Process:
        yield end - self.now + self.takes(20_000)

    def receive(self, region: Region, key: str, envelope: Envelope) -> None:
        present = self.newest(region, key, region.replicas)
        if self.are_concurrent(envelope, present):
            self.conflicts += 1
        for replica in region.replicas:
            self.apply(replica, key, envelope)
        self.offer(region, key, envelope)

    def are_concurrent(self, one: Envelope, other: Envelope) -> bool:
        return not _descends(one, other) and not _descends(other, one)

    # The cache of a region

    def publish(self, region: Region, key: str, envelope: Envelope) -> Process:
        """After the store's word. Sometimes the cache is out of reach: then later, and not before the answer."""
        yield self.takes(100)
        if self.happens(SOMETIMES):
            self.start(self.refill(region, key, envelope))
        else:
            self.offer(region, key, envelope)

    def refill(self, region: Region, key: str, envelope: Envelope) -> Process:
        yield self.takes(2_000)
        self.offer(region, key, envelope)

    def offer(self, region: Region, key: str, envelope: Envelope) -> None:
        if self.happens(RARELY):
            region.cache.clear()  # lost, or flushed
        if self.newer(envelope, region.cache.get(key, NOTHING)):
            region.cache[key] = envelope


def _descends(one: Envelope, other: Envelope) -> bool:
    if not other.version:
        return True
    known = one.version if one.region == other.region else one.seen.get(other.region, 0)
    return known >= other.version


def simulate(seed: int, mode: Mode, size: Size = Size()) -> History:  # noqa: B008 - immutable
    """A history of a world that keeps its promises."""
    return World(seed, mode, size).run()
