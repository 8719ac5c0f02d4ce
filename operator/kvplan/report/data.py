"""The plan as data for programs: what `--output json` prints, and what can be read back from it."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, RootModel, ValidationError

from kvplan.errors import InputError
from kvplan.plan.outcome import Plan


class _Saved(RootModel[Plan]):
    model_config = ConfigDict(ser_json_inf_nan="strings")  # JSON has no word for infinity


def as_json(plan: Plan) -> dict[str, Any]:
    """Everything of the plan, with the names of `kvplan.plan.outcome` and the inputs in camelCase; what
    `json.dumps` takes."""
    data: dict[str, Any] = json.loads(_Saved(plan).model_dump_json(by_alias=True))
    return data


def read_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `as_json` made this of. Raises InputError if it did not."""
    try:
        return _Saved.model_validate(data).root
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"this is no saved plan: {where}: {first['msg']}") from None
