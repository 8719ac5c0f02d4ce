"""Headers: of a request they become its `Context`, a malformed one is refused in a sentence; and those of an answer."""

import re
from collections.abc import Callable, Iterable
from math import ceil

from kvservice.core.conditions import Conditions, etag
from kvservice.core.envelope import MAX_CONTENT_TYPE_BYTES
from kvservice.core.records import Found, Written
from kvservice.core.request import Consistency, Context, Deadline, Priority
from kvservice.core.session import Sessions
from kvservice.errors import InvalidRequest

MAX_DEADLINE_MS = 60_000
MAX_TTL_S = 10 * 366 * 86_400
MAX_IDEMPOTENCY_KEY = 255
DEFAULT_CONTENT_TYPE = "application/octet-stream"
_UNKEPT = ("content-encoding", "content-range")
_TOKEN = re.compile(rf"[\x21-\x7e]{{1,{MAX_IDEMPOTENCY_KEY}}}")
_CONTENT_TYPE = re.compile(r"[\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")


class Sent:
    """The headers of a request, by lower-case name."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            self._values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def all(self, name: str) -> str | None:
        """A list header: its lines, joined."""
        values = self._values.get(name)
        return None if values is None else ", ".join(values)

    def one(self, name: str) -> str | None:
        values = self._values.get(name, ())
        if len(values) > 1:
            raise InvalidRequest(f"{name} was sent {len(values)} times, one is expected")
        return values[0].strip() if values else None

    def number(self, name: str, low: int, high: int) -> int | None:
        text = self.one(name)
        return None if text is None else whole(text, name, low, high)


def whole(text: str, what: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise InvalidRequest(f"{what} is {text[:40]!r}, expected a whole number from {low} to {high}")
    return int(text)


def deadline(sent: Sent, default_s: float) -> Deadline:
    deadline_ms = sent.number("kv-deadline-ms", 1, MAX_DEADLINE_MS)
    return Deadline.after(default_s if deadline_ms is None else deadline_ms / 1000)


def context(sent: Sent, sessions: Sessions, subject: str, until: Deadline) -> Context:
    return Context(
        deadline=until,
        session=sessions.open(sent.all("kv-session")),
        subject=subject,
        consistency=_consistency(sent.one("kv-consistency")),
        priority=_priority(sent.one("kv-priority")),
        conditions=Conditions(sent.all("if-match") or None, sent.all("if-none-match") or None),
        idempotency_key=_idempotency_key(sent.one("idempotency-key")),
        ttl_s=sent.number("kv-ttl", 0, MAX_TTL_S),
    )


def content_type(sent: Sent) -> str:
    """Of a value that is to be kept."""
    for name in _UNKEPT:
        if name in sent:
            raise InvalidRequest(f"{name} is not kept with a value; send the whole value, plain")
    return kept_content_type(sent.one("content-type") or DEFAULT_CONTENT_TYPE, "content-type")


def kept_content_type(text: str, what: str) -> str:
    """One that can be given back as a header."""
    if len(text) > MAX_CONTENT_TYPE_BYTES:
        raise InvalidRequest(f"{what} has {len(text)} bytes, at most {MAX_CONTENT_TYPE_BYTES} are allowed")
    if not _CONTENT_TYPE.fullmatch(text):
        raise InvalidRequest(f"{what} {text!r} is not a header value; expected printable Latin-1, such as text/plain")
    return text


def of_session(context: Context, *, always: bool = False) -> dict[str, str]:
    """A new token if the request carried one, or `always`; and whether an answer is behind the session."""
    session = context.session
    token = {"kv-session": session.token()} if always or session.is_carried else {}
    return token if session.is_satisfied else {**token, "kv-session-satisfied": "no"}


def of_found(found: Found, now_us: Callable[[], int]) -> dict[str, str]:
    """All that is to be said about a copy beside its content type."""
    headers = {"etag": etag(found.envelope.version)}
    if found.age_s is not None:
        headers["age"] = str(age(found.age_s))
    if found.stale_s is not None:
        headers["kv-stale"] = str(stale(found.stale_s))
    if (left_s := ttl_left_s(found.envelope.expires_us, now_us)) is not None:
        headers["kv-ttl"] = str(left_s)
    return headers


def age(seconds: float) -> int:
    """Whole seconds since the store was asked; rounded down, as HTTP does."""
    return max(0, int(seconds))


def stale(seconds: float) -> int:
    """Whole seconds past freshness: rounded up, because 0 would read as fresh."""
    return max(1, ceil(seconds))


def ttl_left_s(expires_us: int, now_us: Callable[[], int]) -> int | None:
    """Whole seconds until then, at least 1; None: never."""
    return max(1, ceil((expires_us - now_us()) / 1_000_000)) if expires_us else None


def of_written(written: Written, context: Context) -> dict[str, str]:
    replayed = {"idempotency-replayed": "true"} if written.replayed else {}
    return {**of_session(context, always=True), **replayed}


def _consistency(text: str | None) -> Consistency:
    try:
        return Consistency.SESSION if text is None else Consistency(text)
    except ValueError:
        raise InvalidRequest(f"kv-consistency is {text!r}, expected one of {', '.join(Consistency)}") from None


def _priority(text: str | None) -> Priority:
    known = {each.name.lower(): each for each in Priority}
    if text is not None and text not in known:
        raise InvalidRequest(f"kv-priority is {text!r}, expected one of {', '.join(known)}")
    return Priority.NORMAL if text is None else known[text]


def _idempotency_key(text: str | None) -> str | None:
    if text is not None and not _TOKEN.fullmatch(text):
        raise InvalidRequest(
            f"idempotency-key has {len(text)} characters, expected 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters"
        )
    return text
