"""Sessions against a model of two regions: stores that replicate when they like, caches that keep any old copy, a
client with several answers under way and far more records than a token remembers. No allowed answer is older than what
the client has been told of the record."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvservice.core.ports import Copy, Key
from kvservice.core.session import ENTRIES, Session, Sessions

START_US = 1_764_000_000_000_000
REGIONS = ("here", "there")
KEYS = [Key("ns", "id" if number < 8 else f"id-{number}", str(number)) for number in range(3 * ENTRIES)]
KEY = st.sampled_from(KEYS)
REGION = st.sampled_from(REGIONS)


class Region:
    """`copies`: all that its cache was ever given: when the store was asked, and what it said."""

    def __init__(self) -> None:
        self.store: dict[Key, int] = {}
        self.written: dict[Key, int] = {}  # by this region, or arrived here: what its cache may know before its store
        self.copies: dict[Key, list[tuple[int, int]]] = {}


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_us = START_US
        self.version = START_US
        self.regions = {name: Region() for name in REGIONS}
        self.sessions = {name: Sessions(b"secret", name, lambda: self.now_us) for name in REGIONS}
        self.tokens: list[str] = []  # answers the client has, the newest last
        self.told: dict[Key, int] = {}  # what it has been told, by all of them

    @rule(seconds=st.sampled_from([0.01, 0.5, 2.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)

    @rule(key=KEY, region=REGION)
    def somebody_writes(self, key: Key, region: str) -> None:
        self._write(key, region)

    @rule(keys=st.lists(KEY, min_size=1, max_size=ENTRIES), region=REGION)
    def the_client_writes(self, keys: list[Key], region: str) -> None:
        for key in keys:
            session = self._open(region)
            assert self._write(key, region) > session.highest(key)
            self._answered(session, key, self.version)

    @rule(keys=st.lists(KEY, min_size=1, max_size=ENTRIES), region=REGION)
    def the_client_reads_the_store(self, keys: list[Key], region: str) -> None:
        for key in keys:
            self._read_stored(key, region)

    @rule(keys=st.lists(KEY, min_size=1, max_size=8), region=REGION, data=st.data())
    def the_client_reads_the_cache(self, keys: list[Key], region: str, data: st.DataObject) -> None:
        for key in keys:
            copies = self.regions[region].copies.get(key)
            if not copies:
                continue
            filled_us, version = data.draw(st.sampled_from(copies))
            session = self._open(region)
            if session.allows_copy(key, Copy(b"", (self.now_us - filled_us) / 1e6, 1e9, 0.0), version):
                self._check(key, version)
                origin = region if self.regions[region].store.get(key, 0) >= version else "there"
                self._answered(session, key, version, origin=None if origin == region else origin)

    @rule(keys=st.lists(KEY, min_size=1, max_size=4), region=REGION, data=st.data())
    def the_client_reads_with_consistency_one(self, keys: list[Key], region: str, data: st.DataObject) -> None:
        for key in keys:
            copies = self.regions[region].copies.get(key)
            version = data.draw(st.sampled_from(copies))[1] if copies else 0
            session = self._open(region)
            is_stored = self.regions[region].store.get(key, 0) >= version
            self._answered(session, key, version, is_proven=False, origin=None if is_stored else "elsewhere")

    @rule(keys=st.lists(KEY, min_size=ENTRIES, max_size=2 * ENTRIES, unique=True), late=REGION, region=REGION)
    def an_answer_comes_after_many_others(self, keys: list[Key], late: str, region: str) -> None:
        session = self._open(late)
        for key in keys:
            self._write(key, region)
            self._answered(self._open(region), key, self.version)
        self.tokens.append(session.token())

    @rule(key=KEY, region=REGION)
    def the_cache_is_filled(self, key: Key, region: str) -> None:
        there = self.regions[region]
        there.copies.setdefault(key, []).append((self.now_us, there.store.get(key, 0)))

    @rule(key=KEY, region=REGION)
    def a_write_reaches_the_cache_of_the_other_region_first(self, key: Key, region: str) -> None:
        """The relay: nothing older than what the region's store has."""
        there = self.regions[region]
        other = self.regions[next(name for name in REGIONS if name != region)]
        version = max(there.store.get(key, 0), other.store.get(key, 0))
        there.copies.setdefault(key, []).append((self.now_us, version))

    @rule(keys=st.lists(KEY, max_size=30), region=REGION)
    def writes_arrive_from_the_other_region(self, keys: list[Key], region: str) -> None:
        there = self.regions[region]
        other = self.regions[next(name for name in REGIONS if name != region)]
        for key in keys:
            there.store[key] = max(there.store.get(key, 0), other.store.get(key, 0))

    @precondition(lambda self: len(self.tokens) > 1)
    @rule()
    def the_client_keeps_the_merged_token_only(self) -> None:
        self.tokens = [self._open("here").token()]

    @invariant()
    def the_client_has_few_tokens(self) -> None:
        while len(self.tokens) > 4:
            self.tokens[:2] = [self.sessions["here"].open(",".join(self.tokens[:2])).token()]

    def _write(self, key: Key, region: str) -> int:
        session = self._open(region)
        self.version = max(self.version + 256, self.now_us, session.highest(key) + 256)
        self.now_us = max(self.now_us, self.version)
        there = self.regions[region]
        there.store[key] = self.version
        there.copies.setdefault(key, []).append((self.now_us, self.version))
        return self.version

    def _read_stored(self, key: Key, region: str) -> None:
        session, version = self._open(region), self.regions[region].store.get(key, 0)
        if session.allows_stored(key, version):
            self._check(key, version)
            self._answered(session, key, version)

    def _check(self, key: Key, version: int) -> None:
        assert version >= self.told.get(key, 0), f"{key} was {self.told[key]}, and is {version} now"

    def _answered(
        self, session: Session, key: Key, version: int, *, origin: str | None = None, is_proven: bool = True
    ) -> None:
        session.saw(key, version, origin=origin, is_proven=is_proven)
        self.told[key] = max(version, self.told.get(key, 0))
        self.tokens = [session.token()]

    def _open(self, region: str) -> Session:
        return self.sessions[region].open(",".join(self.tokens))


SessionMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestSessions = SessionMachine.TestCase
