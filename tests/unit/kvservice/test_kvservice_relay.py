"""The relay between a feed, a store and a cache that fail at will; its time is virtual."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kvservice.core.envelope import Envelope, decode, encode, newer
from kvservice.core.ports import Change, Copy, Decide, Entry, FeedPage, Key, Page
from kvservice.errors import (
    CacheUnavailable,
    InvalidRequest,
    KvError,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
    Unavailable,
)
from kvservice.relay.relay import AT_ONCE, LONGEST_PAUSE_S, OFFERS, Relay
from kvservice.telemetry import Telemetry

NOW_US = 1_800_000_000_000_000
AHEAD_US = 500_000
PLACE = Key("", "relay/here", "there")


def envelope(version: int, region: str = "there", payload: bytes = b"") -> bytes:
    return encode(Envelope(version, region, "", payload))


def entry(name: str, version: int = NOW_US - 5_000_000) -> Entry:
    return Entry(Key("ns", name), envelope(version))


class Troubled:
    """Raises what is in `failures`, one at each call."""

    def __init__(self) -> None:
        self.failures: list[KvError] = []

    def may_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


class FakeFeed(Troubled):
    """Pages by number; beyond the last one nothing is new."""

    def __init__(self, *pages: list[Entry]) -> None:
        super().__init__()
        self.pages = list(pages)
        self.asked: list[str] = []
        self.lost = False

    async def read(self, cursor: str, *, limit: int, wait_s: float) -> FeedPage:
        self.asked.append(cursor)
        await asyncio.sleep(0)
        self.may_fail()
        at = int(cursor or "0")
        lost, self.lost = self.lost, False
        return FeedPage(self.pages[at], str(at + 1), lost) if at < len(self.pages) else FeedPage([], cursor, lost)


class FakeStore(Troubled):
    def __init__(self, *, replicates: bool = False) -> None:
        super().__init__()
        self.replicates = replicates
        self.rows: dict[Key, bytes] = {}
        self.announced: list[Key] = []

    async def read(self, key: Key, *, quorum: bool = True) -> bytes | None:
        self.may_fail()
        return self.rows.get(key)

    async def put(self, key: Key, envelope: bytes, *, announce: bool = True) -> None:
        self.may_fail()
        if announce:
            self.announced.append(key)
        if newer(envelope, self.rows.get(key, b"")):
            self.rows[key] = envelope

    async def update(self, key: Key, decide: Decide, token: str | None = None) -> None:
        raise AssertionError(Change())

    async def claim(self, key: Key, token: str, receipt: bytes) -> bytes:
        raise AssertionError

    async def scan(self, namespace: str, id_: str, *, prefix: str, after: str, limit: int, max_bytes: int) -> Page:
        raise AssertionError

    async def now_us(self) -> int | None:
        return None

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        pass


class FakeCache(Troubled):
    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[Key, bytes] = {}
        self.announced: list[Key] = []
        self.offers = 0
        self.at_once = 0
        self.most_at_once = 0

    async def get(self, key: Key) -> Copy | None:
        raise AssertionError

    async def lease(self, key: Key) -> bool:
        raise AssertionError

    async def offer(self, key: Key, envelope: bytes, *, cost_s: float = 0.0, announce: bool = False) -> None:
        self.offers += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.may_fail()
        if announce:
            self.announced.append(key)
        if newer(envelope, self.copies.get(key, b"")):
            self.copies[key] = envelope

    async def now_us(self) -> int | None:
        return None


class FakeClock:
    """Set by the pauses of the relay."""

    def __init__(self) -> None:
        self.us = NOW_US

    def now_us(self) -> int:
        return self.us

    def issue(self, highest: int) -> int:
        raise AssertionError

    def accepts(self, version: int) -> bool:
        return version <= self.us + AHEAD_US


class World:
    """A relay and what is around it."""

    def __init__(self, feed: FakeFeed, store: FakeStore | None = None) -> None:
        self.clock = FakeClock()
        self.pauses: list[float] = []
        self.feed, self.store, self.cache = feed, store or FakeStore(), FakeCache()
        self.telemetry = Telemetry(edges_s=(), build="", version="", region="", revision="")
        self.relay = Relay(
            here="here",
            peer="there",
            feed=self.feed,
            store=self.store,
            cache=self.cache,
            clock=self.clock,
            telemetry=self.telemetry,
            pause=self._pause,
            chance=lambda: 1.0,
        )

    async def run_until(self, holds: Callable[[], bool]) -> None:
        """Runs the relay's process until something holds; each step of the loop is one look."""
        running = asyncio.create_task(self.relay.run())
        for _ in range(2000):
            if holds() or running.done():
                break
            await asyncio.sleep(0)
        assert not running.done(), running
        assert holds()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def metric(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.telemetry.page().decode())
        samples = [sample for family in families for sample in family.samples]
        return next(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def entries(self, outcome: str) -> float:
        return self.metric("kv_relay_entries_total", peer="there", outcome=outcome)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.us += round(seconds * 1e6)
        await asyncio.sleep(0)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def all_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_what_the_peer_wrote_comes_into_store_and_cache() -> None:
    world = World(FakeFeed([entry("a"), entry("b")], [entry("c")]))
    await world.run_until(lambda: "2" in world.feed.asked)

    for name in "abc":
        assert world.store.rows[Key("ns", name)] == world.cache.copies[Key("ns", name)] == entry(name).envelope
    assert world.entries("applied") == 3


async def test_what_came_from_a_peer_is_not_announced_as_ours() -> None:
    world = World(FakeFeed([entry("a")]))
    await world.run_until(lambda: "1" in world.feed.asked)

    assert not world.store.announced
    assert not world.cache.announced


async def test_a_store_that_replicates_is_left_to_do_so() -> None:
    world = World(FakeFeed([entry("a")]), FakeStore(replicates=True))
    await world.run_until(lambda: "1" in world.feed.asked)

    assert set(world.store.rows) == {PLACE}
    assert set(world.cache.copies) == {Key("ns", "a")}


async def test_a_concurrent_write_in_a_store_that_replicates_is_a_conflict(caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeFeed([entry("a", 5), entry("b", 5)]), FakeStore(replicates=True))
    world.store.rows = {Key("ns", "a"): envelope(7, "here"), Key("ns", "b"): envelope(5)}
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.metric("kv_conflicts_total") == 1
    assert events(caplog).count("conflict") == 1


async def test_a_write_that_the_store_replaced_before_anybody_saw_it_is_a_conflict(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The peer wrote 5; our 7, which did not know it, replaced it there; over that the peer wrote 9."""
    later = encode(Envelope(9, "there", "", b"", seen={"here": 7}))
    world = World(FakeFeed([entry("a", 5), Entry(Key("ns", "a"), later)]), FakeStore(replicates=True))
    world.store.rows = {Key("ns", "a"): later}
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.metric("kv_conflicts_total") == 1
    (line,) = (line for line in caplog.records if line.getMessage() == "conflict")
    assert (line.__dict__["winner"], line.__dict__["loser"]) == ("9", "5")


@pytest.mark.parametrize("replicates", [False, True])
async def test_the_cache_is_told_the_newest_that_is_here_not_an_older_entry(replicates: bool) -> None:
    key = Key("ns", "a")
    world = World(FakeFeed([entry("a", 5)]), FakeStore(replicates=replicates))
    world.store.rows = {key: envelope(7, "here")}
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.cache.copies[key] == envelope(7, "here")


async def test_the_place_in_the_feed_is_kept_and_gone_back_to() -> None:
    world = World(FakeFeed([entry("a")], [entry("b")]))
    await world.run_until(lambda: "2" in world.feed.asked)
    assert decode(world.store.rows[PLACE]).payload == b"2"

    again = World(FakeFeed([entry("a")], [entry("b")], [entry("c")]), world.store)
    await again.run_until(lambda: "3" in again.feed.asked)
    assert again.feed.asked[0] == "2"
    assert decode(world.store.rows[PLACE]).payload == b"3"


async def test_the_place_grows_even_if_the_clock_went_back() -> None:
    store = FakeStore()
    store.rows[PLACE] = encode(Envelope(NOW_US + 60_000_000, "here", "text/plain", b"0"))
    world = World(FakeFeed([entry("a")]), store)
    await world.run_until(lambda: "1" in world.feed.asked)

    assert decode(store.rows[PLACE]).payload == b"1"


async def test_an_idle_feed_writes_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeFeed())
    await world.run_until(lambda: len(world.feed.asked) == 10)

    assert not world.store.rows
    assert events(caplog) == ["relay_started"]


async def test_a_relay_that_ends_within_a_page_begins_it_again() -> None:
    world = World(FakeFeed([entry("a"), entry("b")]))
    world.cache.failures = [CacheUnavailable("down")]
    await world.run_until(lambda: bool(world.pauses))
    assert PLACE not in world.store.rows

    again = World(world.feed, world.store)
    await again.run_until(lambda: PLACE in world.store.rows)
    assert set(again.cache.copies) == {Key("ns", "a"), Key("ns", "b")}


async def test_an_absent_peer_is_asked_ever_more_rarely_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeFeed([entry("a")]))
    world.feed.failures = [Unavailable("no route")] * 10
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[LONGEST_PAUSE_S] * 4]
    assert events(caplog) == ["relay_started", "relay_peer_away", "relay_peer_back"]
    assert world.metric("kv_relay_errors_total", peer="there", who="peer") == 10
    assert world.entries("applied") == 1


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), StoreBusy("full"), OutcomeUnknown("timeout")])
async def test_an_entry_waits_for_the_store(error: KvError, caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeFeed([entry("a")]))
    world.store.failures = [error] * 3
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.store.rows[Key("ns", "a")] == entry("a").envelope
    assert world.metric("kv_relay_errors_total", peer="there", who="store") == 3
    assert events(caplog) == ["relay_store_away", "relay_store_back", "relay_started"]


async def test_an_entry_is_offered_again_to_a_cache_that_fails() -> None:
    world = World(FakeFeed([entry("a")]))
    world.cache.failures = [CacheUnavailable("slow")] * (OFFERS - 1)
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.cache.copies == {Key("ns", "a"): entry("a").envelope}
    assert world.entries("uncached") == 0


async def test_entries_pass_by_a_cache_that_is_away_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeFeed([entry("a")], [entry("b")], [entry("c")]))
    world.cache.failures = [CacheUnavailable("down")] * (OFFERS + 1)
    await world.run_until(lambda: "3" in world.feed.asked)

    assert {*world.store.rows} == {PLACE, Key("ns", "a"), Key("ns", "b"), Key("ns", "c")}
    assert {*world.cache.copies} == {Key("ns", "c")}
    assert len(world.pauses) == OFFERS - 1
    assert (world.entries("uncached"), world.entries("applied")) == (2, 1)
    assert events(caplog) == ["relay_started", "relay_cache_away", "relay_cache_back"]


async def test_an_entry_ahead_of_our_clock_waits_until_it_is_not(caplog: pytest.LogCaptureFixture) -> None:
    early = entry("a", NOW_US + 3_000_000)
    world = World(FakeFeed([early]))
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.clock.us == NOW_US + 2_500_000
    assert world.store.rows[early.key] == early.envelope
    assert world.entries("early") == 1
    assert events(caplog) == ["relay_started", "relay_entry_early"]


async def test_what_the_peer_no_longer_has_is_reported_and_the_rest_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(FakeFeed([entry("a")]))
    world.feed.lost = True
    await world.run_until(lambda: "1" in world.feed.asked)

    assert Key("ns", "a") in world.store.rows
    assert world.metric("kv_relay_lost_total", peer="there") == 1
    assert events(caplog) == ["relay_started", "relay_lost"]


async def test_a_place_that_the_peer_refuses_is_given_up_for_the_beginning() -> None:
    world = World(FakeFeed([entry("a")]))
    world.store.rows[PLACE] = encode(Envelope(1, "here", "", b"7-0"))
    world.feed.failures = [InvalidRequest("no cursor")]
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.feed.asked[:2] == ["7-0", ""]
    assert world.metric("kv_relay_lost_total", peer="there") == 1


async def test_a_peer_that_refuses_the_beginning_is_not_asked_in_a_hurry(caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeFeed([entry("a")]))
    world.feed.failures = [InvalidRequest("limit")] * 3
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.pauses == [LONGEST_PAUSE_S] * 3
    assert events(caplog) == ["relay_started", "relay_peer_away", "relay_peer_back"]


async def test_of_a_records_entries_in_one_page_the_last_is_enough() -> None:
    world = World(FakeFeed([entry("a", 5), entry("b", 6), entry("a", 7)]))
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.store.rows[Key("ns", "a")] == envelope(7)
    assert world.cache.offers == 2


async def test_entries_are_brought_in_together_but_not_all_at_once() -> None:
    world = World(FakeFeed([entry(str(number)) for number in range(3 * AT_ONCE)]))
    await world.run_until(lambda: "1" in world.feed.asked)

    assert world.cache.most_at_once == AT_ONCE


async def test_the_lag_is_the_age_of_what_came_last_and_none_when_nothing_is_left() -> None:
    world = World(FakeFeed([entry("a", NOW_US - 42_000_000)]))
    assert await world.relay.follow("") == "1"
    assert world.metric("kv_relay_lag_seconds", peer="there") == 42

    await world.relay.follow("1")
    assert world.metric("kv_relay_lag_seconds", peer="there") == 0

    world.clock.us += 9_000_000
    assert world.metric("kv_relay_lag_seconds", peer="there") == 9


async def test_a_peers_series_are_there_before_anything_happens() -> None:
    world = World(FakeFeed())

    assert [world.entries(outcome) for outcome in ("applied", "early", "uncached")] == [0, 0, 0]
    assert [world.metric("kv_relay_errors_total", peer="there", who=who) for who in ("peer", "store")] == [0, 0]
    assert world.metric("kv_relay_lost_total", peer="there") == 0
