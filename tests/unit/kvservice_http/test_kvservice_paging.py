"""The range of an id's items: its parameters, its pages, its tokens."""

from base64 import b64encode
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvhttp import NOW_US, Service, envelope, problem

from kvservice.core.records import Listed
from kvservice.errors import InvalidRequest
from kvservice.http.paging import Pages, Place

URL = "/v1/kv/demo/a/items"
PAGES = Pages(b"secret", 64)
names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=16)


async def test_a_range_is_asked_for_as_it_was_sent(service: Service, client: httpx.AsyncClient) -> None:
    await client.get(URL, params={"prefix": "ü/", "after": "ü/7 +", "limit": "5"})

    assert service.records.asked == [("items", "demo", "a", "ü/", "ü/7 +", 5)]


async def test_a_range_has_usual_bounds(service: Service, client: httpx.AsyncClient) -> None:
    answer = await client.get(URL)

    assert service.records.asked == [("items", "demo", "a", "", "", 100)]
    assert answer.json() == {"items": [], "next": None}


async def test_a_page_has_values_in_base64_and_versions_as_strings(service: Service, client: httpx.AsyncClient) -> None:
    service.records.listed = Listed(
        [("x", envelope(b"\x00\xff", 2**62)), ("y", envelope(expires_us=NOW_US + 5_000_000))], None
    )

    assert (await client.get(URL)).json()["items"] == [
        {"item": "x", "version": str(2**62), "contentType": "text/plain", "value": "AP8="},
        {
            "item": "y",
            "version": "7",
            "contentType": "text/plain",
            "value": b64encode(b"world").decode(),
            "ttlS": 5,
        },
    ]


async def test_the_next_page_goes_on_after_the_last_item_looked_at(service: Service, client: httpx.AsyncClient) -> None:
    service.records.listed = Listed([], "p/ü")
    page = (await client.get(URL, params={"prefix": "p/"})).json()["next"]
    await client.get(URL, params={"page": page, "limit": "3"})

    assert service.records.asked[-1] == ("items", "demo", "a", "p/", "p/ü", 3)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=", "whole number"),
        ("limit=%C2%B2", "whole number"),
        ("limit=1&limit=2", "more than once"),
        ("prefx=a", "'prefx'"),
        ("prefix=%FF", "UTF-8"),
        ("prefix=%00", "NUL"),
        ("after=" + "a" * 65, "65 bytes"),
        ("page=x", "no token"),
        ("page=", "no token"),
        ("page=%C3%BC", "no token"),
        ("page=" + "a" * 9000, "no token"),
        ("page=x&after=b", "leave out"),
        ("&".join(f"a{number}=" for number in range(17)), "16 parameters"),
    ],
)
async def test_a_wrong_query_is_refused_in_words(
    service: Service, client: httpx.AsyncClient, query: str, says: str
) -> None:
    answer = await client.get(f"{URL}?{query}")

    assert problem(answer) == (422, "invalid-request")
    assert says in answer.json()["detail"]
    assert service.records.asked == []


@given(prefix=names, after=names)
def test_a_token_holds_its_place(prefix: str, after: str) -> None:
    place = Place(prefix, after)

    assert PAGES.place("ns", "id", PAGES.token("ns", "id", place)) == place


def test_the_longest_names_fit_into_a_token() -> None:
    place = Place("ü" * 32, "ü" * 32)

    assert PAGES.place("ns", "id", PAGES.token("ns", "id", place)) == place


@pytest.mark.parametrize("where", [("ns", "other"), ("other", "id"), ("nsi", "d")])
def test_a_token_is_good_for_its_namespace_and_id_only(where: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        PAGES.place(*where, PAGES.token("ns", "id", Place("", "x")))


def test_a_token_of_pods_with_another_secret_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        PAGES.place("ns", "id", Pages(b"other", 64).token("ns", "id", Place("", "x")))


@given(st.data())
def test_a_changed_token_is_refused(data: Any) -> None:
    token = PAGES.token("ns", "id", Place("a", "b"))
    at = data.draw(st.integers(0, len(token) - 2))  # the last letter has bits that mean nothing
    letter = data.draw(st.sampled_from("ABCabc019-_").filter(lambda each: each != token[at]))

    with pytest.raises(InvalidRequest):
        PAGES.place("ns", "id", token[:at] + letter + token[at + 1 :])
