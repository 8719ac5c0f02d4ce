"""The schedule, the values and the report of `kvctl load`: pure."""

import statistics
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from kvctl.errors import UsageError
from kvctl.load.laws import Arrivals, Keys, Sizes, parse_sizes
from kvctl.load.report import Histogram, Tally, summary
from kvctl.load.schedule import Plan, operations
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
        ("warm_up_s", -1),
        ("skew", -0.1),
        ("sizes", Sizes(0, 10)),
        ("sizes", Sizes(10, 5)),
        ("sizes", Sizes(10, 100, cv=0)),
    ],
)
def test_silly_values_are_refused_with_option_value_and_bounds(option: str, value: float | Sizes) -> None:
    with pytest.raises(UsageError, match=r"--[a-z-]+ is .*; expected .* to "):
        Plan(**{option: value})  # type: ignore[arg-type]  # the value fits the option that it is listed with


def test_a_peak_is_for_a_diurnal_load_and_at_most_twice_the_mean() -> None:
    with pytest.raises(UsageError, match="--peak is for --arrivals diurnal"):
        Plan(peak=80)
    with pytest.raises(UsageError, match="--peak is 101; expected 50 to 100"):
        Plan(arrivals=Arrivals.DIURNAL, rate=50, peak=101)


def test_constant_arrivals_are_evenly_apart() -> None:
    times = [each.at for each in operations(Plan(rate=4, duration_s=1, arrivals=Arrivals.CONSTANT), Random(1))]
    assert times == [0, 0.25, 0.5, 0.75]


def test_poisson_gaps_have_a_standard_deviation_like_their_mean() -> None:
    times = [each.at for each in operations(MINUTE, Random(1))]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_a_days_load_has_its_mean_its_peak_at_noon_and_its_lowest_at_midnight() -> None:
    day = Plan(rate=1000, peak=1500, duration_s=100, arrivals=Arrivals.DIURNAL)
    times = [each.at for each in operations(day, Random(1))]
    assert len(times) / 100 == pytest.approx(1000, rel=0.02)
    assert sum(48 < at < 52 for at in times) / 4 == pytest.approx(1500, rel=0.05)
    assert sum(at < 2 or at > 98 for at in times) / 4 == pytest.approx(500, rel=0.1)


def test_a_warm_up_comes_before_time_zero_at_the_same_rate() -> None:
    times = [each.at for each in operations(Plan(rate=100, duration_s=1, warm_up_s=10), Random(1))]
    assert -10 < times[0] < 0
    assert sum(at < 0 for at in times) == pytest.approx(1000, rel=0.1)
    assert all(first < second for first, second in pairwise(times))


@pytest.mark.parametrize("skew", [0.0, 0.99, 1.2])
def test_keys_are_as_popular_as_zipf_says(skew: float) -> None:
    keys, random, draws = Keys(50, skew), Random(1), 50_000
    counts = Counter(keys.draw(random) for _ in range(draws))
    total = sum((k + 1) ** -skew for k in range(50))
    assert set(counts) == set(range(50))
    for k in (0, 1, 10, 49):
        expected = draws * (k + 1) ** -skew / total
        assert counts[k] == pytest.approx(expected, abs=4 * expected**0.5)


def test_a_million_keys_are_drawn_within_their_bounds() -> None:
    keys, random = Keys(1_000_000, 0.99), Random(1)
    drawn = [keys.draw(random) for _ in range(10_000)]
    assert 0 <= min(drawn) <= max(drawn) < 1_000_000
    assert drawn.count(0) / 10_000 == pytest.approx(0.0646, abs=0.01)  # 1 / sum of k^-0.99 up to a million


def test_lognormal_sizes_have_their_mean_and_cv() -> None:
    random = Random(1)
    drawn = [parse_sizes("lognormal:2048:0.5").draw(random) for _ in range(20_000)]
    assert statistics.mean(drawn) == pytest.approx(2048, rel=0.02)
    assert statistics.stdev(drawn) / statistics.mean(drawn) == pytest.approx(0.5, rel=0.05)


def test_sizes_are_one_number_or_a_range() -> None:
    assert (parse_sizes("2048"), parse_sizes("1024-5120")) == (Sizes(2048, 2048), Sizes(1024, 5120))


@pytest.mark.parametrize("text", ["", "-", "1-2-3", "2KB", "-5", "lognormal", "lognormal:2048", "lognormal:a:b"])
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
        "void": None,
    }
    assert report["regions"]["west"]["writes"]["max_ms"] == 20.0


def test_buckets_hold_every_time_below_their_upper_edge() -> None:
    histogram = Histogram()
    for time_s in (0.001, 0.001, 0.5):
        histogram.add(time_s)
    (low, two), (high, one) = histogram.buckets()
    assert (two, one) == (2, 1)
    assert low / 1.01 <= 0.001 <= low
    assert high / 1.01 <= 0.5 <= high


@pytest.mark.parametrize(("late", "is_void"), [(1, False), (2, True)])
def test_a_run_is_void_when_more_than_one_request_in_a_hundred_was_sent_over_a_millisecond_late(
    late: int, is_void: bool
) -> None:
    tally = Tally()
    for number in range(100):
        tally.slip.add(0.005 if number < late else 0.0005)
    report = summary({"west": tally, "east": Tally()}, 1.0)
    assert (report["total"]["void"] is not None) == is_void
    assert report["total"]["void"] == report["regions"]["west"]["void"]
    assert report["regions"]["east"]["void"] is None


def test_a_void_run_says_what_was_seen_and_what_is_allowed() -> None:
    tally = Tally()
    tally.slip.add(0.002)
    assert tally.void
    assert "slip p99 2.00 ms, allowed 1 ms" in tally.void
