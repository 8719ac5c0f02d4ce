"""Which shard has a key."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kvservice.cache.shards import shard_name, shard_of

SHARDS = st.lists(st.binary(min_size=1, max_size=20), min_size=2, max_size=8, unique=True)


@given(shards=SHARDS, keys=st.lists(st.binary(max_size=40), min_size=1, max_size=50), gone=st.integers(0, 7))
def test_a_shard_that_goes_moves_only_its_own_keys(shards: list[bytes], keys: list[bytes], gone: int) -> None:
    lost = shards[gone % len(shards)]
    rest = [shard for shard in shards if shard != lost]
    for key in keys:
        before = shards[shard_of(key, shards)]
        assert before in (lost, rest[shard_of(key, rest)])


@given(shards=SHARDS, key=st.binary(max_size=40), data=st.data())
def test_the_order_of_the_shards_does_not_matter(shards: list[bytes], key: bytes, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(shards))

    assert shards[shard_of(key, shards)] == shuffled[shard_of(key, shuffled)]


def test_each_shard_has_its_share() -> None:
    shards = [shard_name(f"redis://cache-{number}:6379") for number in range(4)]
    counts = Counter(shard_of(b"kv1:demo:%d" % number, shards) for number in range(8_000))

    assert all(1_800 < counts[shard] < 2_200 for shard in range(4))


def test_a_new_password_moves_nothing() -> None:
    names = {shard_name(f"redis://{who}cache:6379/1") for who in ("", ":secret@", "user:other@")}

    assert names == {b"redis://cache:6379/1"}
