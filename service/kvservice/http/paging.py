"""Page tokens: where a range goes on. Opaque and signed, so that a client can neither make one nor use it elsewhere.

Token: base64url of the prefix's length (2 bytes), prefix, last item looked at, and the first 16 bytes of an HMAC-SHA256
over that and over namespace and id.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import NamedTuple

from kvservice.errors import InvalidRequest

_MAC_BYTES = 16


class Place(NamedTuple):
    """In a range: items with the prefix, after that one."""

    prefix: str
    after: str


class Pages:
    """All pods share the secret, so that any of them goes on where another ended."""

    def __init__(self, secret: bytes, name_bytes: int) -> None:
        self._secret = secret
        self._max_chars = 4 * (2 + 2 * name_bytes + _MAC_BYTES) // 3 + 4

    def token(self, namespace: str, id_: str, place: Place) -> str:
        prefix = place.prefix.encode()
        body = len(prefix).to_bytes(2) + prefix + place.after.encode()
        return urlsafe_b64encode(body + self._mac(namespace, id_, body)).decode().rstrip("=")

    def place(self, namespace: str, id_: str, token: str) -> Place:
        """Raises InvalidRequest if it was not given out for this namespace and id."""
        sealed = _unwrapped(token) if len(token) <= self._max_chars else b""
        body, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
        if not hmac.compare_digest(self._mac(namespace, id_, body), mac):
            raise InvalidRequest(
                "page is no token that was given out for this namespace and id; send `next` of the page before"
            )
        end = 2 + int.from_bytes(body[:2])
        return Place(body[2:end].decode(), body[end:].decode())

    def _mac(self, namespace: str, id_: str, body: bytes) -> bytes:
        bound = f"page\0{namespace}\0{id_}\0".encode() + body  # neither name contains NUL
        return hmac.digest(self._secret, bound, "sha256")[:_MAC_BYTES]


def _unwrapped(token: str) -> bytes:
    """b"" if it is no base64url."""
    try:
        return urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (UnicodeEncodeError, Base64Error):
        return b""
