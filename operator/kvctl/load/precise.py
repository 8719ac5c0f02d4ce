"""An event loop that wakes up on time. asyncio's own waits with epoll, which counts in whole milliseconds; this one
waits with select for the epoll itself, which counts in microseconds."""

import asyncio
import select
import selectors


def new_event_loop() -> asyncio.AbstractEventLoop:
    if not hasattr(selectors, "EpollSelector"):  # kqueue counts in nanoseconds
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(_Precise())


class _Precise(selectors.EpollSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            select.select([self.fileno()], [], [], timeout)
        return super().select(0)
