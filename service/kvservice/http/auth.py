"""Who asks: a bearer token's subject, by a file of hashed keys, or by a JWT that somebody else has signed (RFC 7519).

Static keys are random and long, so one SHA-256 is enough. JWTs are checked with the public keys of a JWKS, a file or a
URL; requests wait for it only if they come with a key id that was never seen. While it is out of reach the known keys
go on being good, and a token with an unknown key id is answered 503, because it may be a good one.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kvservice.errors import KeysUnavailable, SettingsError, Unauthenticated

ANONYMOUS = "anonymous"
ALGORITHMS = ("RS256", "ES256", "EdDSA")
FRESH_S = 300.0  # how long a withdrawn key may still be good
AGAIN_S = 10.0  # between two fetches: tokens with made-up key ids must not load the issuer
FETCH_TIMEOUT_S = 5.0
LEEWAY_S = 30  # issuers' clocks
MAX_CHARS = 8192
_BEARER = re.compile(rf"(?i:bearer) +([A-Za-z0-9._~+/=-]{{1,{MAX_CHARS}}})")
_NEEDED = ["exp", "iss", "aud", "sub"]
log = logging.getLogger(__name__)

Text = Annotated[str, Field(min_length=1, max_length=253)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StaticKey(_Model):
    """`sha256`: of the token, hexadecimal."""

    subject: Text
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


class Issuer(_Model):
    """`jwks`: an https:// or http:// URL, or a file's path."""

    jwks: Text
    issuer: Text
    audience: Text


class AuthFile(_Model):
    keys: Annotated[tuple[StaticKey, ...], Field(max_length=256)] = ()
    jwt: Issuer | None = None


def load(path: Path) -> AuthFile:
    """Raises SettingsError, which never quotes what is in the file."""
    try:
        return AuthFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"KV_AUTH_FILE={path}: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
        raise SettingsError(f"KV_AUTH_FILE={path}: {wrong}") from None


class Authenticator:
    """`file`: None lets everyone in, as `anonymous`."""

    def __init__(self, file: AuthFile | None, now_s: Callable[[], float]) -> None:
        self._file = file
        keys = file.keys if file else ()
        self._hashes = [(bytes.fromhex(key.sha256), key.subject) for key in keys]
        self._issuer = file.jwt if file else None
        self._signers = Signers(self._issuer.jwks, now_s) if self._issuer else None

    async def subject(self, authorization: str | None) -> str:
        """From the value of `Authorization`. Raises Unauthenticated, KeysUnavailable."""
        if self._file is None:
            return ANONYMOUS
        token = bearer(authorization)
        found = self._by_hash(token)
        if found is not None:
            return found
        if self._issuer is None or self._signers is None or token.count(".") != 2:
            raise Unauthenticated("the bearer token is none that this service knows")
        return await self._by_signature(token, self._issuer, self._signers)

    def _by_hash(self, token: str) -> str | None:
        """Looks at all of them: how long it takes tells nothing."""
        hash_ = sha256(token.encode()).digest()
        found = None
        for known, subject in self._hashes:
            if hmac.compare_digest(known, hash_):
                found = subject
        return found

    async def _by_signature(self, token: str, issuer: Issuer, signers: "Signers") -> str:
        try:
            key = await signers.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise Unauthenticated("the token is signed with a key that the issuer does not publish")
            claims = jwt.decode(
                token,
                key,
                ALGORITHMS,
                options={"require": _NEEDED, "enforce_minimum_key_length": True},
                audience=issuer.audience,
                issuer=issuer.issuer,
                leeway=LEEWAY_S,
            )
        except (jwt.PyJWTError, RecursionError, OverflowError) as error:  # the latter two from odd JSON
            raise Unauthenticated(f"the token does not hold: {error}") from None
        subject = claims["sub"]
        if not subject:
            raise Unauthenticated("the token does not hold: its subject is empty")
        return str(subject)


class Signers:
    """The public keys of a JWKS, by key id. One fetch at a time."""

    def __init__(self, source: str, now_s: Callable[[], float]) -> None:
        self._source = source
        self._now_s = now_s
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._tried_s = -float("inf")
        self._failed = False
        self._fetch: asyncio.Task[None] | None = None

    async def key(self, kid: str | None) -> jwt.PyJWK | None:
        """None if the issuer has none of that id. Raises KeysUnavailable if that cannot be known."""
        known = self._keys.get(kid)
        if known is not None:
            self._refresh(FRESH_S)
            return known
        self._refresh(AGAIN_S)
        if self._fetch is not None:
            await asyncio.shield(self._fetch)
        if self._failed and kid not in self._keys:
            raise KeysUnavailable("the issuer's keys cannot be fetched, so the token cannot be checked; try again")
        return self._keys.get(kid)

    def _refresh(self, older_than_s: float) -> None:
        if self._fetch is None and self._now_s() >= self._tried_s + older_than_s:
            self._tried_s = self._now_s()
            self._fetch = asyncio.create_task(self._fetched())

    async def _fetched(self) -> None:
        """Keeps what it had if there is nothing new to be had; says so when that begins."""
        try:
            keys = jwt.PyJWKSet.from_json(await _document(self._source)).keys
            self._keys = {key.key_id: key for key in keys if key.algorithm_name in ALGORITHMS}
            self._failed = False
        except Exception as error:  # whatever it is, it is the issuer's, and requests must not see it
            if not self._failed:
                log.warning("jwks_unreachable", extra={"source": self._source, "error": repr(error)[:300]})
            self._failed = True
        finally:
            self._fetch = None


def bearer(authorization: str | None) -> str:
    """The token in the value of `Authorization`. Raises Unauthenticated."""
    match = _BEARER.fullmatch(authorization or "")
    if match is None:
        seen = "is not sent" if authorization is None else "is not of this form"
        raise Unauthenticated(f"Authorization: Bearer <token> is expected, and {seen}")
    return match[1]


async def _document(source: str) -> str:
    if not re.match(r"https?://", source):
        return await asyncio.to_thread(Path(source).read_text)
    import httpx  # for those who need it: it takes memory

    async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S) as client, asyncio.timeout(FETCH_TIMEOUT_S):
        answer = await client.get(source)
        answer.raise_for_status()
        return answer.text
