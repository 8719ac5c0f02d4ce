"""A plan made by hand, shown: as data, as Markdown, as HTML; simulated instead of computed."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kvplan.errors import InputError
from kvplan.plan.outcome import Mitigation, Number, Plan, State
from kvplan.plan.states import Kind, situations, state
from kvplan.report import as_json, charts, html, markdown, read_json, tables
from kvplan.report.curves import curves
from kvplan.report.played import played
from kvplan.report.summary import facts
from kvplan.report.text import interval, number, percent, quantity, seconds, size

SECTIONS = [
    "Sizes",
    "States at peak, first month",
    "Latency against load",
    "Month by month",
    "Cost a month",
    "Bill of month 1",
    "What would help",
    "Rules and limits",
    "Numbers",
]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (quantity(0), "0"),
        (quantity(50_000), "50,000"),
        (quantity(1234.6), "1,230"),
        (quantity(12.345), "12.3"),
        (quantity(float("inf")), "∞"),
        (seconds(0.0), "0 µs"),
        (seconds(4.7e-12), "0 µs"),
        (seconds(0.00025), "250 µs"),
        (seconds(0.01234), "12.3 ms"),
        (seconds(1.5), "1.5 s"),
        (size(200e9), "186 GiB"),
        (seconds(float("inf")), "unstable"),
        (percent(0.9), "90 %"),
        (percent(0.000526), "0.1 %"),
        (number(Number(0.0123, "s", 0.0101, 0.0152, "")), "12.3 ms (10.1-15.2)"),
        (number(Number(8, "pods", 8, 8, "")), "8 pods"),
        (number(Number(0.97, "of worlds", 0.9, 1, "")), "97 % of worlds (90-100)"),
        (number(Number(2**31, "bytes a node", 2**31, 2**31, "")), "2 GiB a node"),
        (interval(Number(2**30, "bytes", 2**29, 2**31, "")), "0.5-2"),
    ],
)
def test_numbers_read_well(shown: str, expected: str) -> None:
    assert shown == expected


def test_data_for_programs_can_be_read_back(plan: Plan) -> None:
    assert read_json(json.loads(json.dumps(as_json(plan), allow_nan=False))) == plan


def test_what_never_saturates_survives_json(plan: Plan) -> None:
    normal = plan.states[0]
    assert normal.prediction
    idle = replace(normal.prediction.stations[0], saturates_at=float("inf"))
    plan = replace(plan, states=(replace(normal, prediction=replace(normal.prediction, stations=(idle,))),))

    assert read_json(json.loads(json.dumps(as_json(plan), allow_nan=False))) == plan


def test_data_that_is_no_plan_is_refused_in_a_sentence(plan: Plan) -> None:
    with pytest.raises(InputError, match=r"^this is no saved plan: numbers: Field required$"):
        read_json({name: value for name, value in as_json(plan).items() if name != "numbers"})


def test_markdown_has_every_section_and_every_number(plan: Plan, mitigations: tuple[Mitigation, ...]) -> None:
    page = markdown(plan, mitigations)

    found = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert [section for section in SECTIONS if section not in found] == ["Latency against load"]
    assert all(f"| {name} |" in page for name in plan.numbers)
    assert "Budget of eu-west" in found


def test_the_rows_of_markdown_fit_their_tables(plan: Plan, mitigations: tuple[Mitigation, ...]) -> None:
    broken = replace(plan, numbers={"a|b": Number(1, "x|y", 1, 1, "one\n| two |")})

    for table in markdown(broken, mitigations).split("\n\n"):
        if table.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_markdown_lets_no_html_of_a_user_through(plan: Plan) -> None:
    assert "\\<bursts>" in markdown(plan)


class Page(HTMLParser):
    """Checks that tags are closed, and collects headings, tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "action"}]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"h2", "summary"}:
            self.headings.append(data)


@pytest.fixture(scope="module")
def page(plan: Plan, mitigations: tuple[Mitigation, ...]) -> str:
    return html(plan, mitigations)


def test_the_page_is_whole_and_has_every_section(page: str) -> None:
    read = Page(page)

    assert read.open == []
    assert [name for name in SECTIONS if not any(each.startswith(name) for each in read.headings)] == []


def test_the_page_fetches_nothing_and_runs_nothing(page: str) -> None:
    read = Page(page)

    assert read.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "image"})
    assert [link for link in read.links if not link.startswith("#")] == []
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert re.findall(r"@import|url\((?!#)", page) == []


def test_the_parts_of_charts_find_each_other(page: str) -> None:
    read = Page(page)

    assert len(read.ids) == len(set(read.ids))
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(read.ids)


def test_the_page_has_its_charts_in_the_page_s_own_colours(page: str) -> None:
    titles = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)

    assert titles == [
        "Latency against load in eu-west",
        "Latency against load in us-east",
        "Where the mean latency goes in eu-west",
        "Where the mean latency goes in us-east",
        "Growth: requests, data and pods by month",
        "Cost by kind, by month",
    ]
    assert "currentColor" in page
    assert "#010203" not in page


def test_what_is_the_user_s_is_escaped(plan: Plan) -> None:
    numbers = {"<b>bold</b>": Number(1, "<i>", 1, 1, "1 < 2 & 3")}
    page = html(replace(plan, states=(), numbers=numbers, bottleneck="<script>alert(1)</script>"))

    assert "<script" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "1 &lt; 2 &amp; 3" in page


def test_the_same_plan_gives_the_same_charts(plan: Plan) -> None:
    assert charts.cost(plan) == charts.cost(plan)


