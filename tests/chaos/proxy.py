"""A TCP proxy on loopback that breaks what goes through it: late, stalled, cut at a byte, half open, refused.

Runs in a thread of its own; every method may be called from any other. Stands between agents and collector, and
between collector and PostgreSQL, because the kernel here has no `tc netem`.
"""

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

CHUNK = 1 << 16
UP, DOWN = 0, 1  # towards the target, back from it
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: closing sends RST, as a cable's end does once somebody notices
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong. `cut_up` and `cut_down` count bytes passed since the fault began; then both ends see a reset."""

    delay: float = 0.0  # seconds each piece is held back
    stall: bool = False  # nothing is read any more: buffers fill, then writers wait
    swallow: bool = False  # accepted and read, never passed on: a half-open connection
    cut_up: int | None = None
    cut_down: int | None = None

    def cut(self, way: int) -> int | None:
        """The byte at which this direction ends."""
        return self.cut_up if way == UP else self.cut_down


HEALTHY = Fault()


@dataclass(slots=True, eq=False)
class Connection:
    """One accepted connection."""

    number: int
    writers: list[asyncio.StreamWriter]
    fault: Fault | None = None  # None: the proxy's
    passed: list[int] = field(default_factory=lambda: [0, 0])
    since: list[int] = field(default_factory=lambda: [0, 0])  # passed when the fault began


class Proxy:
    """`with Proxy(port) as proxy:` and connect to `proxy.port`."""

    def __init__(self, target: int, host: str = "127.0.0.1", listen: int = 0) -> None:
        self._target = (host, target)
        self._fault = HEALTHY
        self._connections: dict[int, Connection] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self.port = listen
        self._call(self._listen())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def delay(self, seconds: float, connection: int | None = None) -> None:
        """Hold every piece back this long."""
        self.set(Fault(delay=seconds), connection)

    def stall(self, connection: int | None = None) -> None:
        """Pass nothing, keep everything."""
        self.set(Fault(stall=True), connection)

    def half_open(self, connection: int | None = None) -> None:
        """Accept and swallow."""
        self.set(Fault(swallow=True), connection)

    def cut(self, *, up: int | None = None, down: int | None = None, connection: int | None = None) -> None:
        """Reset after exactly so many more bytes in a direction."""
        self.set(Fault(cut_up=up, cut_down=down), connection)

    def refuse(self) -> None:
        """New connections are refused; those that are open go on."""
        self._call(self._unlisten())

    def drop(self) -> None:
        """Reset every open connection now."""
        self._call(self._drop())

    def lead(self, target: int) -> None:
        """Another target from now on; what is open to the old one is reset."""
        self._target = (self._target[0], target)
        self.drop()

    def heal(self) -> None:
        """No fault any more; connections that are open and what they hold go on."""
        self.set(HEALTHY)
        self._call(self._listen())

    def set(self, fault: Fault, connection: int | None = None) -> None:
        """This fault from now on, for one connection by number or for all of them and all to come."""
        self._call(self._set(fault, connection))

    def connections(self) -> tuple[int, ...]:
        """Numbers of what is open, oldest first."""
        return self._call(self._numbers_open())

    def passed(self, connection: int) -> tuple[int, int]:
        """Bytes that went up and down."""
        return self._call(self._passed(connection))

    def close(self) -> None:
        """End all."""
        self._call(self._unlisten())
        self._call(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # --- in the loop ---

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _drop(self) -> None:
        for connection in tuple(self._connections.values()):
            _reset(connection)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _set(self, fault: Fault, number: int | None) -> None:
        if number is None:
            self._fault = fault
        for connection in self._connections.values():
            if number is None or connection.number == number:
                connection.fault = None if number is None else fault
                connection.since = list(connection.passed)
        async with self._changed:
            self._changed.notify_all()

    async def _numbers_open(self) -> tuple[int, ...]:
        return tuple(self._connections)

    async def _passed(self, number: int) -> tuple[int, int]:
        up, down = self._connections[number].passed
        return up, down

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(next(self._numbers), [writer])
        self._connections[connection.number] = connection
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=CHUNK)
            connection.writers.append(far_writer)
            ways = (self._pump(connection, reader, far_writer, UP), self._pump(connection, far_reader, writer, DOWN))
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            _reset(connection)
        finally:
            del self._connections[connection.number]
            for each in connection.writers:
                each.close()

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await self._moving(connection)
                data = await reader.read(CHUNK)
                await self._moving(connection)
                fault = connection.fault or self._fault
                if fault.delay:
                    await asyncio.sleep(fault.delay)
                if not data:
                    return
                if fault.swallow:
                    continue
                if not await self._pass(connection, writer, way, data):
                    return

    async def _pass(self, connection: Connection, writer: asyncio.StreamWriter, way: int, data: bytes) -> bool:
        """Write up to the byte of the cut; False once it is reached."""
        limit = (connection.fault or self._fault).cut(way)
        room = len(data) if limit is None else max(0, limit - (connection.passed[way] - connection.since[way]))
        writer.write(data[:room])
        connection.passed[way] += len(data[:room])
        await writer.drain()
        if room < len(data) or (limit is not None and room == len(data) == 0):
            await _sent(writer)
            _reset(connection)
            return False
        return True

    async def _moving(self, connection: Connection) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not (connection.fault or self._fault).stall)


async def _sent(writer: asyncio.StreamWriter) -> None:
    """Until the bytes before the cut have left and were most likely read: a reset throws away what was not."""
    for _ in range(100):
        if writer.transport.get_write_buffer_size() == 0:
            break
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.03)


def _reset(connection: Connection) -> None:
    for writer in connection.writers:
        with contextlib.suppress(OSError):
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
