"""The checker, on histories of a few operations: each promise kept, and broken."""

from dataclasses import replace
from typing import Any

import pytest
from history.checker import check, provable_conflicts
from history.model import ABSENT, Consistency, Fault, History, Kind, Mode, Operation, Outcome, Record


def operation(kind: Kind, begin: int, *, session: str = "anna", region: str = "east", **rest: Any) -> Operation:
    """Ends one nanosecond before the next full ten."""
    rest.setdefault("end", begin + 9)
    return Operation(session, region, kind, rest.pop("key", "k"), begin, **rest)


def write(begin: int, version: int | None, value: str = "", **rest: Any) -> Operation:
    return operation(Kind.WRITE, begin, version=version, value=value or f"v{version}", **rest)


def delete(begin: int, version: int | None, **rest: Any) -> Operation:
    return operation(Kind.DELETE, begin, version=version, **rest)


def read(begin: int, version: int | None, value: str = "", **rest: Any) -> Operation:
    shown = None if version is None else value or f"v{version}"
    return operation(Kind.READ, begin, version=version, value=shown, **rest)


def faults(*operations: Operation, mode: Mode = Mode.LWW, **final: int | str | None) -> set[Fault]:
    """`final`: what a region holds at the end: version, value as version:value, or None for nothing."""
    ends = {}
    for region, end in final.items():
        version, _, value = str(end).partition(":")
        ends[region] = {} if end is None else {"k": Record(int(version), value or f"v{end}")}
    return {violation.fault for violation in check(History(mode, operations, ends))}


def test_a_quiet_history_is_fine() -> None:
    assert (
        faults(write(0, 1), read(10, 1), write(20, 2), read(30, 2), delete(40, 3), read(50, None), east=None) == set()
    )


def test_the_end_has_the_newest_acknowledged_write() -> None:
    assert faults(write(0, 1), write(10, 2), east=1) == {Fault.LOST_WRITE}
    assert faults(write(0, 1), write(10, 2), east=None) == {Fault.LOST_WRITE}


def test_a_write_of_unknown_outcome_may_be_the_end_or_not() -> None:
    unknown = write(10, None, "x", outcome=Outcome.UNKNOWN)

    assert faults(write(0, 1), unknown, east="2:x") == set()
    assert faults(write(0, 1), unknown, east=1) == set()


def test_a_write_of_unknown_outcome_that_was_read_is_not_lost_any_more() -> None:
    unknown = write(10, None, "x", outcome=Outcome.UNKNOWN)

    assert faults(write(0, 1), unknown, read(20, 2, "x"), east=1) == {Fault.LOST_WRITE}


def test_a_session_reads_what_it_wrote() -> None:
    assert faults(write(0, 1), write(10, 2), read(20, 1)) == {Fault.STALE_READ}
    assert faults(write(0, 1), read(10, None)) == {Fault.STALE_READ}


def test_another_session_may_lag_behind() -> None:
    assert faults(write(0, 1), write(10, 2), read(20, 1, session="bert")) == set()


def test_a_read_that_overlaps_the_write_may_miss_it() -> None:
    assert faults(write(0, 1), write(10, 2, end=25), read(20, 1)) == set()


def test_a_session_does_not_go_back() -> None:
    by_bert = [write(0, 1, session="bert"), write(10, 2, session="bert")]

    assert faults(*by_bert, read(20, 2), read(30, 1)) == {Fault.WENT_BACK}
    assert faults(*by_bert, read(20, 2), read(30, None)) == {Fault.WENT_BACK}


def test_a_session_takes_what_it_saw_to_other_regions_unless_told() -> None:
    before = [write(0, 1), write(10, 2)]

    assert faults(*before, read(20, 1, region="west")) == {Fault.STALE_READ}
    assert faults(*before, read(20, 1, region="west", satisfied=False)) == set()


def test_a_read_of_one_replica_promises_nothing() -> None:
    assert faults(write(0, 1), write(10, 2), read(20, 1, consistency=Consistency.ONE)) == set()


def test_a_quorum_read_sees_what_was_acknowledged_in_its_region() -> None:
    before = [write(0, 1), write(10, 2)]
    late = read(20, 1, session="bert", consistency=Consistency.QUORUM)

    assert faults(*before, late) == {Fault.STALE_QUORUM}
    assert faults(*before, replace(late, region="west")) == set()


def test_cas_quorum_reads_do_not_go_back_among_sessions() -> None:
    unknown = write(10, None, "x", outcome=Outcome.UNKNOWN)
    reads = [read(20, 2, "x", consistency=Consistency.QUORUM), read(30, 1, session="b", consistency=Consistency.QUORUM)]

    assert faults(write(0, 1), unknown, *reads, mode=Mode.CAS) == {Fault.STALE_QUORUM}


@pytest.mark.parametrize("version", [2, None])
def test_a_deleted_value_does_not_come_back(version: int | None) -> None:
    before = [write(0, 1), delete(10, version)]

    assert faults(*before, read(20, 1)) == {Fault.RESURRECTED}
    assert faults(*before, east=1) == {Fault.RESURRECTED}
    assert faults(*before, read(20, None), write(30, 4), read(40, 4), east=4) == set()


