"""What a user wrote -> Inputs, or one sentence that says what is wrong with it."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kvplan.errors import InputError
from kvplan.plan.inputs import Inputs

_EXPECTED = {  # pydantic's type of error -> in words, with its context filled in
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "{le:g} or less",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "too_short": "{min_length} or more of them",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "enum": "{expected}",
    "model_type": "fields with names",
    "mapping_type": "fields with names",
    "tuple_type": "a list",
}
_NOT_WRITTEN = re.compile(r"constrained-|\[")  # parts of pydantic's paths that are not the user's
_OR_RANGE = "constrained-float"  # in pydantic's path: the one number that stands for a range of three


def read_inputs(data: Mapping[str, Any]) -> Inputs:
    """From camelCase fields, as YAML has them. Raises InputError for the first that makes no sense."""
    try:
        return Inputs.model_validate(data)
    except ValidationError as error:
        raise InputError(sentence(error)) from None


def sentence(error: ValidationError, *, tags: Collection[str] = ()) -> str:
    """What is wrong with the first field that is: what was seen, and what was expected. `tags`: the kinds that a field
    may say an object is of."""
    first = _meant(error.errors(include_url=False))
    path = ".".join(str(part) for part in first["loc"] if part not in tags and not _NOT_WRITTEN.search(str(part)))
    match first["type"]:
        case "missing":
            return f"{path} is missing; expected a value, for there is no default"
        case "extra_forbidden":
            return f"{path} is no field that is known; expected one that is, perhaps it is misspelt"
        case "union_tag_not_found":
            return f"{path}.{_tag_field(first)} is missing; expected one of {', '.join(tags)}"
        case "union_tag_invalid":
            return f"{path}.{_tag_field(first)} is {first['ctx']['tag']!r}; expected one of {', '.join(tags)}"
        case "value_error":
            says = first["msg"].removeprefix("Value error, ")
            return f"{path}: {says}" if path else says
        case kind:
            expected = _EXPECTED[kind].format(**first.get("ctx", {})) if kind in _EXPECTED else first["msg"]
            ranges = ", or low, mid and high" if _OR_RANGE in first["loc"] else ""
            return f"{path} is {_seen(first['input'])}; expected {expected}{ranges}"


def _meant(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """The first; of a range that is none, what is wrong with the range and not that it is no number."""
    first = errors[0]
    if _OR_RANGE in first["loc"] and isinstance(first["input"], Mapping):
        return errors[1]
    return first


def _tag_field(error: ErrorDetails) -> str:
    return str(error["ctx"]["discriminator"]).strip("'")


def _seen(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