def test_states_that_do_not_hold_are_named_on_top(plan: Plan) -> None:
    verdict = facts(plan)[0]

    assert (verdict.value, verdict.mark) == ("6 of 8 states hold", "no")
    assert verdict.says == "not: eu-west (cache cold); us-east (cache cold)"


def test_a_plan_of_one_month_shows_it_once(plan: Plan) -> None:
    short = replace(plan, months=plan.months[:1])

    assert tables.costs(short).columns == ("kind", "month 1, USD", "share")
    assert [row[1] for row in tables.sizes(short).rows] == ["1", "1"]


def test_egress_is_shown_even_if_there_is_none(plan: Plan) -> None:
    month = plan.months[0]
    inside = replace(month.bill, lines=tuple(line for line in month.bill.lines if line.kind != "egress"))
    shown = tables.costs(replace(plan, months=(replace(month, bill=inside),)))

    assert ("egress", "0", "0 %") in shown.rows


def test_costs_are_shown_with_their_share_of_the_whole(plan: Plan) -> None:
    # egress 2 x 30,000 x 0.08 = 4800, pods 2 x 5840 x 0.04 = 467.2, storage 2 x 2190 x 0.2 = 876; together 6143.2
    assert [row[:3] for row in tables.costs(plan).rows] == [
        ("egress", "4,800", "78.1 %"),
        ("storage", "876", "14.3 %"),
        ("pods", "467", "7.61 %"),
        ("all", "6,140 (4,910-7,990)", ""),
    ]


def test_visits_of_one_station_are_one_stage_of_the_budget(plan: Plan) -> None:
    # of a p95 of 55 ms: pod 5.5 + 4.583 ms, of it waiting 2.75 + 2.2 ms; the longer visit has a p95 of 13.75 ms
    assert ("hit", "pod", "2", "10.1 ms", "4.95 ms", "13.8 ms") in tables.budget(plan.states[0]).rows


def test_an_unstable_state_has_no_numbers(plan: Plan) -> None:
    cold = next(row for row in tables.states(plan).rows if row[1] == "cache cold")

    assert cold[4:8] == ("unstable", "unstable", "unstable", "NO")


def test_curves_rise_up_to_where_the_region_is_full(plan: Plan) -> None:
    found = curves(plan)

    assert [curve.region for curve in found] == ["eu-west", "us-east"]
    for curve in found:
        p95 = [each[95.0] for each in curve.quantiles]
        assert p95 == sorted(p95)
        assert curve.marks == {
            "normal": plan.inputs.workload.peak_qps.mid * {"eu-west": 0.6, "us-east": 0.4}[curve.region],  # type: ignore[union-attr]
            "region lost": 10_000,
        }


@pytest.fixture(scope="module")
def computed(plan: Plan) -> Plan:
    """With states of its own size, as the planner makes them."""
    return replace(
        plan,
        states=tuple(
            state(plan.inputs, size, situation)
            for region, size in zip(plan.inputs.regions, plan.months[0].sizes, strict=True)
            for situation in situations(plan.inputs, region).values()
        ),
    )


def test_a_curve_goes_through_the_state_that_the_plan_holds(computed: Plan) -> None:
    curve = curves(computed)[0]
    normal = computed.states[0]
    assert normal.prediction
    assert curve.loads[-1] == pytest.approx(0.97 * normal.rate / normal.prediction.stations[0].utilisation)

    below = max(index for index, load in enumerate(curve.loads) if load <= normal.rate)
    assert curve.quantiles[below][95] <= normal.prediction.latency.quantiles[95] * 1.02
    assert curve.quantiles[below + 1][95] >= normal.prediction.latency.quantiles[95] * 0.98


def test_a_plan_can_be_simulated_instead_and_says_so(computed: Plan) -> None:
    told: list[str] = []
    computed = replace(computed, states=(computed.states[0], computed.states[3]))
    simulated = played(computed, told.append, requests=20_000)

    assert told == ["simulating eu-west, normal"]
    assert simulated.notes[0].startswith("Simulated: latencies of the states, 20,000 requests each")
    for before, after in zip(computed.states, simulated.states, strict=True):
        assert before.prediction
        assert after.prediction
        if before.name == Kind.CACHE_COLD:
            assert after == before
        else:
            assert after.prediction.latency.quantiles[95] == pytest.approx(
                before.prediction.latency.quantiles[95], rel=0.2
            )
            assert after.prediction.latency != before.prediction.latency


def test_an_objective_that_the_simulation_misses_is_not_held(computed: Plan) -> None:
    hard = replace(computed, inputs=computed.inputs.model_copy(update={"objectives": {95.0: 0.1, 50.0: 0.001}}))
    with_thresholds = replace(hard, states=(_asked(hard.states[0], 0.001),))

    (missed,) = played(with_thresholds, lambda _: None, requests=20_000).states

    assert not missed.holds
    assert re.fullmatch(r"p50 [\d.]+ ms to [\d.]+ ms, over 1 ms; p95 [\d.]+ ms to [\d.]+ ms, within 100 ms", missed.why)


def _asked(state: State, threshold: float) -> State:
    assert state.prediction
    latency = state.prediction.latency
    asked = replace(latency, within={**latency.within, threshold: 0.0})
    return replace(state, prediction=replace(state.prediction, latency=asked))


def test_nothing_draws_until_a_chart_is_wanted() -> None:
    program = "import sys, kvplan.report; print([name for name in ('matplotlib', 'jinja2') if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
