"""A KVCluster's rollout in words and rows. Pure: takes the object as the API server has it.

Reads plain dictionaries, not the models: it must also show what a newer operator writes.
"""

from typing import Any

from kvoperator.api.status import Phase

Row = list[str]
_COUNTS_TELL = ("Pass", "Fail")
_SHORT = 150  # characters of a message on a line; `kvctl rollout status` has all of it
_ENDINGS: dict[str, int] = {Phase.DONE: 0, Phase.ROLLED_BACK: 3, Phase.FROZEN: 4}


def ending(cluster: dict[str, Any]) -> int | None:
    """Exit code of a rollout that has come to rest: 0 promoted, 3 rolled back, 4 frozen. None: it is under way."""
    status = cluster.get("status", {})
    if status.get("observedGeneration", 0) < cluster["metadata"]["generation"]:
        return None  # the operator has not seen the spec as it is now
    return _ENDINGS.get(phase(cluster))


def phase(cluster: dict[str, Any]) -> str:
    return str(rollout(cluster).get("phase", "Unknown"))


def rollout(cluster: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("status", {}).get("rollout", {})
    return found


def subject(cluster: dict[str, Any]) -> str | None:
    """The revision that a request is about: the canary, or the release that was refused."""
    state = rollout(cluster)
    about = state.get("refused") if state.get("phase") == Phase.ROLLED_BACK else state.get("canary")
    if not about:
        return None
    return str(about["revision"] if "revision" in about else about["name"])


def summary(cluster: dict[str, Any]) -> list[Row]:
    """What is so, as (word, value)."""
    state = rollout(cluster)
    refused, hold = state.get("refused") or {}, state.get("hold") or {}
    rows = [
        ["phase", phase(cluster)],
        ["stable", _revision(state.get("stable"))],
        ["canary", _revision(state.get("canary"))],
        ["step", _step(cluster)],
        ["paused by", state.get("pausedBy") or ""],
        ["hold", f"{hold['reason']}: {hold['message']} (since {hold['since']})" if hold else ""],
        ["refused", f"{refused['image']}: {refused['reason']}: {refused['message']}" if refused else ""],
    ]
    return [row for row in rows if row[1]]


def regions(cluster: dict[str, Any]) -> list[Row]:
    """Region, pods ready of pods wanted, weight of each revision."""
    return [
        [one["name"], f"{one.get('ready', 0)}/{one.get('wanted', 0)}", weights(one)]
        for one in cluster.get("status", {}).get("regions", [])
    ]


def weights(region: dict[str, Any]) -> str:
    return ", ".join(f"{revision} {weight}%" for revision, weight in region.get("weights", {}).items())


def latencies(cluster: dict[str, Any]) -> list[Row]:
    """Region, requests a second, p95 as predicted and as observed, when; of regions whose latency is known."""
    return [
        [one["name"], f"{seen['qps']:g}", _ms(seen.get("predictedP95Ms")), _ms(seen.get("observedP95Ms")), seen["at"]]
        for one in cluster.get("status", {}).get("regions", [])
        if (seen := one.get("latency"))
    ]


def verdicts(cluster: dict[str, Any]) -> list[Row]:
    """Region, gate, outcome, bad of all requests of both arms, evidence against its bound, what these leave unsaid."""
    return [
        [
            one["region"],
            one["gate"],
            one["outcome"],
            _counts(one.get("canary")),
            _counts(one.get("stable")),
            _evidence(one),
            "" if one["outcome"] in _COUNTS_TELL else one.get("message", ""),
        ]
        for one in rollout(cluster).get("verdicts", [])
    ]


def conditions(cluster: dict[str, Any]) -> list[Row]:
    found = cluster.get("status", {}).get("conditions", [])
    return [[one["type"], one["status"], one["reason"], _short(one["message"])] for one in found]


def line(cluster: dict[str, Any]) -> str:
    """All that may change while one waits, on one line."""
    state = rollout(cluster)
    parts = [phase(cluster), _step(cluster)]
    parts += [f"{one['name']}: {weights(one)}" for one in cluster.get("status", {}).get("regions", [])]
    parts.append(tally(state.get("verdicts", [])))
    if hold := state.get("hold"):
        parts.append(f"held, {hold['reason']}: {_short(hold['message'])}")
    if state.get("pausedBy"):
        parts.append(f"paused by {state['pausedBy']}")
    if refused := state.get("refused"):
        parts.append(f"refused {refused['image']}, {refused['reason']}: {_short(refused['message'])}")
    return " | ".join(part for part in parts if part)


def tally(found: list[dict[str, Any]]) -> str:
    """`4 Pass, 2 NoData`."""
    outcomes = [one["outcome"] for one in found]
    return ", ".join(f"{outcomes.count(one)} {one}" for one in dict.fromkeys(outcomes))


def _short(message: str) -> str:
    return message if len(message) <= _SHORT else f"{message[:_SHORT]}…"


def _revision(revision: dict[str, Any] | None) -> str:
    return f"{revision['image']} (revision {revision['name']})" if revision else ""


def _step(cluster: dict[str, Any]) -> str:
    state = rollout(cluster)
    steps = cluster["spec"].get("rollout", {}).get("steps", [])
    if state.get("phase") != Phase.STEPPING:
        return ""
    since = state.get("stepStartedAt")
    clock = f"since {since}" if since else "its clock does not run yet"
    return f"{state.get('step', 0) + 1} of {len(steps)}: {state.get('traffic', 0)}% ({clock})"


def _counts(counts: dict[str, Any] | None) -> str:
    return f"{counts.get('bad', 0):.0f}/{counts.get('total', 0):.0f}" if counts else ""


def _ms(time: float | None) -> str:
    return "" if time is None else f"{time:g} ms"


def _evidence(verdict: dict[str, Any]) -> str:
    seen, bound = verdict.get("evidence"), verdict.get("bound")
    return "" if seen is None or bound is None else f"{seen:.2f} of {bound:.2f}"
