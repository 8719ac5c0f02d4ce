"""A scenario file: what is refused, in which words, and what `on` and `off` mean."""

from typing import Any

import pytest

from kvplan.errors import InputError
from kvplan.scenario.file import ALL_PROTECTIONS, Protections, Scenario, scenario_of
from kvplan.scenario.packaged import fields, names, packaged
from kvplan.scenario.play import variants, with_protections

GOOD: dict[str, Any] = {
    "name": "x",
    "duration": 10,
    "workload": {"peakQps": 100},
    "regions": [{"name": "a", "share": 1, "pods": 2, "cacheEntries": 10, "storeServers": 2}],
}
REGION = GOOD["regions"][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"workload": {"peakQps": -1}}, "workload.peakQps is -1; expected a number above 0"),
        ({"workload": {}}, "workload.peakQps is missing"),
        ({"duration": "long"}, "duration is 'long'; expected a whole number"),
        ({"durration": 5}, "durration is no field that is known; expected one that is, perhaps it is misspelt"),
        ({"regions": [REGION | {"share": 0.5}]}, "the regions' shares sum to 0.5; expected 1"),
        (
            {"regions": [REGION | {"share": 0.5}, REGION | {"share": 0.5}]},
            "two regions have one name: a, a",
        ),
        ({"events": [{"event": "surge", "at": 10}]}, "surge is at 10 s; expected before the end, 10 s"),
        ({"events": [{"event": "flush", "at": 1, "region": "b"}]}, "flush is in b; expected one of a"),
        (
            {"events": [{"event": "flood", "at": 1}]},
            "events.0.event is 'flood'; expected one of surge, flush, zone-lost,",
        ),
        ({"events": [{"at": 1}]}, "events.0.event is missing"),
        ({"events": [{"event": "surge", "at": 1, "factor": 0}]}, "events.0.factor is 0; expected a number above 0"),
        ({"protections": {"luck": True}}, "protections.luck is no field that is known"),
        (
            {"client": {"timeout": 0.1, "network": {"mean": 0.2}}},
            "client: network takes 0.2 s; expected less than the timeout of 0.1 s",
        ),
        (
            {"times": {"podRead": {"mean": 0.002}, "podMiss": {"mean": 0.001}}},
            "times: podMiss is 0.001 s, podRead 0.002 s; expected podMiss, a read and more, not below",
        ),
        (
            {"duration": 1},
            "duration is 1 s, but a request may take 1 s to fail, with all its tries; expected more than 1 s",
        ),
        ({"scale": 3}, "scale is 3, but a has 2 pods and 2 store servers; expected at most 2"),
        (
            {"workload": {"peakQps": 1, "records": 2_000_000_000}},
            "2000000000 records in 1 regions at scale 1 are too many",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        scenario_of(GOOD | change, "x.yaml")
    assert str(refusal.value).startswith(f"x.yaml: {said}")
    assert "\n" not in str(refusal.value)


def test_a_file_without_fields_is_refused() -> None:
    with pytest.raises(InputError, match=r"x\.yaml holds list; expected the fields of a scenario"):
        scenario_of([1], "x.yaml")


def test_a_protection_is_off_on_or_has_its_numbers() -> None:
    given = {"coalescing": True, "deadline": False, "hedging": {"after": 0.5}}
    protections = Protections.model_validate(given)
    assert protections.named() == ("coalescing", "hedging")
    assert protections.hedging is not None
    assert protections.hedging.after == 0.5


def test_without_one_protection_the_others_keep_their_numbers() -> None:
    scenario = scenario_of(GOOD | {"protections": {"deadline": True, "hedging": {"after": 0.5}}}, "x")
    assert with_protections(scenario, ("hedging",)).protections == Protections.model_validate(
        {"hedging": {"after": 0.5}}
    )


def test_an_unknown_protection_is_refused() -> None:
    with pytest.raises(InputError, match="luck is no protection; expected some of coalescing, admission"):
        with_protections(scenario_of(GOOD, "x"), ("luck",))


def test_variants_leave_out_each_protection_and_then_all() -> None:
    scenario = scenario_of(GOOD | {"protections": {"deadline": True, "coalescing": True}}, "x")
    assert [(name, each.protections.named()) for name, each in variants(scenario)] == [
        ("all protections", ("coalescing", "deadline")),
        ("without coalescing", ("deadline",)),
        ("without deadline", ("coalescing",)),
        ("no protections", ()),
    ]


def test_what_has_no_protections_has_one_variant() -> None:
    assert [name for name, _ in variants(scenario_of(GOOD, "x"))] == ["no protections"]


@pytest.mark.parametrize("name", names())
def test_every_packaged_scenario_is_one_and_says_what_happens(name: str) -> None:
    scenario = packaged(name)
    assert scenario.name == name
    assert scenario.about
    assert scenario.events


def test_those_that_are_promised_are_packaged() -> None:
    promised = {"surge", "flush", "zone-lost", "region-lost", "slow-cache", "slow-store", "retry-storm", "hot-key"}
    assert set(names()) == promised | {"herd", "twelve-months"}


def test_together_they_use_every_protection() -> None:
    assert {used for name in names() for used in packaged(name).protections.named()} == set(ALL_PROTECTIONS)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="flod is no packaged scenario; expected one of flush, herd, hot-key"):
        fields("flod")


def test_a_scenario_is_the_same_when_written_and_read_again() -> None:
    scenario = packaged("zone-lost")
    assert Scenario.model_validate(scenario.model_dump(mode="json", by_alias=True)) == scenario
