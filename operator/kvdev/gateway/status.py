"""Plan -> the statuses of Gateways and HTTPRoutes, and what Envoy must have in effect before each is said. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvdev.gateway.plan import Plan, bound_port
from kvdev.gateway.routes import GATEWAY_GROUP, RESOLVED, Answer, Parent, config_name, is_served
from kvdev.gateway.services import Key, Object, Objects

CONTROLLER = "kvcluster.dev/kvdev"
_ROOT = f"/apis/{GATEWAY_GROUP}/v1/namespaces"


@dataclass(frozen=True)
class Report:
    """A status to be told once Envoy has taken (or refused) `needs`, names of files as in `Xds.versions`."""

    path: str  # of the object at the API server
    version: int  # the object's resourceVersion
    held: Object  # its status at that version
    taken: Object
    refused: Object
    needs: frozenset[str]

    def is_told(self, status: Object) -> bool:
        """The object carries this status already; times of transition aside, they follow from the rest."""
        return all(_timeless(self.held.get(name)) == _timeless(value) for name, value in status.items())


def reports(plan: Plan, routes: Objects, now: str, first_port: int) -> Iterator[Report]:
    """The statuses as they ought to be, `routes` and the plan's Gateways being those that it was made from."""
    for key, gateway in plan.gateways.items():
        yield _gateway_report(plan, key, gateway, now, first_port)
    for key, route in routes.items():
        parents = plan.attached.parents.get(key, ())
        if parents or _is_ours(route):
            yield _route_report(key, route, parents, now)


def _is_ours(route: Object) -> bool:
    return any(entry["controllerName"] == CONTROLLER for entry in _entries(route))


def _entries(route: Object) -> list[Object]:
    return list((route.get("status") or {}).get("parents") or [])


def _route_report(key: Key, route: Object, parents: tuple[Parent, ...], now: str) -> Report:
    foreign = [entry for entry in _entries(route) if entry["controllerName"] != CONTROLLER]
    taken = [_entry(route, parent, parent.accepted, now) for parent in parents]
    refused = [_entry(route, parent, _REFUSED, now) for parent in parents]
    return Report(
        path=f"{_ROOT}/{key[0]}/httproutes/{key[1]}",
        version=int(route["metadata"]["resourceVersion"]),
        held=route.get("status") or {},
        taken={"parents": foreign + taken},
        refused={"parents": foreign + refused},
        needs=frozenset().union(*(parent.configs for parent in parents)),
    )


_REFUSED = Answer(
    "RefusedByEnvoy", "Envoy refused the Gateway's configuration and keeps the last good one; see its log"
)


def _entry(route: Object, parent: Parent, accepted: Answer, now: str) -> Object:
    before = next((e for e in _entries(route) if (e["controllerName"], e["parentRef"]) == (CONTROLLER, parent.ref)), {})
    conditions = {"Accepted": accepted, "ResolvedRefs": parent.resolved}
    return {
        "controllerName": CONTROLLER,
        "parentRef": parent.ref,
        "conditions": _conditions(conditions, before, route, now),
    }


def _gateway_report(plan: Plan, key: Key, gateway: Object, now: str, first_port: int) -> Report:
    listeners = gateway["spec"]["listeners"]
    ports = {listener["port"] for listener in listeners if is_served(listener)}
    return Report(
        path=f"{_ROOT}/{key[0]}/gateways/{key[1]}",
        version=int(gateway["metadata"]["resourceVersion"]),
        held=gateway.get("status") or {},
        taken=_gateway_status(plan, key, gateway, now, Answer("Programmed", _moved(ports, first_port))),
        refused=_gateway_status(plan, key, gateway, now, _REFUSED),
        needs=frozenset({"lds", *(config_name(key, port) for port in ports)}),
    )


def _moved(ports: set[int], first_port: int) -> str:
    moved = [f"port {port} is served on {bound_port(port, first_port)}" for port in sorted(ports) if port < first_port]
    return ", ".join(moved)


def _gateway_status(plan: Plan, key: Key, gateway: Object, now: str, programmed: Answer) -> Object:
    held = gateway.get("status") or {}
    before = {listener["name"]: listener for listener in held.get("listeners") or []}
    listeners = []
    for listener in gateway["spec"]["listeners"]:
        name, served = listener["name"], is_served(listener)
        unsupported = Answer("UnsupportedProtocol", f"{listener['protocol']} is not served here; use HTTP")
        conditions = {
            "Accepted": Answer("Accepted") if served else unsupported,
            "Programmed": programmed if served else Answer("Invalid", unsupported.message),
            "ResolvedRefs": RESOLVED,
        }
        listeners.append(
            {
                "name": name,
                "attachedRoutes": plan.attached.counts.get((key, name), 0),
                "supportedKinds": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}] if served else [],
                "conditions": _conditions(conditions, before.get(name, {}), gateway, now),
            }
        )
    conditions = {"Accepted": Answer("Accepted"), "Programmed": programmed}
    return {
        "addresses": [{"type": "IPAddress", "value": plan.addresses[key]}],
        "conditions": _conditions(conditions, held, gateway, now),
        "listeners": listeners,
    }


def _conditions(answers: Mapping[str, Answer], before: Object, obj: Object, now: str) -> list[Object]:
    """A condition is True when its reason is its own name. It keeps the time of its last change of status."""
    known = {condition["type"]: condition for condition in before.get("conditions") or []}
    made = []
    for kind, answer in answers.items():
        state = str(answer.reason == kind)
        same = known.get(kind, {}).get("status") == state
        made.append(
            {
                "type": kind,
                "status": state,
                "reason": answer.reason,
                "message": answer.message,
                "observedGeneration": obj["metadata"]["generation"],
                "lastTransitionTime": known[kind]["lastTransitionTime"] if same else now,
            }
        )
    return made


def _timeless(value: Any) -> Any:
    match value:
        case dict():
            return {name: _timeless(part) for name, part in value.items() if name != "lastTransitionTime"}
        case list():
            return [_timeless(part) for part in value]
        case _:
            return value
