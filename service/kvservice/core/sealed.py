"""Tokens that clients carry for us: base64url of a body and of the first 16 bytes of an HMAC-SHA256 over a label, which
says what the token is for, and that body. So nobody can make one, or use one of another kind or place."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

MAC_BYTES = 16


def seal(secret: bytes, label: bytes, body: bytes) -> str:
    return urlsafe_b64encode(body + _mac(secret, label, body)).decode().rstrip("=")


def opened(secret: bytes, label: bytes, token: str, max_chars: int) -> bytes | None:
    """The body; None if the token was not sealed with that secret and label, or is longer than any."""
    if len(token) > max_chars:
        return None
    try:
        sealed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (UnicodeEncodeError, Base64Error):
        return None
    body, mac = sealed[:-MAC_BYTES], sealed[-MAC_BYTES:]
    return body if hmac.compare_digest(_mac(secret, label, body), mac) else None


def _mac(secret: bytes, label: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, label + body, "sha256")[:MAC_BYTES]
