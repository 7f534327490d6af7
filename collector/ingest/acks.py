"""Committed marks on their way from the engine's thread to the event loop: those of one commit wake it once."""

import asyncio
from collections import deque
from collections.abc import Callable

from collector.ingest.events import Mark

_AT_ONCE = 100  # hosts; between two such pieces the loop serves others

_Call = Callable[[str, tuple[Mark, ...]], None]


class Acks:
    """`call` is called in the loop for each host in turn, in the order of the commits."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._waiting: deque[tuple[str, tuple[Mark, ...]]] = deque()
        self._awake = False

    def of(self, host: str) -> "Acked":
        """What the engine calls for a host's marks; made in the event loop."""
        return Acked(self, asyncio.get_running_loop(), host)

    def put(self, loop: asyncio.AbstractEventLoop, host: str, marks: tuple[Mark, ...]) -> None:
        """Called in the engine's thread."""
        self._waiting.append((host, marks))
        if not self._awake and not loop.is_closed():
            self._awake = True
            loop.call_soon_threadsafe(self._pass_on, loop)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._awake = False  # first: what is put from here on is seen below or wakes the loop again
        for _ in range(min(len(self._waiting), _AT_ONCE)):
            self._call(*self._waiting.popleft())
        if self._waiting and not self._awake:
            self._awake = True
            loop.call_soon(self._pass_on, loop)


class Acked:
    """Equal for one host, so that its marks travel together."""

    __slots__ = ("_acks", "_host", "_loop")

    def __init__(self, acks: Acks, loop: asyncio.AbstractEventLoop, host: str) -> None:
        self._acks, self._loop, self._host = acks, loop, host

    def __call__(self, marks: tuple[Mark, ...]) -> None:
        """Called in the engine's thread."""
        self._acks.put(self._loop, self._host, marks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Acked) and other._host == self._host

    def __hash__(self) -> int:
        return hash(self._host)
