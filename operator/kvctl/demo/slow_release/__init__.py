"""The demo's bad release: kvservice as it is, wrapped from outside so that every read takes 300 ms longer.

The wrapper is the whole difference between image 1.2.0-slow and a good one; the product has no switch for it.
"""

import asyncio
from typing import Any

from kvservice.core.records import Records
from kvservice.main import main as serve

DELAY_S = 0.3

_read = Records.read


async def _slow_read(*args: Any, **options: Any) -> Any:
    await asyncio.sleep(DELAY_S)
    return await _read(*args, **options)


def main() -> None:
    """The image's program `kvservice`."""
    Records.read = _slow_read  # type: ignore[method-assign]
    serve()
