"""Downloads over HTTP, checked against published SHA-256 sums: a file is there whole and right, or not at all."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from kvdev.errors import KvdevError, RefusedDownloadError
from kvdev.parts.command import SAY_EVERY_S
from kvdev.parts.store import Say

TIMEOUT_S = 30.0  # of silence, not of the whole download
CHUNK = 1 << 18
MAX_TEXT = 1 << 20


def text(url: str) -> str:
    """A small file (checksums, at most 1 MiB)."""
    with _open(url) as answer:
        return str(answer.read(MAX_TEXT).decode())


def fetch(url: str, path: Path, *, sha256: str, say: Say) -> None:
    """Stream `url` into `path`; RefusedDownloadError, and no file, when its sum is another than `sha256` (hex)."""
    partial = path.with_name(f"{path.name}.partial")
    found = _stream(url, partial, say)
    if found != sha256.strip().lower():
        partial.unlink()
        raise RefusedDownloadError(
            f"{url} has the SHA-256 {found}, but {sha256.strip()} is published for it: refused. "
            "Try again; if it stays so, do not use this source"
        )
    partial.rename(path)


def _stream(url: str, path: Path, say: Say) -> str:
    digest, size, told = hashlib.sha256(), 0, time.monotonic()
    say(f"downloading {url}")
    with _open(url) as answer, path.open("wb") as file:
        try:
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                size += len(chunk)
                if time.monotonic() - told >= SAY_EVERY_S:
                    told = time.monotonic()
                    say(f"{path.stem}: {size >> 20} MB")
        except (OSError, http.client.HTTPException) as error:
            raise KvdevError(f"{url} broke off after {size} bytes ({error!r}): try again") from None
    return digest.hexdigest()


def _open(url: str) -> http.client.HTTPResponse:
    if not url.startswith(("http://", "https://")):
        raise KvdevError(f"{url!r} is no http(s) address")
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=TIMEOUT_S)  # noqa: S310 scheme checked
    except urllib.error.HTTPError as error:
        error.close()
        raise KvdevError(f"{url} answered {error.code} {error.reason}") from None
    except OSError as error:
        raise KvdevError(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from None
    return answer
