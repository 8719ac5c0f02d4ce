"""The schedule, the values and the report of `kvctl load`: pure."""

from itertools import pairwise
from random import Random

import pytest

from kvctl.errors import UsageError
from kvctl.load.report import Histogram, Tally, summary
from kvctl.load.schedule import Plan, operations, parse_sizes
from kvctl.load.values import Stamp, check, make

MINUTE = Plan(rate=100, duration_s=60)


def test_requests_come_in_order_within_the_duration_and_at_the_rate() -> None:
    planned = list(operations(MINUTE, Random(1)))
    assert all(first.at < second.at for first, second in pairwise(planned))
    assert planned[-1].at < 60
    assert len(planned) == pytest.approx(6000, rel=0.05)


def test_the_share_of_reads_and_the_sizes_of_writes_are_as_asked() -> None:
    sizes = [operation.size for operation in operations(MINUTE, Random(1))]
    assert sizes.count(0) / len(sizes) == pytest.approx(0.95, abs=0.01)
    assert all(1024 <= size <= 5120 for size in sizes if size)


def test_the_same_seed_plans_the_same_load() -> None:
    assert list(operations(MINUTE, Random(7))) == list(operations(MINUTE, Random(7)))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rate", 0),
        ("rate", 1e9),
        ("rate", float("nan")),
        ("duration_s", 0),
        ("duration_s", 1e9),
        ("reads", 1.5),
        ("reads", -0.1),
        ("keys", 0),
        ("max_in_flight", 0),
        ("timeout_s", 0),
        ("value_bytes", (0, 10)),
        ("value_bytes", (10, 5)),
    ],
)
def test_silly_values_are_refused_with_option_value_and_bounds(option: str, value: float | tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"--[a-z-]+ is .*; expected .* to "):
        Plan(**{option: value})  # type: ignore[arg-type]  # the value fits the option that it is listed with


def test_sizes_are_one_number_or_a_range() -> None:
    assert (parse_sizes("2048"), parse_sizes("1024-5120")) == ((2048, 2048), (1024, 5120))


@pytest.mark.parametrize("text", ["", "-", "1-2-3", "2KB", "-5"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_sizes(text)


STAMP = Stamp("run-1", "run", 7, 2000)


def test_a_value_has_its_size_and_tells_its_stamp() -> None:
    assert len(make(STAMP)) == 2000
    assert check("run-1", make(STAMP)) == STAMP


@pytest.mark.parametrize(
    "bytes_read",
    [
        make(Stamp("run-2", "run", 7, 2000)),  # another key's
        make(STAMP)[:-1],  # cut short
        make(STAMP)[:1000] + make(Stamp("run-1", "run", 8, 2000))[1000:],  # a mixture of two writes
        b"",
        b"kvctl run-1 run x 5\n",
        b"\xff" * 50,
    ],
)
def test_bytes_never_written_for_the_key_are_noticed(bytes_read: bytes) -> None:
    assert check("run-1", bytes_read) is None


def test_percentiles_are_at_most_one_percent_high_and_the_maximum_is_exact() -> None:
    histogram = Histogram()
    for millisecond in range(1, 1001):
        histogram.add(millisecond / 1000)
    assert 0.950 <= histogram.percentile(95) <= 0.950 * 1.0101
    assert 0.500 <= histogram.percentile(50) <= 0.500 * 1.0101
    assert histogram.percentile(100) == histogram.max_s == 1.0


def test_no_requests_have_no_percentile() -> None:
    assert Histogram().percentile(99) == 0.0


def test_the_summary_adds_up_regions_and_kinds_of_errors() -> None:
    west, east = Tally(dropped=1), Tally()
    for tally in (west, east):
        tally.reads.add(0.010)
        tally.writes.add(0.020)
        tally.errors["http 503"] += 1
    east.errors["lost"] += 1
    report = summary({"west": west, "east": east}, elapsed_s=2.0)
    assert report["total"] == {
        "requests": 4,
        "failed": 3,
        "dropped": 1,
        "rate": 2.0,
        "errors": {"http 503": 2, "lost": 1},
    }
    assert report["regions"]["west"]["writes"]["max_ms"] == 20.0
