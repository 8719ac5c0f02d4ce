"""The course of one call: which region to ask, how long, when again, when to give up. Pure: `Attempts.steps` yields
what to do next, and is told what came of it.

What may be repeated: reads always; a write in the region that may have done it, because its Idempotency-Key makes it
one write there. Regions do not know each other's keys in time, so a write whose outcome is unclear is not taken to
another region (unless the caller says that it may be done twice); one that surely was not begun is.
"""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import httpx

from kvclient import errors
from kvclient.answers import Fate, Reply, problem_of, rejection, retry_after_s
from kvclient.budget import Budget
from kvclient.calls import Call
from kvclient.regions import Regions

PATIENCE_S = 1.0  # an attempt gets half of the time left, so that another can follow, but not less than this
BACKOFF_S, BACKOFF_MAX_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class Send:
    """Send it there; who has not answered by then is not waited for."""

    region: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    region: str
    response: httpx.Response


Steps = Generator[Send | Wait, Reply, Answer]


@dataclass(slots=True)
class Attempts:
    """`random`: from 0 to 1. `may_repeat_elsewhere`: writes may be done once a region."""

    call: Call
    regions: Regions
    retries: Budget
    now_s: Callable[[], float]
    random: Callable[[], float]
    may_repeat_elsewhere: bool = False
    _last: Reply | None = field(default=None, init=False)
    _stay: str | None = field(default=None, init=False)  # the only region that is right by now
    _unclear: bool = field(default=False, init=False)  # of a write: some attempt may have been done
    _tried: set[str] = field(default_factory=set, init=False)
    _failures: Counter[str] = field(default_factory=Counter, init=False)  # by region: it was slow, failed, was behind
    _not_before_s: dict[str, float] = field(default_factory=dict, init=False)  # by region: what it asked for
    _refusal: httpx.Response | None = field(default=None, init=False)  # the last one
    _redirects: int = field(default=0, init=False)
    _retried: int = field(default=0, init=False)

    def steps(self) -> Steps:
        """Wait is answered by any reply. Raises KvClientError."""
        self.retries.request()
        while True:
            region = self._stay or self.regions.choose(
                self.call.namespace, self.now_s(), is_write=self.call.key is not None, failures=self._failures
            )
            if self._last is not None and not self._is_free(region, self._last):
                yield Wait(self._pause_s(region))
            if self._left_s() <= 0:
                raise self._given_up("the deadline has passed")
            self._tried.add(region)
            reply = yield Send(region, self.now_s() + max(self._left_s() / 2, min(self._left_s(), PATIENCE_S)))
            self._note(region, reply)
            if reply.fate is Fate.DONE and reply.response is not None:
                return Answer(region, self._conclusive(reply, reply.response))
            if reply.fate is Fate.CROWDED:
                raise self._given_up("wait for some of them, or raise max_connections")

    def _note(self, region: str, reply: Reply) -> None:
        """What the reply teaches about the regions, and about where the call can still go."""
        self._last = reply
        if reply.fate is Fate.REFUSED:
            self._refusal = reply.response
        self._not_before_s[region] = self.now_s() + (retry_after_s(reply.response) or 0.0)
        if reply.is_late or reply.fate is Fate.FAILED or (reply.fate is Fate.REFUSED and not reply.is_limit):
            self._failures[region] += 1
        match reply.fate:
            case Fate.NOT_SENT:
                self.regions.failed(region, self.now_s(), at_once=True)
            case Fate.FAILED:
                self.regions.failed(region, self.now_s())
            case Fate.UNCLEAR:
                self.regions.failed(region, self.now_s())
                if self.call.key is not None:
                    self._unclear = True
                    self._stay = None if self.may_repeat_elsewhere else region
            case Fate.ELSEWHERE:
                self.regions.succeeded(region)
                self._stay = self._home(reply)
            case Fate.DONE | Fate.REFUSED:
                self.regions.succeeded(region)

    def _home(self, reply: Reply) -> str:
        """The region that the answer names. Raises NotHome if it is none of ours, or if they send us in a circle."""
        if self._unclear or reply.response is None:
            raise self._given_up("the namespace's writes have moved to another region")
        home = str(problem_of(reply.response).get("home", ""))
        self._redirects += 1
        if home not in self.regions.names or self._redirects > len(self.regions.names):
            raise rejection(reply.response)
        self.regions.remember_home(self.call.namespace, home)
        return home

    def _is_free(self, region: str, last: Reply) -> bool:
        """Whether going there is no retry: nobody has begun the call yet, and this region was not asked."""
        return last.fate is Fate.ELSEWHERE or (last.fate is Fate.NOT_SENT and region not in self._tried)

    def _pause_s(self, region: str) -> float:
        """Exponential with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), at least what the service
        of that region asked for. Raises if there is neither time nor budget for another attempt."""
        backoff_s = self.random() * min(BACKOFF_MAX_S, BACKOFF_S * 2.0**self._retried)
        pause_s = max(backoff_s, self._not_before_s.get(region, 0.0) - self.now_s())
        if pause_s >= self._left_s():
            raise self._given_up("the deadline leaves no time for another attempt")
        if not self.retries.take():
            raise self._given_up("not tried again: 10 % of the recent requests were retries already")
        self._retried += 1
        return pause_s

    def _conclusive(self, reply: Reply, response: httpx.Response) -> httpx.Response:
        """An answer to who asks says nothing of an attempt before it, or beside it, that may have been done."""
        if self.call.key is not None and response.status_code in {401, 403} and (self._unclear or reply.copies > 1):
            self._unclear = True
            raise self._given_up("an earlier attempt may have been let in")
        return response

    def _given_up(self, why: str) -> errors.KvClientError:
        last = self._last
        message = f"{self.call}: {why}" if last is None else f"{self.call}: {last}; {why}"
        if self._unclear and self.call.key is not None:
            return errors.OutcomeUnknown(
                f"{message}. It may have been done, or not: read it, or repeat it with its idempotency_key",
                self.call.key,
            )
        if last is None or last.is_late:
            return errors.DeadlineExceeded(message)
        if last.fate is Fate.REFUSED and last.response is not None:
            return rejection(last.response)
        if last.fate is Fate.NOT_SENT and self._refusal is not None:  # who answered tells more
            return rejection(self._refusal)
        return errors.Unavailable(message)

    def _left_s(self) -> float:
        return self.call.until_s - self.now_s()
