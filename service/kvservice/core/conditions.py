"""If-Match and If-None-Match (RFC 9110, 13.1): entity tags are versions, written `"<decimal>"`."""

import re
from dataclasses import dataclass

from kvservice.errors import InvalidRequest

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"{_TAG}(?:\s*,\s*{_TAG})*")
_EACH = re.compile(_TAG)


def etag(version: int) -> str:
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Conditions:
    """Header values as sent; None: not sent."""

    if_match: str | None = None
    if_none_match: str | None = None

    def match_holds(self, present: int | None) -> bool:
        """If-Match compares strongly: a weak tag never matches."""
        return self.if_match is None or _names(self.if_match, present, "If-Match", weak=False)

    def none_match_holds(self, present: int | None) -> bool:
        return self.if_none_match is None or not _names(self.if_none_match, present, "If-None-Match", weak=True)

    def admit(self, present: int | None) -> bool:
        """Whether a write may replace version `present` (None: there is no record). Raises InvalidRequest."""
        return self.match_holds(present) and self.none_match_holds(present)


def _names(header: str, present: int | None, name: str, *, weak: bool) -> bool:
    if header.strip() == "*":
        return present is not None
    if not _LIST.fullmatch(header.strip()):
        raise InvalidRequest(f'{name}: {header!r} is neither * nor a list of entity tags such as "1764000000000000"')
    if present is None:
        return False
    wanted = {etag(present), f"W/{etag(present)}"} if weak else {etag(present)}
    return not wanted.isdisjoint(_EACH.findall(header))
