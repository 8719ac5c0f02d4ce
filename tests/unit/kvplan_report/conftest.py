"""A plan made by hand: small, and with every kind of number in it."""

from dataclasses import replace

import pytest

from kvplan.model.prediction import ClassPrediction, Latency, Part, Prediction, StationLoad
from kvplan.plan.inputs import Inputs
from kvplan.plan.outcome import Bill, BillLine, Mitigation, Month, Number, Plan, RegionSize, State

REGIONS = ("eu-west", "us-east")


def known(value: float, unit: str, formula: str = "by hand") -> Number:
    return Number(value, unit, value, value, formula)


def about(value: float, unit: str, formula: str = "by hand") -> Number:
    return Number(value, unit, value * 0.8, value * 1.3, formula)


def latency(p95: float) -> Latency:
    return Latency(
        mean=p95 / 2, quantiles={50: p95 / 2.5, 95: p95, 99: p95 * 1.4, 99.9: p95 * 2}, within={0.1: 0.97, 0.25: 0.999}
    )


def prediction(rate: float, p95: float) -> Prediction:
    read = (
        Part("client network", p95 / 4, p95 / 3, 0.0),
        Part("pod", p95 / 10, p95 / 4, p95 / 20),
        Part("cache", 0.0001, 0.0002, 0.00001),
        Part("pod (2)", p95 / 12, p95 / 5, p95 / 25),
    )
    write = (*read[:2], Part("store", p95 / 6, p95 / 3, p95 / 30))
    classes = (
        ClassPrediction("hit", 0.9, latency(p95 * 0.9), read),
        ClassPrediction("write", 0.1, latency(p95 * 1.5), write),
    )
    stations = (
        StationLoad("pod", 0.72, 0.0009, 0.0011, rate / 0.72),
        StationLoad("store", 0.41, 0.0002, 0.0003, rate / 0.41),
        StationLoad("cache", 0.08, 0.000001, 0.000001, rate / 0.08),
    )
    closed = {"number in the system (Little)": rate * p95 / 2, "p95 of independent M/M/c": p95 * 1.3}
    return Prediction(rate, latency(p95), classes, stations, 0.0, None, closed)


def state(name: str, region: str, rate: float, p95: float, *, holds: bool = True) -> State:
    return State(name, region, rate, 0.9, prediction(rate, p95), holds, "p95 below 100 ms" if holds else "p95 above")


def line(region: str, kind: str, quantity: float, unit: str, price: float) -> BillLine:
    return BillLine(region, kind, quantity, unit, price, quantity * price)


def month(number: int) -> Month:
    more = 1.05 ** (number - 1)
    sizes = tuple(
        RegionSize(each, 20 + number // 3, 3, 4 * 2**30, 3, 200e9, "p95 with a zone lost") for each in REGIONS
    )
    lines = tuple(
        each
        for region in REGIONS
        for each in (
            line(region, "pods", 5840 * more, "vCPU-hour", 0.04),
            line(region, "storage", 2190, "node-hour (small)", 0.2),
            line(region, "egress", 30_000 * more, "GiB", 0.08),
        )
    )
    bill = Bill("USD", lines, "mine of 2025-01-01", "the prices of mine are 365 days old")
    return Month(
        number=number,
        peak_qps=about(10_000 * more, "requests/s"),
        mean_qps=about(5_000 * more, "requests/s"),
        data_bytes=about(100e9 * more, "bytes"),
        sizes=sizes,
        bill=bill,
        cost=about(bill.total, "USD a month"),
        p95={region: about(0.06, "s") for region in REGIONS},
        holds=known(0.97, "of worlds"),
    )


def made_by_hand() -> Plan:
    inputs = Inputs.model_validate(
        {
            "workload": {"peakQps": {"low": 8000, "mid": 10_000, "high": 13_000}, "records": 5e7},
            "regions": [{"name": "eu-west", "share": 0.6}, {"name": "us-east", "share": 0.4}],
            "objectives": {95: 0.1, 99: 0.25},
        }
    )
    states = tuple(
        each
        for region, rate in zip(REGIONS, (6000.0, 4000.0), strict=True)
        for each in (
            state("normal", region, rate, 0.055),
            state("zone lost", region, rate, 0.07),
            state("region lost", region, 10_000.0, 0.09),
            State("cache cold", region, rate, 0.0, None, holds=False, why="store gets 1.30 times the work it can do"),
        )
    )
    return Plan(
        inputs=inputs,
        numbers={
            "regions.eu-west.pods": known(20, "pods", "6000 requests/s / (0.7 x 1100 requests/s a pod)"),
            "regions.us-east.pods": known(20, "pods"),
            "cache.hit-rate": about(0.7, "of reads"),
            "cost.total": about(month(1).bill.total, "USD a month"),
        },
        months=tuple(month(number) for number in range(1, 13)),
        states=states,
        bottleneck="pod: from 13,900 requests/s world-wide",
        next_bottleneck="store: from 24,400 requests/s world-wide",
        notes=("Pods are at most 70 % busy with a zone lost.", "Not covered: <bursts> beyond Poisson."),
    )


@pytest.fixture(scope="module")
def plan() -> Plan:
    return made_by_hand()


@pytest.fixture(scope="module")
def mitigations() -> tuple[Mitigation, ...]:
    near = Mitigation("near cache", "Each pod keeps hot records.", 0.055, 0.050, 6000, 5800, "Reads may be 1 s old.")
    return (near, replace(near, name="hedging", p95_after=0.058, risk="Useless here: pods are the bottleneck."))
