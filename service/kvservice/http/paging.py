"""Page tokens: where a range goes on. Opaque and signed, so that a client can neither make one nor use it elsewhere.

Token: sealed (`kvservice.core.sealed`) for namespace and id, of the prefix's length (2 bytes), prefix, last item looked
at.
"""

from typing import NamedTuple

from kvservice.core import sealed
from kvservice.errors import InvalidRequest


class Place(NamedTuple):
    """In a range: items with the prefix, after that one."""

    prefix: str
    after: str


class Pages:
    """All pods share the secret, so that any of them goes on where another ended."""

    def __init__(self, secret: bytes, name_bytes: int) -> None:
        self._secret = secret
        self._max_chars = 4 * (2 + 2 * name_bytes + sealed.MAC_BYTES) // 3 + 4

    def token(self, namespace: str, id_: str, place: Place) -> str:
        prefix = place.prefix.encode()
        body = len(prefix).to_bytes(2) + prefix + place.after.encode()
        return sealed.seal(self._secret, _label(namespace, id_), body)

    def place(self, namespace: str, id_: str, token: str) -> Place:
        """Raises InvalidRequest if it was not given out for this namespace and id."""
        body = sealed.opened(self._secret, _label(namespace, id_), token, self._max_chars)
        if body is None:
            raise InvalidRequest(
                "page is no token that was given out for this namespace and id; send `next` of the page before"
            )
        end = 2 + int.from_bytes(body[:2])
        return Place(body[2:end].decode(), body[end:].decode())


def _label(namespace: str, id_: str) -> bytes:
    return f"page\0{namespace}\0{id_}\0".encode()  # neither name contains NUL
