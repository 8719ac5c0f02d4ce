"""Session tokens: what they carry, what they forget, and what is refused. See also the state machine."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvservice.core.ports import Copy, Key
from kvservice.core.session import ENTRIES, LIFE_S, MAX_CHARS, REGIONS, TOKENS, Session, Sessions, hash_of
from kvservice.errors import InvalidSession

NOW_US = 1_764_000_000_000_000
SECOND = 1_000_000
KEY = Key("ns", "id", "item")


class World:
    """Regions with one clock."""

    def __init__(self) -> None:
        self.now_us = NOW_US

    def open(self, header: str | None = "", region: str = "here", secret: bytes = b"secret") -> Session:
        return Sessions(secret, region, lambda: self.now_us).open(header)

    def having_seen(self, *versions: tuple[Key, int], region: str = "here", header: str = "") -> str:
        session = self.open(header, region)
        for key, version in versions:
            session.saw(key, version)
        return session.token()


def copy(age_s: float = 0.0) -> Copy:
    return Copy(b"", age_s, 60.0, 0.0)


def others(count: int, version: int = NOW_US) -> list[tuple[Key, int]]:
    return [(Key("ns", f"other-{number}"), version) for number in range(count)]


@pytest.fixture
def world() -> World:
    return World()


def test_a_new_session_allows_everything(world: World) -> None:
    session = world.open(None)

    assert not session.is_carried
    assert session.allows_copy(KEY, copy(), 0)
    assert session.allows_stored(KEY, 0)
    assert session.items_elsewhere("ns", "id") == {}
    assert session.highest(KEY) == 0


def test_a_copy_older_than_what_was_seen_is_not_allowed(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US)))

    assert not session.allows_copy(KEY, copy(), NOW_US - 1)
    assert session.allows_copy(KEY, copy(), NOW_US)
    assert session.allows_copy(Key("ns", "id"), copy(), 0)


def test_the_store_of_the_region_is_always_allowed(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US)))

    assert session.allows_stored(KEY, 0)


def test_the_store_of_another_region_is_allowed_when_it_has_what_was_seen(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US)), "there")

    assert not session.allows_stored(KEY, NOW_US - 1)
    assert session.allows_stored(KEY, NOW_US)


def test_reading_it_there_makes_that_region_good_enough_too(world: World) -> None:
    token = world.having_seen((KEY, NOW_US), region="there", header=world.having_seen((KEY, NOW_US)))

    assert world.open(token, "there").allows_stored(KEY, 0)
    assert not world.open(token, "here").allows_stored(KEY, 0)


def test_what_only_the_cache_of_the_region_had_is_not_taken_for_stored(world: World) -> None:
    session = world.open("")
    session.saw(KEY, NOW_US, origin="there")

    assert not session.allows_stored(KEY, NOW_US - 1)
    assert not world.open(session.token()).allows_stored(KEY, NOW_US - 1)
    assert world.open(session.token(), "there").allows_stored(KEY, NOW_US - 1)


def test_an_older_answer_does_not_lower_what_was_seen(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US)), "there")
    session.saw(KEY, NOW_US - 5)

    assert session.highest(KEY) == NOW_US
    assert not session.allows_stored(KEY, NOW_US - 1)


def test_several_tokens_are_taken_together(world: World) -> None:
    other = Key("ns", "other")
    one, two = world.having_seen((KEY, NOW_US - 5)), world.having_seen((KEY, NOW_US), (other, NOW_US))
    for header in (f"{one}, {two}", f"{two},{one}", f"{one},,{two},"):
        session = world.open(header)

        assert session.highest(KEY) == NOW_US
        assert session.highest(other) == NOW_US


def test_a_forgotten_record_leaves_a_floor_for_copies(world: World) -> None:
    token = world.having_seen((KEY, NOW_US), *others(ENTRIES))
    world.now_us += 10 * SECOND
    session = world.open(token)

    assert not session.allows_copy(KEY, copy(age_s=11), NOW_US - 1)
    assert not session.allows_copy(KEY, copy(age_s=9.5), NOW_US - 1)
    assert session.allows_copy(KEY, copy(age_s=8), NOW_US - 1)
    assert session.allows_copy(KEY, copy(age_s=11), NOW_US)
    assert session.allows_stored(KEY, 0)


def test_a_forgotten_record_leaves_a_floor_for_other_regions(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US), *others(ENTRIES)), "there")

    assert not session.allows_stored(KEY, NOW_US - 1)
    assert not session.allows_copy(KEY, copy(), NOW_US - 1)
    assert session.allows_stored(KEY, NOW_US)
    assert session.items_elsewhere("ns", "id") is None


def test_a_write_goes_beyond_what_is_forgotten(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US), *others(ENTRIES)))

    assert session.highest(KEY) >= NOW_US


def test_what_was_never_seen_is_hardly_ever_taken_for_forgotten(world: World) -> None:
    session = world.open(world.having_seen(*others(ENTRIES + 100)))
    unseen = [Key("ns", f"unseen-{number}") for number in range(1000)]

    assert sum(session.allows_copy(key, copy(age_s=60), 0) for key in unseen) > 950


def test_a_floor_is_as_late_as_the_forgetting(world: World) -> None:
    """A request may last: what it forgets at its end is not dated to its begin."""
    session = world.open("")
    session.saw(KEY, NOW_US)
    world.now_us += 60 * SECOND
    for key, version in others(ENTRIES):
        session.saw(key, version)

    assert not session.allows_copy(KEY, copy(age_s=30), NOW_US - 1)


@pytest.mark.parametrize("swap", [False, True])
def test_an_old_token_does_not_hide_what_another_forgot(world: World, swap: bool) -> None:
    begun = world.having_seen((KEY, NOW_US))
    went_on = world.having_seen((KEY, NOW_US + 9), *others(ENTRIES, NOW_US + 9), header=begun)
    session = world.open(f"{went_on},{begun}" if swap else f"{begun},{went_on}")

    assert not session.allows_copy(KEY, copy(age_s=60), NOW_US)
    assert session.highest(KEY) == NOW_US + 9


def test_nor_when_what_the_other_remembers_has_got_too_old(world: World) -> None:
    begun = world.having_seen((KEY, NOW_US))
    old = others(ENTRIES, NOW_US - LIFE_S * SECOND)
    went_on = world.having_seen((KEY, NOW_US + 9), *old, header=begun)
    world.now_us += 1

    assert not world.open(f"{begun},{went_on}").allows_copy(KEY, copy(age_s=60), NOW_US)


def test_a_floor_is_as_late_as_the_last_forgetting(world: World) -> None:
    token = world.having_seen(*others(ENTRIES), (KEY, NOW_US))
    world.now_us += 60 * SECOND
    later = [(Key("ns", f"later-{number}"), NOW_US) for number in range(ENTRIES)]
    session = world.open(world.having_seen(*later, header=token))

    assert not session.allows_copy(KEY, copy(age_s=30), NOW_US - 1)


def test_a_crowd_of_tokens_does_not_hide_what_it_makes_forget(world: World) -> None:
    high = world.having_seen((KEY, NOW_US + 9))
    low = world.having_seen(*others(ENTRIES - 1), (KEY, NOW_US))
    session = world.open(f"{high},{low}")

    assert not session.allows_copy(KEY, copy(age_s=60), NOW_US)


def test_a_read_that_did_not_ask_the_session_hides_nothing(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US), *others(ENTRIES)))
    session.saw(KEY, NOW_US - 5, is_proven=False)

    for each in (session, world.open(session.token())):
        assert not each.allows_copy(KEY, copy(age_s=60), NOW_US - 5)
        assert each.highest(KEY) == NOW_US


def test_seeing_a_forgotten_record_again_frees_it_of_the_floor(world: World) -> None:
    session = world.open(world.having_seen((KEY, NOW_US - 9), *others(ENTRIES)))
    session.saw(KEY, NOW_US - 9)

    assert session.allows_copy(KEY, copy(age_s=60), NOW_US - 9)


def test_of_an_id_the_items_seen_elsewhere_are_known(world: World) -> None:
    own, item = Key("ns", "id"), Key("ns", "id", "b")
    header = world.having_seen((KEY, NOW_US), (own, NOW_US), (Key("ns", "other", "item"), NOW_US))
    session = world.open(world.having_seen((item, NOW_US), region="there", header=header), "there")

    assert session.items_elsewhere("ns", "id") == {hash_of(KEY): NOW_US}


def test_what_is_a_day_old_is_forgotten(world: World) -> None:
    token = world.having_seen((KEY, NOW_US - LIFE_S * SECOND // 2))
    floored = world.having_seen((KEY, NOW_US), *others(ENTRIES), header=token)
    world.now_us += LIFE_S * SECOND - 1
    kept = world.open(floored)
    world.now_us += 2

    assert world.open(world.having_seen(header=kept.token())).allows_copy(KEY, copy(age_s=2 * LIFE_S), 0)
    with pytest.raises(InvalidSession, match="older than"):
        world.open(floored)


@pytest.mark.parametrize("header", ["x", "!!!", "é", "AAAA", "=" * 40, "A" * (2 * MAX_CHARS)])
def test_what_is_no_token_is_refused(world: World, header: str) -> None:
    with pytest.raises(InvalidSession, match="send one as it was received"):
        world.open(header)


@given(st.data())
def test_a_token_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    world = World()
    token = world.having_seen(*others(ENTRIES + 2))
    raw = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidSession):
        world.open(urlsafe_b64encode(raw).decode())


def test_a_token_of_another_secret_is_refused(world: World) -> None:
    with pytest.raises(InvalidSession, match="KV_SESSION_SECRET"):
        world.open(world.having_seen((KEY, NOW_US)), secret=b"other")


def test_too_many_tokens_are_refused(world: World) -> None:
    token = world.having_seen((KEY, NOW_US))
    world.open(",".join([token] * TOKENS))

    with pytest.raises(InvalidSession, match=f"at most {TOKENS}"):
        world.open(",".join([token] * (TOKENS + 1)))


def seen_in_regions(world: World, count: int) -> str:
    """As many records in each as a token can hold."""
    token = ""
    for number in range(count):
        mine = [(Key("ns", f"{number}-{each}"), NOW_US) for each in range(ENTRIES)]
        token = world.having_seen(*mine, region=f"region-{number}", header=token)
    return token


def test_the_largest_token_is_within_the_bound_and_understood(world: World) -> None:
    token = seen_in_regions(world, REGIONS + 9)

    assert len(token) == MAX_CHARS
    assert world.open(token, "region-x").token() == token


def test_regions_beyond_the_bound_are_elsewhere_for_everybody(world: World) -> None:
    token = seen_in_regions(world, REGIONS + 2)

    assert not world.open(token, f"region-{REGIONS}").allows_stored(Key("ns", f"{REGIONS}-0"), NOW_US - 1)
    assert world.open(token, "region-0").allows_stored(Key("ns", "0-0"), NOW_US)


VERSIONS = st.lists(st.tuples(st.integers(0, 60), st.integers(NOW_US - 100, NOW_US + 100)), max_size=80)


@given(VERSIONS, st.sampled_from(["here", "there"]))
def test_a_token_says_what_the_session_says(seen: list[tuple[int, int]], region: str) -> None:
    world = World()
    session = world.open("", region)
    for number, version in seen:
        session.saw(Key("ns", str(number)), version, origin="there" if version % 3 == 0 else None)
    again = world.open(session.token(), region)

    assert len(session.token()) <= MAX_CHARS
    assert again.token() == session.token()
    for number in range(61):
        key = Key("ns", str(number))
        assert again.highest(key) == session.highest(key)
        for version in (NOW_US - 100, NOW_US, NOW_US + 100):
            assert again.allows_stored(key, version) == session.allows_stored(key, version)
            assert again.allows_copy(key, copy(9), version) == session.allows_copy(key, copy(9), version)
