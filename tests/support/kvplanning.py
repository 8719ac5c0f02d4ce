"""Inputs that tests of plans begin with: three regions, clients near by, times that are known well."""

from typing import Any

from kvplan.plan.inputs import Inputs, Region, Service, Time, Workload

QUICK = Service(
    client_network=Time(mean=0.001, cv=0.3),
    pod_read=Time(mean=0.0012, cv=0.5),
    pod_miss=Time(mean=0.002, cv=0.5),
    pod_write=Time(mean=0.0025, cv=0.5),
    store_read=Time(mean=0.0005, cv=1.0),
    store_write=Time(mean=0.0003, cv=1.0),
)


def regions(*shares: float, zones: int = 3) -> tuple[Region, ...]:
    return tuple(Region(name=f"r{number}", share=share, zones=zones) for number, share in enumerate(shares, 1))


def asked(*, workload: dict[str, Any] | None = None, **others: Any) -> Inputs:
    """50k requests/s in three regions, p95 within 100 ms; what is named differs."""
    base = {"regions": regions(0.4, 0.3, 0.3), "service": QUICK, "months": 1, "objectives": {95.0: 0.1}}
    return Inputs(workload=Workload(**{"peak_qps": 50_000, "records": 2e8, **(workload or {})}), **{**base, **others})
