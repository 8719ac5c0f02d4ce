"""Namespaces: what the records of each may be, and who may touch them. Configuration, from the KVCluster."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kvservice.errors import UnknownNamespace

NAME_PATTERN = r"^[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?$"
OTHERS = "*"  # the name of the policy for namespaces that are not listed
ANYONE = "*"  # in an access list: whoever the server let in


class WriteMode(StrEnum):
    LWW = "lww"
    """Every region takes writes; of concurrent ones the highest version wins. No conditions, no PATCH."""
    CAS = "cas"
    """Every write is a compare-and-set in the home region."""


class Elsewhere(StrEnum):
    """What a read does when this region has not yet got what the session saw in another."""

    WAIT = "wait"
    """Waits for it within the deadline, then refuses."""
    REFUSE = "refuse"
    MARK = "mark"
    """Answers with what there is, and says so."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)


Subjects = Annotated[tuple[str, ...], Field(max_length=64)]


class Access(_Model):
    read: Subjects = (ANYONE,)
    write: Subjects = (ANYONE,)


class Namespace(_Model):
    """`ttl_s`: of records whose writer names none; 0 is for ever. `requests_per_second`: for each pod; 0 is no limit.
    `home`: the region that takes the writes of a `cas` namespace; "" is this one."""

    name: Annotated[str, Field(pattern=rf"^\*$|{NAME_PATTERN}")]
    write_mode: WriteMode = WriteMode.LWW
    home: Annotated[str, Field(pattern=r"^$|^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)] = ""
    ttl_s: Annotated[int, Field(ge=0, le=10 * 366 * 86400)] = 0
    value_bytes: Annotated[int | None, Field(ge=1)] = None
    requests_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    session_elsewhere: Elsewhere = Elsewhere.WAIT
    access: Access = Access()


class Namespaces:
    """`policies`: at most one a name. The one named `*` is for all names that are not listed; without it they do not
    exist."""

    def __init__(self, policies: Sequence[Namespace]) -> None:
        self._by_name = {policy.name: policy for policy in policies}

    def of(self, name: str) -> Namespace:
        """Raises UnknownNamespace."""
        policy = self._by_name.get(name) or self._by_name.get(OTHERS)
        if policy is None:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise UnknownNamespace(f"there is no namespace {name!r} here; there are: {known}")
        return policy
