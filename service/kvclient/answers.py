"""What an answer means: for the attempts (`Fate`), and for the caller (a record, an error). Pure."""

import json
import re
from base64 import b64decode
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import httpx

from kvclient import errors
from kvclient.records import OCTETS, Head, Item, Record, Written

PROBLEM_ROOT = "https://kvcluster.dev/problems/"
PROBLEM = "application/problem+json"
# How Envoy says, by default, that it has reached no pod.
_NO_POD = re.compile(rb"no healthy upstream|upstream connect error.*reset reason: (local |remote )?connection failure")


class Fate(IntEnum):
    """What became of a request, the least certain last."""

    DONE = 0
    """Answered, and the answer is final."""
    NOT_SENT = 1
    """Nobody was there to take it."""
    CROWDED = 2
    """All of our own connections were busy: it was not sent."""
    ELSEWHERE = 3
    """Another region takes the namespace's writes."""
    REFUSED = 4
    """Not now, and nothing was done: a limit, or a session that must wait."""
    FAILED = 5
    """The service says that it cannot, and that nothing was done."""
    UNCLEAR = 6
    """Sent, and no word of whether it was done."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`said`: for a message, where `response` is None. `is_late`: the time of the attempt was over. `copies`: requests
    that were sent at once."""

    fate: Fate
    response: httpx.Response | None = None
    said: str = ""
    is_late: bool = False
    copies: int = 1

    def __str__(self) -> str:
        return self.said if self.response is None else _summary(self.response)

    @property
    def is_limit(self) -> bool:
        return self.response is not None and self.response.status_code == 429

    @classmethod
    def of(cls, response: httpx.Response) -> "Reply":
        return cls(_fate(response), response, is_late=response.status_code == 504)


def _fate(response: httpx.Response) -> Fate:
    slug = problem_slug(response)
    match response.status_code:
        case 421:
            return Fate.ELSEWHERE
        case 429:
            return Fate.REFUSED
        case 409 if slug == "session-not-satisfied":
            return Fate.REFUSED
        case 503 if slug:
            return Fate.FAILED
        case 503 if _NO_POD.search(response.content):
            return Fate.NOT_SENT
        case status if status >= 500:
            return Fate.UNCLEAR
        case _:
            return Fate.DONE


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem's members; {} if it is none. That of a HEAD has no members, and is known by its media type."""
    if not response.headers.get("content-type", "").startswith(PROBLEM):
        return {}
    try:
        members = json.loads(response.content)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def problem_slug(response: httpx.Response) -> str:
    return _slug(problem_of(response))


def _slug(problem: dict[str, Any]) -> str:
    kind = str(problem.get("type", ""))
    return kind.removeprefix(PROBLEM_ROOT) if kind.startswith(PROBLEM_ROOT) else ""


def _summary(response: httpx.Response) -> str:
    return str(rejection(response))


def is_absent(response: httpx.Response) -> bool:
    """404 because there is no such record; the 404 of a HEAD does not tell why, and is taken for it. Raises
    SessionNotSatisfied if the region says that it is behind, because an absence cannot carry that mark."""
    if response.status_code != 404:
        return False
    if response.request.method == "HEAD":
        is_absent = str(response.headers.get("content-type", "")).startswith(PROBLEM)
    else:
        is_absent = problem_slug(response) == "record-not-found"
    if is_absent and not _is_satisfied(response):
        raise _behind(response)
    return is_absent


def _behind(response: httpx.Response) -> errors.SessionNotSatisfied:
    return errors.SessionNotSatisfied(
        response.status_code, "", "the region has not got what the session saw elsewhere; wait, or read without it"
    )


def _is_satisfied(response: httpx.Response) -> bool:
    return bool(response.headers.get("kv-session-satisfied") != "no")


def retry_after_s(response: httpx.Response | None) -> float | None:
    said = "" if response is None else response.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else None


def expected(response: httpx.Response, *statuses: int) -> httpx.Response:
    """The response itself. Raises Rejected if its status is none of these."""
    if response.status_code not in statuses:
        raise rejection(response)
    return response


def rejection(response: httpx.Response) -> errors.Rejected:
    """The error of an answer that is none of success."""
    problem = problem_of(response)
    return _rejected(response.status_code, problem, _detail(response, problem), retry_after_s(response))


def _detail(response: httpx.Response, problem: dict[str, Any]) -> str:
    if "detail" in problem:
        return str(problem["detail"])
    said = response.text[:200].strip() or response.reason_phrase
    return f"{said}; this is no answer of the service, are address and host right?"