def test_an_earlier_delete_explains_no_later_absence() -> None:
    before = [write(0, 1), delete(10, None), write(20, 3)]

    assert faults(*before, read(30, None)) == {Fault.STALE_READ}
    assert faults(*before, east=None) == {Fault.LOST_WRITE}


def test_a_delete_of_unknown_outcome_explains_an_absence() -> None:
    assert faults(write(0, 1), delete(10, None, outcome=Outcome.UNKNOWN), read(20, None), east=None) == set()
    assert faults(write(0, 1), delete(10, None, outcome=Outcome.FAILED), read(20, None)) == {Fault.STALE_READ}


def test_what_is_read_was_written_before() -> None:
    assert faults(read(0, 1)) == {Fault.UNWRITTEN}
    assert faults(read(0, 1), write(10, 1, session="bert")) == {Fault.UNWRITTEN}
    assert faults(read(5, 1), write(10, 1)) == set()


def test_a_failed_write_is_never_read() -> None:
    failed = write(0, None, "x", outcome=Outcome.FAILED)

    assert faults(failed, read(10, 1, "x")) == {Fault.FAILED_VISIBLE}
    assert faults(failed, east="1:x") == {Fault.FAILED_VISIBLE}


def test_a_version_has_one_value_everywhere() -> None:
    writes = [write(0, 1), write(1, 2, session="bert")]

    assert faults(*writes, read(20, 2, "v1")) == {Fault.MIXED}
    assert faults(*writes, east="2:v1") == {Fault.MIXED}


def test_two_writes_never_share_a_version() -> None:
    assert faults(write(0, 1), write(1, 1, "x", session="bert")) == {Fault.DUPLICATE_VERSION}


def test_writes_one_after_the_other_have_growing_versions() -> None:
    assert faults(write(0, 5), write(10, 2, session="bert"), east=5) == {Fault.HIDDEN}
    assert faults(write(0, 5), write(10, 2, session="bert", region="west"), east=5) == set()
    assert faults(write(0, 5), write(10, 2, region="west"), east=5) == {Fault.HIDDEN}


def test_a_retry_has_the_version_of_the_first_attempt() -> None:
    lost = write(0, None, "x", token="t", outcome=Outcome.UNKNOWN)
    other = write(10, 2, session="bert")

    assert faults(lost, other, write(20, 1, "x", token="t"), east=2) == set()
    assert faults(write(0, 1, "x", token="t"), write(20, 3, "x", token="t")) >= {Fault.DOUBLE_APPLY}


def test_a_retry_is_no_second_write() -> None:
    lost = write(0, None, "x", token="t", outcome=Outcome.UNKNOWN)
    reads = [read(10, 1, "x"), write(20, 2, session="bert"), read(30, 3, "x")]

    assert faults(lost, *reads) == {Fault.DOUBLE_APPLY}


def test_a_conditional_write_replaces_what_it_names() -> None:
    race = [write(10, 2, expects=1), write(11, 3, expects=1, session="bert")]

    assert faults(write(0, 1), race[0], mode=Mode.CAS) == set()
    assert faults(write(0, 1), *race, mode=Mode.CAS) == {Fault.LOST_UPDATE}


def test_only_one_creates() -> None:
    race = [write(10, 2, expects=ABSENT), write(11, 3, created=True, session="bert")]

    assert faults(*race, mode=Mode.CAS) == {Fault.LOST_UPDATE}
    assert faults(race[0], delete(20, 3), write(30, 4, expects=ABSENT), mode=Mode.CAS) == set()


def test_regions_end_equal() -> None:
    assert faults(write(0, 1), write(10, 2), east=2, west=1) == {Fault.DIVERGED}
    assert faults(write(0, 1), write(10, 2), east=2, west=2) == set()


def test_the_highest_version_wins() -> None:
    both = [write(0, 2), write(1, 1, session="bert", region="west")]

    assert faults(*both, east=1, west=1) == {Fault.WRONG_WINNER}
    assert faults(*both, east=2, west=2) == set()


def test_keys_written_on_both_sides_of_a_cut_are_conflicts() -> None:
    operations = [write(0, 1), write(10, 2), write(0, 3, session="bert", region="west"), write(0, 4, key="other")]
    history = History(Mode.LWW, operations, {}, cuts=[(0, 30)], conflicts=0)

    assert provable_conflicts(history) == 1
    assert [violation.fault for violation in check(history)] == [Fault.UNCOUNTED]
    assert check(replace(history, conflicts=1)) == []


def test_a_violation_names_the_operations() -> None:
    history = History(Mode.LWW, [write(0, 1), write(2_000_000, 2, end=3_000_000), read(4_000_000, 1)], {})

    assert str(check(history)[0]) == (
        "k: a session does not read what it wrote: anna's read of v1 as 1 in east (4.000-4.000 ms) "
        "began after anna's write of v2 as 2 in east (2.000-3.000 ms)"
    )


def test_a_history_whose_writes_share_a_value_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="two writes of 'x'"):
        faults(write(0, 1, "x"), write(10, 2, "x"))
