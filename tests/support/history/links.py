"""A TCP link between two parties, which a test can cut, heal and slow down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Link:
    """Passes bytes between who connects to `address`:`port` and that port of the target, each way `delay_s` late."""

    def __init__(self, address: str, port: int, target: str) -> None:
        self.address = address
        self.port = port
        self.delay_s = 0.0
        self._target = target
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Connections break, new ones end at once."""
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    def heal(self) -> None:
        self._is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await self._connected()
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, other_writer}
        try:
            await asyncio.gather(self._pass(reader, other_writer), self._pass(other_reader, writer))
        finally:
            self._open -= {writer, other_writer}
            for each in (writer, other_writer):
                each.transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._is_cut:
            raise ConnectionRefusedError
        return await asyncio.open_connection(self._target, self.port)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await asyncio.sleep(self.delay_s)
                writer.write(data)
        writer.transport.abort()


@asynccontextmanager
async def linked(address: str, port: int, target: str) -> AsyncIterator[Link]:
    """A link that listens on `address`:`port` until the end."""
    link = Link(address, port, target)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(link.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, address, port)
    try:
        yield link
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
