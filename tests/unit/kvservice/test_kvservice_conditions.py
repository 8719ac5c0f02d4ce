import pytest

from kvservice.core.conditions import Conditions, etag
from kvservice.errors import InvalidRequest


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "present", "admitted"),
    [
        (None, None, None, True),
        (None, None, 5, True),
        ('"5"', None, 5, True),
        ('"5"', None, 6, False),
        ('"5"', None, None, False),
        ('"4", "5"', None, 5, True),
        ('W/"5"', None, 5, False),
        ("*", None, 5, True),
        ("*", None, None, False),
        (None, "*", None, True),
        (None, "*", 5, False),
        (None, '"5"', 5, False),
        (None, 'W/"5"', 5, False),
        (None, '"5"', 6, True),
        ('"5"', '"6"', 5, True),
        ('"5"', "*", 5, False),
    ],
)
def test_a_write_is_admitted_as_its_conditions_say(
    if_match: str | None, if_none_match: str | None, present: int | None, admitted: bool
) -> None:
    assert Conditions(if_match, if_none_match).admit(present) == admitted


@pytest.mark.parametrize("header", ["5", '"5', '"5" "6"', "", '"5",', '*, "5"', '"5"' + ", " * 200 + "x"])
def test_a_list_of_tags_that_cannot_be_read_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest, match="If-Match"):
        Conditions(if_match=header).admit(5)


def test_an_entity_tag_is_strong_and_quoted() -> None:
    assert etag(5) == '"5"'
