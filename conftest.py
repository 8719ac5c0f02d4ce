"""For all tiers: tests that share parts or addresses run in one process; in CI a skipped test is a failed one; tests
that count (races, drills) have a short form and, with `--long`, their full counts."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """A folder's tests share an embedded cluster, or fixed loopback addresses: one process runs them all."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


T = TypeVar("T")

pytest.register_assert_rewrite("store_contract")  # in tests/support, used by two folders


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="full counts instead of short forms")


class Counted:
    """How much a counting test does, and what it found: shown at the end, and with `-s` at once."""

    def __init__(self, is_long: bool, record: Callable[[str, object], None]) -> None:
        self._is_long = is_long
        self._record = record

    def __call__(self, short: int, full: int) -> int:
        return full if self._is_long else short

    def tell(self, line: str) -> None:
        """A line of the summary: what was counted."""
        print(line, flush=True)
        self._record("counted", line)

    def progress(self, line: str) -> None:
        print(f"  … {line}", flush=True)

    def told(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Goes through them; in the long form it says now and then how far it is."""
        for number, item in enumerate(items):
            if self._is_long and number % max(len(items) // 20, 1) == 0:
                self.progress(f"{number:,} of {len(items):,} {what}")
            yield item


@pytest.fixture
def counted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Counted:
    """Use with `@pytest.mark.counted`, which is what `make test-long` runs."""
    return Counted(request.config.getoption("--long"), record_property)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [each for outcome in ("passed", "failed") for each in terminalreporter.stats.get(outcome, [])]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == "counted"
    ]
    if lines:
        terminalreporter.section("counts")
        for line in lines:
            terminalreporter.line(line)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") and report.skipped:
        why: Any = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {why}"
    return report