def _rejected(status: int, problem: dict[str, Any], detail: str, after_s: float | None) -> errors.Rejected:
    slug = _slug(problem)
    match status:
        case 401:
            return errors.Unauthenticated(status, slug, detail)
        case 403:
            return errors.Forbidden(status, slug, detail)
        case 409 if slug == "session-not-satisfied":
            return errors.SessionNotSatisfied(status, slug, detail)
        case 412:
            present = problem.get("version")
            return errors.PreconditionFailed(status, slug, detail, None if present is None else int(present))
        case 421:
            return errors.NotHome(status, slug, detail, str(problem.get("home", "")))
        case 429:
            return errors.RateLimited(status, slug, detail, after_s)
        case _:
            return errors.Rejected(status, slug, detail)


def head(response: httpx.Response, region: str) -> Head:
    return Head(**_described(response), **_about(response, region))


def record(response: httpx.Response, region: str) -> Record:
    return Record(**_described(response), **_about(response, region), value=response.content)


def unchanged(known: Record, response: httpx.Response, region: str) -> Record:
    """The known record, as a 304 confirms it."""
    return replace(known, **_about(response, region))


def written(response: httpx.Response) -> Written:
    replayed = response.headers.get("idempotency-replayed") == "true"
    return Written(_version(response.headers.get("etag")), response.status_code == 201, replayed)


def items(response: httpx.Response) -> tuple[list[Item], str]:
    """-> a page, and the token of the next one ("": there is none). Raises SessionNotSatisfied if it may lack some."""
    if not _is_satisfied(response):
        raise _behind(response)
    body = _json(response)
    page = [
        Item(each["item"], b64decode(each["value"]), each["contentType"], int(each["version"]), each.get("ttlS"))
        for each in body["items"]
    ]
    return page, body["next"] or ""


def records_read(response: httpx.Response, region: str) -> list[Record | errors.KvClientError | None]:
    return [_one_read(result, response, region) for result in _json(response)["results"]]


def _one_read(result: dict[str, Any], response: httpx.Response, region: str) -> Record | errors.KvClientError | None:
    if result["status"] == 200:
        return Record(
            content_type=result["contentType"],
            version=int(result["version"]),
            region=region,
            age_s=result.get("ageS"),
            stale_s=result.get("staleS"),
            ttl_s=result.get("ttlS"),
            session_satisfied=result.get("sessionSatisfied", True),
            value=b64decode(result["value"]),
        )
    problem = result.get("problem", {})
    if _slug(problem) == "record-not-found":
        return None if _is_satisfied(response) else _behind(response)
    return _one_error(result["status"], problem, None)


def is_too_large(result: Record | errors.KvClientError | None) -> bool:
    """Whether the value is there, but had no room among the others."""
    return isinstance(result, errors.Rejected) and result.status == 413


def records_written(response: httpx.Response, key: str) -> list[Written | errors.KvClientError]:
    """`key`: the batch's Idempotency-Key, of which each write has one of its own."""
    results = enumerate(_json(response)["results"])
    return [_one_written(result, f"{key}/{number}") for number, result in results]


def _one_written(result: dict[str, Any], key: str) -> Written | errors.KvClientError:
    status = result["status"]
    if status < 300:
        version = result.get("version")
        return Written(None if version is None else int(version), status == 201, bool(result.get("replayed")))
    return _one_error(status, result.get("problem", {}), key)


def _one_error(status: int, problem: dict[str, Any], key: str | None) -> errors.KvClientError:
    detail = str(problem.get("detail", "the service gave no reason"))
    match status:
        case 503:
            return errors.Unavailable(detail)
        case _ if status >= 500 and key is not None:
            return errors.OutcomeUnknown(detail, key)
        case 504:
            return errors.DeadlineExceeded(detail)
        case _:
            return _rejected(status, problem, detail, None)


def _version(tag: str | None) -> int | None:
    """Of an entity tag; a gateway that compresses makes it a weak one."""
    digits = (tag or "").removeprefix("W/").strip('"')
    return int(digits) if digits.isdecimal() else None


def _described(response: httpx.Response) -> dict[str, Any]:
    version = _version(response.headers.get("etag"))
    if version is None:
        raise rejection(response)
    return {"content_type": response.headers.get("content-type", OCTETS), "version": version}


def _about(response: httpx.Response, region: str) -> dict[str, Any]:
    return {
        "region": region,
        "age_s": _whole(response, "age"),
        "stale_s": _whole(response, "kv-stale"),
        "ttl_s": _whole(response, "kv-ttl"),
        "session_satisfied": _is_satisfied(response),
    }


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise rejection(response) from None


def _whole(response: httpx.Response, header: str) -> int | None:
    said = response.headers.get(header, "")
    return int(said) if said.isdecimal() else None
